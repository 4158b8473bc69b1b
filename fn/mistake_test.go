package fn

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
)

const scratchConnection = `{type: disk, config: {diskName: scratch}}`

// unreadable makes a claim's services something that is no list.
func unreadable(c *cluster) { c.xr["spec"] = map[string]any{"services": "none"} }

// TestMistakes holds that a mistake takes nothing, whatever delivers the injection:
// all that is composed stays, and the next pod gets what the one before got, until
// the mistake is mended; and that the claim isn't ready meanwhile.
func TestMistakes(t *testing.T) {
	t.Parallel()

	connections := "[" + awsConnection + ", " + azureConnection + ", " + scratchConnection + "]"
	cases := map[string]struct {
		reason string
		edit   func(*cluster)
	}{
		"MisspeltConnections": {
			reason: "a service without connections isn't one whose connections left, where another field is misspelt",
			edit:   func(c *cluster) { c.setServices("- {name: api, conections: " + connections + "}") },
		},
		"MisspeltType": {
			reason: "a type that isn't known may be one that was there",
			edit: func(c *cluster) {
				c.setServices(strings.Replace(service("api", azureConnection, awsConnection, scratchConnection), "awsRole", "awsrole", 1))
			},
		},
		"Capital": {
			reason: "a service whose name is none isn't another service",
			edit:   func(c *cluster) { c.setServices("- {name: Api, connections: " + connections + "}") },
		},
		"TooLong": {
			reason: "nothing is ever composed from a name that is too long",
			edit: func(c *cluster) {
				c.setServices("- {name: " + strings.Repeat("a", 64) + ", connections: " + connections + "}")
			},
		},
		"NoList": {
			reason: "services that aren't a list can't be compared with what is there",
			edit:   unreadable,
		},
		"ListGone": {
			reason: "a services path that is suddenly empty would delete everything",
			edit:   func(c *cluster) { c.xr["spec"] = map[string]any{} },
		},
	}
	for name, tc := range cases {
		for delivery, c := range map[string]*cluster{
			"Admission": newCluster(t, service("api", awsConnection, azureConnection, scratchConnection), allSettings),
			"Desired":   rendering(t, service("api", awsConnection, azureConnection, scratchConnection), deployment("api", "")),
		} {
			t.Run(name+"/"+delivery, func(t *testing.T) {
				t.Parallel()
				if delivery == "Admission" {
					c.add(deployment("api", ""))
				}
				c.settle()
				c.settle()
				composed, injection, pods := slices.Sorted(maps.Keys(c.composed)), c.service("api")["injection"], c.pods()
				tc.edit(c)
				for range 3 {
					c.reconcile()
				}
				got := []any{slices.Sorted(maps.Keys(c.composed)), c.service("api")["injection"], c.pods()}
				if diff := cmp.Diff([]any{composed, injection, pods}, got); diff != "" {
					t.Errorf("%s: -want composed, injection and pods, +got:\n%s", tc.reason, diff)
				}
				if c.ready() || fatalOf(c.rsp) != "" {
					t.Errorf("%s: ready %v, fatal %q; want neither", tc.reason, c.ready(), fatalOf(c.rsp))
				}
				c.setServices(service("api", awsConnection, azureConnection, scratchConnection))
				c.settle()
				if !c.ready() {
					t.Errorf("%s: it isn't ready once it is mended: %v", tc.reason, c.service("api"))
				}
			})
		}
	}
}

// TestRevokedInSpiteOfMistakes holds that no mistake in a claim, made in good faith
// or not, keeps what the settings take back.
func TestRevokedInSpiteOfMistakes(t *testing.T) {
	t.Parallel()

	for name, edit := range map[string]func(*cluster){
		"NoList":              unreadable,
		"ListGone":            func(c *cluster) { c.xr["spec"] = map[string]any{} },
		"MisspeltConnections": func(c *cluster) { c.setServices("- {name: api, conections: []}") },
		"NameNoLabel":         func(c *cluster) { c.setServices(service("Api", awsConnection)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, service("api", awsConnection, azureConnection, sqlConnection), allSettings)
			c.add(deployment("api", ""))
			c.settle()
			edit(c)
			c.setSettings(strings.NewReplacer(`"my-app-*"`, `"your-app-*"`, `identity: "*"`, "identity: none", "name: sql-client", "name: no-client").Replace(allSettings))
			c.reconcile()
			for _, kind := range []string{"PodIdentityAssociation", "FederatedIdentityCredential", "ServiceAccountIAMMember"} {
				want(t, 0, len(c.keys(kind)), kind+" after its list excludes it")
			}
			want(t, "", str(c.only("ServiceAccount"), "metadata", "annotations", "iam.gke.io/gcp-service-account"), "annotation")
		})
	}
}

