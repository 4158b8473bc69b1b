package fn

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"
)

// withoutUnread is a value at a path of a request as the server passes it on where that
// is too large.
func withoutUnread(f *Function, v any, path []string) any {
	switch v := v.(type) {
	case map[string]any:
		read := map[string]any{}
		for k, e := range v {
			at := append(slices.Clip(path), k)
			b, err := json.Marshal(e)
			if err != nil {
				panic(err) // It was decoded from JSON.
			}
			unread, within := f.Unread(at, len(b))
			if within {
				e = withoutUnread(f, e, at)
			}
			if !unread {
				read[k] = e
			}
		}
		return read
	case []any:
		read := make([]any, len(v))
		for i, e := range v {
			read[i] = withoutUnread(f, e, path)
		}
		return read
	default:
		return v
	}
}

// lostAssociation of a ServiceAccount that its provider doesn't know.
func lostAssociation(c *cluster, serviceAccount string) associated {
	for _, key := range c.keys("PodIdentityAssociation") {
		if strings.HasPrefix(key, serviceAccount+".") {
			a := associated{c, key}
			a.begin(triedAt)
			a.fail(exists, answeredAt)
			return a
		}
	}
	c.t.Fatalf("no association of %q", serviceAccount)
	return associated{}
}

// TestUnread holds that what is left out of a request changes no answer: not
// while everything is as it should be, nor while something is superseded or revoked.
func TestUnread(t *testing.T) {
	t.Parallel()

	everything := `
- name: api
  connections:
  - {type: awsRole, role: uploads, create: {policyArns: ["arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"], policy: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: "s3:*", Resource: "*"}]}}}
` + "  - " + azureConnection + `
` + "  - " + sqlConnection + "\n  - " + diskConnection + `
- {name: web, connections: [{type: awsRole, role: my-app-s3-access}]}
`
	cases := map[string]struct {
		reason string
		change func(c *cluster)
	}{
		"AtRest":     {reason: "All is there, and stays.", change: func(*cluster) {}},
		"Superseded": {reason: "What is kept goes back by its managed fields.", change: func(c *cluster) { c.setServices(strings.ReplaceAll(everything, "shop-identity", "other-identity")) }},
		"Left": {reason: "What has left the claim goes.", change: func(c *cluster) {
			c.setServices(`[{name: web, connections: [{type: awsRole, role: my-app-s3-access}]}]`)
		}},
		"Unreadable": {reason: "Where the claim can't be read, all is kept.", change: func(c *cluster) { c.setServices(`[{nme: api}]`) }},
		"HandedOver": {reason: "What is handed over is told by what was found.", change: func(c *cluster) {
			a := lostAssociation(c, "shop-web")
			a.reconcile()
			a.find(setting("serviceAccount", "shop-web"))
		}},
		"Refused": {reason: "What is refused says of which try.", change: func(c *cluster) {
			a := lostAssociation(c, "shop-web")
			a.fail(untrusted, answeredAt)
			c.setServices(`[{name: web, connections: []}]`)
		}},
		"Revoked": {reason: "What the settings exclude goes.", change: func(c *cluster) { c.setSettings(strings.ReplaceAll(allSettings, `"*"`, "nobody")) }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			c := newCluster(t, everything, allSettings)
			c.settle()
			tc.change(c)
			whole := c.request()
			light := proto.CloneOf(whole)
			lighten := func(r *fnv1.Resource, path ...string) {
				o, _ := withoutUnread(c.fn, r.GetResource().AsMap(), path).(map[string]any)
				var err error
				if r.Resource, err = structpb.NewStruct(o); err != nil {
					t.Fatal(err)
				}
			}
			lighten(light.GetObserved().GetComposite(), "composite")
			for key, r := range light.GetObserved().GetResources() {
				lighten(r, "composed", key)
			}
			for name, rs := range light.GetRequiredResources() {
				for _, r := range rs.GetItems() {
					lighten(r, "required", name)
				}
			}
			if proto.Equal(whole, light) {
				t.Fatal("nothing is left out")
			}
			want, err := c.fn.RunFunction(t.Context(), whole)
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.fn.RunFunction(t.Context(), light)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
				t.Errorf("\n%s\nRunFunction(...): -whole, +without what isn't read:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestLightened tells a service that its workload wasn't read.
func TestLightened(t *testing.T) {
	t.Parallel()

	c := newCluster(t, service("api", azureConnection), allSettings)
	c.settle()
	for light, want := range map[bool]bool{false: false, true: true} {
		ctx := context.Background()
		if light {
			ctx = Lightened(ctx)
		}
		rsp, err := c.fn.RunFunction(ctx, c.request())
		if err != nil {
			t.Fatal(err)
		}
		if got := told(rsp, "ReadWithoutWorkload"); got != want {
			t.Errorf("RunFunction(...) of a request that lacks the workload: %t, want that the status tells it: %t, got %t", light, want, got)
		}
	}
}

// told says whether the status has a note of a reason.
func told(rsp *fnv1.RunFunctionResponse, reason string) bool {
	return strings.Contains(rsp.GetDesired().GetComposite().GetResource().String(), reason)
}

// TestLongAnnotations of a ServiceAccount, which a team may write, go into nothing that
// the function answers: Crossplane takes no answer of more than 4 MiB, and a hundred
// services have a hundred ServiceAccounts.
func TestLongAnnotations(t *testing.T) {
	t.Parallel()

	long := strings.Repeat("x", 200_000)
	irsa := strings.Replace(allSettings, "  clusterName: prod-eu", "  mode: IRSA\n  oidcIssuer: https://oidc.eks.eu-west-1.amazonaws.com/id/ABC", 1)
	for name, tc := range map[string]struct{ connection, settings, key, value string }{
		"APathOfTheRole":   {awsConnection, irsa, "eks.amazonaws.com/role-arn", "arn:aws:iam::123456789012:role/" + long + "/my-app-s3-access"},
		"AnIdentity":       {azureConnection, allSettings, "azure.workload.identity/client-id", long},
		"AnotherOfTheKind": {azureConnection, allSettings, "azure.workload.identity/else", long},
	} {
		for _, composed := range []bool{true, false} {
			t.Run(fmt.Sprint(name, "/composed=", composed), func(t *testing.T) {
				t.Parallel()

				c := newCluster(t, service("api", tc.connection), tc.settings)
				if !composed {
					c.setServices(strings.Replace(service("api", tc.connection), "name: api", "name: api, serviceAccountName: own", 1))
					c.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: own, namespace: team-a, annotations: {` + tc.key + `: "` + tc.value + `"}}}`)
				}
				c.run()
				c.reconcile()
				if account := c.composed["shop-api.serviceaccount"]; composed {
					account["metadata"].(map[string]any)["annotations"].(map[string]any)[tc.key] = tc.value
				}
				for range 2 {
					if n := proto.Size(c.run()); n > len(long)/2 {
						t.Errorf("RunFunction(...): want an answer without the annotation's %d bytes, got one of %d", len(tc.value), n)
					}
				}
			})
		}
	}
}
