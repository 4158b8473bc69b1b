package fn

import (
	"maps"
	"strings"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
)

// TestNothingHides gives composed objects the names of others, as whoever may edit
// their annotations can. Crossplane then sees one of the two.
func TestNothingHides(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason string
		// named says which key the object of another has, by the prefix of both.
		object, named string
		bare          bool
		want          string
	}{
		"AnAssociationsName": {
			reason: "The association would stay in the cloud, and nobody would tell.",
			object: "shop-api.serviceaccount", named: "shop-api.association.",
			want: `ServiceAccount "shop-api" has "shop-api.association.`,
		},
		"AnAssociationsNameWithoutNeeds": {
			reason: "Whoever may change one annotation may take away another.",
			object: "shop-api.serviceaccount", named: "shop-api.association.", bare: true,
			want: `ServiceAccount "shop-api" has "shop-api.association.`,
		},
		"ADisksName": {
			reason: "A disk's data would be forgotten.",
			object: "shop-api.serviceaccount", named: "disk.scratch",
			want: `ServiceAccount "shop-api" has "disk.scratch"`,
		},
		"NobodysName": {
			reason: "The ServiceAccount would be deleted under its pods, and made anew.",
			object: "shop-api.serviceaccount", named: "else",
			want: `ServiceAccount "shop-api" has "else"`,
		},
		"ItsOwn": {
			reason: "What is as it was composed hides nothing.",
			object: "shop-api.serviceaccount", named: "shop-api.serviceaccount",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			c := newCluster(t, service("api", awsConnection, `{type: disk, config: {diskName: scratch}}`), allSettings)
			c.settle()
			object, named := c.composed[tc.object], tc.named
			for key := range c.composed {
				if strings.HasPrefix(key, tc.named) {
					named = key
				}
			}
			delete(c.composed, tc.object)
			if tc.bare {
				object = maps.Clone(object)
				metadata := maps.Clone(object["metadata"].(map[string]any))
				delete(metadata, "annotations")
				object["metadata"] = metadata
			}
			c.composed[named] = object
			c.setSettings(strings.Replace(allSettings, `allowedRoles: [{pattern: "my-app-*", namespaces: [team-a]}, {pattern: "arn:aws:iam::210987654321:role/*", namespaces: [team-a]}]`, "allowedRoles: []", 1))

			rsp := c.run()
			fatal := ""
			for _, r := range rsp.GetResults() {
				if r.GetSeverity() == fnv1.Severity_SEVERITY_FATAL {
					fatal = r.GetMessage()
				}
			}
			if tc.want == "" && fatal != "" || !strings.HasPrefix(fatal, tc.want) {
				t.Fatalf("%s\nwant a run stopped with %q, got %q", tc.reason, tc.want, fatal)
			}
			if tc.want == "" {
				return
			}
			if !strings.HasSuffix(fatal, `until the annotation is "shop-api.serviceaccount" again`) {
				t.Errorf("%s\nwant to be told what to do, got %s", tc.reason, fatal)
			}
			told := map[string]bool{}
			for _, condition := range rsp.GetConditions() {
				if condition.GetStatus() == fnv1.Status_STATUS_CONDITION_FALSE && condition.GetReason() == "OutOfSight" && condition.GetTarget() == fnv1.Target_TARGET_COMPOSITE_AND_CLAIM {
					told[condition.GetType()] = true
				}
			}
			if !told["Connected"] || !told["Valid"] {
				t.Errorf("%s\nwant the claim to say so, got %v", tc.reason, rsp.GetConditions())
			}
		})
	}
}

// TestOthersAreNotOutOfSight holds that what other steps of a pipeline compose may be
// named as they like.
func TestOthersAreNotOutOfSight(t *testing.T) {
	t.Parallel()

	for key, object := range map[string]string{
		"api":                  `{apiVersion: v1, kind: ServiceAccount, metadata: {name: api, namespace: team-a}}`,
		"api.role.main":        `{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: api, namespace: team-a}}`,
		"disk.configuration":   `{apiVersion: v1, kind: ConfigMap, metadata: {name: api, namespace: team-a}}`,
		"api.association.main": `{apiVersion: example.org/v1, kind: Association, metadata: {name: api, namespace: team-a}}`,
	} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()

			c := newCluster(t, service("api", awsConnection), allSettings)
			c.settle()
			c.composed[key] = fromYAML(t, object)
			for _, r := range c.run().GetResults() {
				if r.GetSeverity() == fnv1.Severity_SEVERITY_FATAL {
					t.Errorf("want another step's %s left alone, got %s", object, r.GetMessage())
				}
			}
		})
	}
}