// TestReadyOfOtherSteps holds that the function never says that the whole is ready:
// later steps may compose what it doesn't know.
func TestReadyOfOtherSteps(t *testing.T) {
	t.Parallel()
	for name, services := range map[string]string{"Connected": service("api", awsConnection), "NoServices": "[]"} {
		c := newCluster(t, services, allSettings)
		c.settle()
		want(t, true, c.ready(), name+": ready, as no other step composes anything")
		want(t, fnv1.Ready_READY_UNSPECIFIED, c.rsp.GetDesired().GetComposite().GetReady(), name+": what the function says of the composite resource")
	}
}

// TestTwoStepsRenderOneWorkload holds that equal requests get equal responses, also
// where two steps render a workload of the same name, one of them without its
// namespace.
func TestTwoStepsRenderOneWorkload(t *testing.T) {
	t.Parallel()
	c := newCluster(t, service("api", awsConnection), allSettings)
	c.render("one", strings.Replace(deployment("api", ""), ", namespace: team-a", "", 1))
	c.render("two", deployment("api", ""))
	for range 4 {
		c.reconcile()
		c.provide()
	}
	var first []byte
	for range 20 {
		rsp, err := c.fn.RunFunction(t.Context(), c.request())
		if err != nil {
			t.Fatal(err)
		}
		got, err := proto.MarshalOptions{Deterministic: true}.Marshal(rsp)
		if err != nil {
			t.Fatal(err)
		}
		if first != nil && !bytes.Equal(first, got) {
			t.Fatal("the same request gave two responses")
		}
		first = got
	}
}

// TestMisspeltFields holds that a field of a service whose name is misspelt isn't one
// that was left out: what it said stays published.
func TestMisspeltFields(t *testing.T) {
	t.Parallel()

	const fields = "- {name: api, workload: {apiVersion: apps/v1, kind: StatefulSet, name: api}, serviceAccountName: mine, containers: [app], connections: [" + awsConnection + "]}"
	for name, field := range map[string]string{"Workload": "workload", "ServiceAccountName": "serviceAccountName", "Containers": "containers"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, fields, allSettings)
			c.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: mine, namespace: team-a}}`)
			c.add(strings.Replace(deployment("api", ""), "kind: Deployment", "kind: StatefulSet", 1))
			c.settle()
			published := func() []any {
				s := c.service("api")
				return []any{s["workload"], s["injection"], slices.Sorted(maps.Keys(c.composed))}
			}
			was := published()
			c.setServices(strings.Replace(fields, field+":", field+"s:", 1))
			for range 3 {
				c.reconcile()
				c.provide()
			}
			if diff := cmp.Diff(was, published()); diff != "" {
				t.Errorf("workload, injection and composed objects while %s is misspelt, -was, +is:\n%s", field, diff)
			}
			want(t, false, c.ready(), "ready")
			c.setServices(fields)
			c.settle()
			want(t, true, c.ready(), "ready once it is mended")
		})
	}
}

// TestMisspeltWhileSwapped holds that two services which may be each other stay both as
// they were: each has the other's workload, and the field that says so is misspelt.
func TestMisspeltWhileSwapped(t *testing.T) {
	t.Parallel()
	const (
		swapped  = "- {name: api, workload: {kind: StatefulSet, name: web}, connections: [" + sqlConnection + "]}\n- {name: web, workload: {kind: StatefulSet, name: api}, connections: [" + awsConnection + "]}"
		misspelt = "- {name: api, worklod: {kind: StatefulSet, name: api}, connections: [" + sqlConnection + "]}\n- {name: web, workload: {kind: StatefulSet, name: web}, replica: 1, connections: [" + awsConnection + "]}"
	)
	c := newCluster(t, swapped, allSettings)
	for _, name := range []string{"api", "web"} {
		c.add(strings.Replace(deployment(name, ""), "kind: Deployment", "kind: StatefulSet", 1))
	}
	c.settle()
	published := func() []any {
		return []any{c.service("api")["workload"], c.service("api")["injection"], c.service("web")["workload"], c.service("web")["injection"], slices.Sorted(maps.Keys(c.composed))}
	}
	was := published()
	c.setServices(misspelt)
	for range 3 {
		c.reconcile()
	}
	if diff := cmp.Diff(was, published()); diff != "" {
		t.Errorf("workloads, injections and composed objects, -was, +is:\n%s", diff)
	}
}

// TestMistakesKeepData holds that no row of mistakes takes what holds data, whatever
// was published before: neither a disk that goes with its connection nor one that is
// retained.
func TestMistakesKeepData(t *testing.T) {
	t.Parallel()

	two := func(disks ...string) string {
		return "- {name: api, connections: [{type: disk, config: {" + disks[0] + "}}]}\n" +
			"- {name: web, connections: [{type: disk, config: {" + disks[len(disks)-1] + "}}]}"
	}
	const typos = "- {name: api, conections: []}\n- {name: web, conections: []}"
	cases := map[string]struct {
		reason string
		claims []string
	}{
		"OneOfTwo": {
			reason: "the other still has the disk",
			claims: []string{two("diskName: DISK", "diskName: typo")},
		},
		"BothMisspelt": {
			reason: "neither has another disk that works",
			claims: []string{two("diskName: typo")},
		},
		"UnknownField": {
			reason: "a disk whose name is misspelt has none",
			claims: []string{two("diskname: DISK")},
		},
		"InvalidValue": {
			reason: "an invalid name asks for nothing else",
			claims: []string{two("diskName: Not_A_Name")},
		},
		"OneMistakeAfterTheOther": {
			reason: "after the first nothing is published, which doesn't make the second one a wish",
			claims: []string{two("diskName: typo"), typos},
		},
		"NeverPublished": {
			reason: "that the services never worked doesn't make a mistake a wish",
			claims: []string{strings.ReplaceAll(two("diskName: DISK"), "connections", "serviceAccountName: not-there, connections"), typos},
		},
		"BesidesAnotherWorkload": {
			reason: "whatever else the same edit does",
			claims: []string{strings.ReplaceAll(typos, "conections", "workload: {name: other}, conections")},
		},
		"MovedMeanwhile": {
			reason: "the connection that goes to another service asks for the same, misspelt",
			claims: []string{two("diskName: typo"), "- {name: mail, connections: [{type: disk, config: {diskName: typo}}]}"},
		},
		"BesidesAnotherName": {
			reason: "a service whose connections are misspelt may be any",
			claims: []string{strings.NewReplacer("api", "backend", "web", "frontend").Replace(typos)},
		},
	}
	for name, tc := range cases {
		for _, disk := range []string{"scratch", "uploads"} {
			t.Run(name+"/"+disk, func(t *testing.T) {
				t.Parallel()
				c := newCluster(t, two("diskName: "+disk), allSettings)
				c.add(deployment("api", ""))
				c.add(deployment("web", ""))
				c.settle()
				for _, services := range tc.claims {
					c.setServices(strings.ReplaceAll(services, "DISK", disk))
					for range 3 {
						if deleted := c.reconcile(); slices.Contains(deleted, "disk."+disk) {
							t.Fatalf("%s: %v is deleted by:\n%s", tc.reason, deleted, services)
						}
					}
				}
				c.setServices("- {name: api, connections: [" + awsConnection + "]}")
				c.settle()
				c.reconcile()
				want(t, false, c.composed["disk."+disk] != nil && disk == "scratch", "the disk, once its connection has left the claim")
			})
		}
	}
}

// TestMoreThanAreRead holds that what a Composition without a schema lets into a claim
// beyond what is read takes nothing from the pods of what was there.
func TestMoreThanAreRead(t *testing.T) {
	t.Parallel()
	disk := func(n int) string {
		return fmt.Sprintf(`{type: disk, name: d%d, config: {diskName: d%d}}`, n, n)
	}
	disks := func(n int) string {
		all := make([]string, n)
		for i := range all {
			all[i] = disk(i)
		}
		return strings.Join(all, ", ")
	}
	others := strings.Builder{}
	for i := range 50 {
		others.WriteString(service(fmt.Sprintf("other-%d", i), disks(10)))
	}
	for name, edit := range map[string]string{
		"InTheService": service("api", disks(10), awsConnection),
		"InAll":        others.String() + service("api", awsConnection),
	} {
		for delivery, c := range map[string]*cluster{
			"Admission": newCluster(t, service("api", awsConnection), allSettings),
			"Desired":   rendering(t, service("api", awsConnection), deployment("api", "")),
		} {
			t.Run(name+"/"+delivery, func(t *testing.T) {
				t.Parallel()
				if delivery == "Admission" {
					c.add(deployment("api", ""))
				}
				c.settle()
				injection, pods := c.service("api")["injection"], c.pods()
				c.setServices(edit)
				c.reconcile()
				c.reconcile()
				if diff := cmp.Diff([]any{injection, pods}, []any{c.service("api")["injection"], c.pods()}); diff != "" {
					t.Errorf("-want injection and pods of before the edit, +got:\n%s", diff)
				}
			})
		}
	}
}
