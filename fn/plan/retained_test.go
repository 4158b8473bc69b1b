package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
)

// progressed is a plan before anything is retained: every connection is granted
// and in the injection, with a verdict, and every service's rollout is as said.
func progressed(f *facts, on connection.Verdict, granted, current bool) *rollouts {
	ws := &wishes{facts: f, first: []int{0}, needing: map[connection.Need]int{}}
	for i := range f.services {
		s := &f.services[i]
		ws.needing[connection.Need{Service: s.Name}] = -1
		for _, e := range s.Entries {
			w := wish{service: s, id: e.ID(), Expansion: &nothing, granted: granted}
			ws.needing[w.need()] = len(ws.all)
			ws.all = append(ws.all, w)
		}
		ws.first = append(ws.first, len(ws.all))
	}
	gs := &grants{wishes: ws, composed: map[string]grant{}}
	vs := &verdicts{injections: &injections{accounts: &accounts{held: &held{grants: gs, former: make([]former, len(f.services)), parts: make([]*part, len(ws.all))}}, injected: make([]injected, len(f.services))}}
	for _, w := range ws.all {
		gs.connections = append(gs.connections, grantedWish(w))
		vs.on = append(vs.on, on)
	}
	rs := &rollouts{deliveries: &deliveries{verdicts: vs}}
	for range f.services {
		p := progress{replaced: current, waits: notRestarted}
		if current {
			p.waits = ""
		}
		rs.progress = append(rs.progress, p)
	}
	return rs
}

func grantedWish(w wish) granted { return granted{wish: w} }

// TestRetain holds which observed objects stay. Crossplane deletes the others.
func TestRetain(t *testing.T) {
	t.Parallel()

	connected := connection.Verdict{Reason: connection.Connected}
	creating := connection.Verdict{Reason: connection.Creating}
	revoked := strings.Replace(cluster, "my-app-*", "your-app-*", 1)
	old := map[string]string{"shop-api.association.0123456789": association("api/awsRole", plainARN)}
	role := map[string]string{"shop-api.role.0123456789": ready(`iam.aws.m.upbound.io/v1beta1, kind: Role`, `{name: r, namespace: team-a, annotations: {serviceconnections.io/needed-by: api/awsRole}}`, `{}`)}
	disk := map[string]string{"disk.scratch": `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: scratch, namespace: team-a, annotations: {serviceconnections.io/needed-by: api/disk}}}`}
	account := map[string]string{"shop-api.serviceaccount": serviceAccount}

	cases := map[string]struct {
		reason            string
		world             world
		on                connection.Verdict
		refused, outdated bool
		incomplete        bool
		want, notes       []string
	}{
		"Superseded": {
			reason: "its connection works without it, and no pod is older than its injection",
			world:  world{services: api, composed: old, objects: []string{deployment}},
			on:     connected,
		},
		"SuccessorIsNotReady": {
			reason: "its pods have nothing else",
			world:  world{services: api, composed: old, objects: []string{deployment}},
			on:     creating,
			want:   []string{"shop-api.association.0123456789"},
			notes:  []string{`PodIdentityAssociation "a" stays until its successor is ready and the pods of service "api" have restarted`},
		},
		"PodsAreOlder": {
			reason: "they use it until they are replaced",
			world:  world{services: api, composed: old, objects: []string{deployment}},
			on:     connected, outdated: true,
			want:  []string{"shop-api.association.0123456789"},
			notes: []string{`PodIdentityAssociation "a" stays until Deployment "api" has replaced all pods that may use it: its pods haven't restarted`},
		},
		"WorkloadIsNotRead": {
			reason: "nobody knows what its pods use",
			world:  world{services: api, composed: old},
			on:     connected, outdated: true,
			want:  []string{"shop-api.association.0123456789"},
			notes: []string{`PodIdentityAssociation "a" stays until its connection leaves the claim, because the workload of service "api" isn't read and its pods may use it`},
		},
		"ConnectionIsRefused": {
			reason: "a mistake in the claim takes nothing from what runs",
			world:  world{services: api, composed: old, objects: []string{deployment}},
			on:     creating, refused: true,
			want:  []string{"shop-api.association.0123456789"},
			notes: []string{`PodIdentityAssociation "a" stays as it is until awsRole of service "api" is right again, or leaves the claim`},
		},
		"Left": {
			reason: "nothing in the claim needs it",
			world:  world{services: `[{name: api, connections: []}]`, composed: old, objects: []string{deployment}},
		},
		"LeftAnIncompleteClaim": {
			reason: "what can't be told apart may be the connection that needs it",
			world:  world{services: `[{name: api, connections: []}]`, composed: old, objects: []string{deployment}},
			on:     connected, incomplete: true,
			want: []string{"shop-api.association.0123456789"},
		},
		"DoesNotSayWhoNeedsIt": {
			reason: "somebody has removed the annotation, and a connection of its type could need it",
			world:  world{services: api, composed: map[string]string{"shop-api.association.0123456789": association("", plainARN)}, objects: []string{deployment}},
			on:     creating,
			want:   []string{"shop-api.association.0123456789"},
			notes:  []string{`PodIdentityAssociation "a" stays until its successor is ready and the pods of service "api" have restarted`},
		},
		"Revoked": {
			reason: "a list that excludes its target takes the access back, whatever runs",
			world:  world{services: api, settings: revoked, composed: old, objects: []string{deployment}},
			on:     creating, refused: true, outdated: true,
		},
		"RevokedOfAnIncompleteClaim": {
			reason: "a broken claim must not escape revocation",
			world:  world{services: `[{name: api, connections: []}]`, settings: revoked, composed: old},
			on:     creating, incomplete: true,
		},
		"OnlyReads": {
			reason: "what grants no identity isn't revoked",
			world:  world{services: api, settings: revoked, composed: role, objects: []string{deployment}},
			on:     creating, refused: true,
			want:  []string{"shop-api.role.0123456789"},
			notes: []string{`Role "r" stays as it is until awsRole of service "api" is right again, or leaves the claim`},
		},
		"Disk": {
			reason: "what holds data goes only with its connection, however well that works",
			world:  world{services: `[{name: api, connections: [{type: disk, config: {diskName: other}}]}]`, composed: disk, objects: []string{deployment}},
			on:     connected,
			want:   []string{"disk.scratch"},
			notes:  []string{`PersistentVolumeClaim "scratch" holds data, and stays until the disk connection of service "api" leaves the claim`},
		},
		"DiskOfAnotherName": {
			reason: "a name that was given to its connection, or another one, is no reason to lose data, whatever disk that asks for",
			world:  world{services: `[{name: api, connections: [{type: disk, name: cache, config: {diskName: other}}]}]`, composed: disk, objects: []string{deployment}},
			on:     connected,
			want:   []string{"disk.scratch"},
			notes:  []string{`PersistentVolumeClaim "scratch" holds data, and stays until the disk/cache connection of service "api" leaves the claim`},
		},
		"OneDiskOfSeveralLeft": {
			reason: "the other one was there before, and so isn't it under another name",
			world:  world{services: `[{name: api, connections: [{type: disk, name: cache, config: {diskName: other}}]}]`, composed: disk, objects: []string{deployment}, previous: `services: [{name: api, workload: {apiVersion: apps/v1, kind: Deployment, name: api}, connections: [{type: disk}, {type: disk, name: cache}]}]`},
			on:     connected,
		},
		"OneDiskOfSeveralIsAnother": {
			reason: "its own connection is in the claim still, whatever the others are",
			world: world{
				services: `[{name: api, connections: [{type: disk, name: cache, config: {diskName: cache}}, {type: disk, config: {diskName: other}}]}]`, composed: disk, objects: []string{deployment},
				previous: `services: [{name: api, workload: {apiVersion: apps/v1, kind: Deployment, name: api}, connections: [{type: disk}, {type: disk, name: cache}]}]`,
			},
			on:    connected,
			want:  []string{"disk.scratch"},
			notes: []string{`PersistentVolumeClaim "scratch" holds data, and stays until the disk connection of service "api" leaves the claim`},
		},
		"DiskLeft": {
			reason: "its connection left the claim",
			world:  world{services: api, composed: disk, objects: []string{deployment}},
			on:     connected,
		},
		"ServiceAccount": {
			reason: "running pods refresh their tokens through it, also where the service names another one now",
			world:  world{services: `[{name: api, serviceAccountName: mine, connections: []}]`, composed: account, objects: []string{deployment}},
			on:     connected,
			want:   []string{"shop-api.serviceaccount"},
			notes:  []string{`ServiceAccount "shop-api" stays while service "api" is in the claim, because running pods may use it`},
		},
		"ServiceAccountOfAServiceThatLeft": {
			reason: "its service left the claim",
			world:  world{services: `[]`, composed: account},
		},
		"ServiceAccountThatAWorkloadNames": {
			reason: "its pods would be refused without it",
			world: world{
				services: `[{name: web, workload: {name: api}, connections: []}]`,
				composed: map[string]string{"shop-api.serviceaccount": strings.Replace(serviceAccount, "namespace: team-a", "namespace: team-a, annotations: {serviceconnections.io/needed-by: api}", 1)},
				objects:  []string{strings.Replace(deployment, "containers:", "serviceAccountName: shop-api, containers:", 1)},
			},
			want: []string{"shop-api.serviceaccount"},
		},
		"NotOurs": {
			reason: "what another step composes is that step's to keep",
			world:  world{services: api, composed: map[string]string{"bucket": `{apiVersion: s3.aws.m.upbound.io/v1beta1, kind: Bucket, metadata: {name: b}}`}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := gather(tc.world.input(t))
			f.Claim.Incomplete = f.Claim.Incomplete || tc.incomplete
			r := retain(progressed(f, tc.on, !tc.refused, !tc.outdated))
			if diff := cmp.Diff(tc.want, slices.Sorted(maps.Keys(r.kept))); diff != "" {
				t.Errorf("%s: kept objects, -want, +got:\n%s", tc.reason, diff)
			}
			var notes []string
			for _, vs := range r.notes {
				for _, v := range vs {
					want(t, connection.Superseded, v.Reason, "reason of the note")
					notes = append(notes, v.Message)
				}
			}
			if diff := cmp.Diff(tc.notes, notes); diff != "" {
				t.Errorf("%s: notes, -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestRetainChanges holds the only changes to what is kept.
func TestRetainChanges(t *testing.T) {
	t.Parallel()

	shared := strings.Replace(cluster, "projectId:", "sharedWorkloadPool: true, projectId:", 1)
	google := `[{name: api, connections: [{type: gcpServiceAccount, serviceAccountEmail: ` + sqlEmail + `}]}]`
	annotated := strings.Replace(serviceAccount, "namespace: team-a", `namespace: team-a, annotations: {serviceconnections.io/needed-by: api, iam.gke.io/gcp-service-account: "`+sqlEmail+`", mine: stays}`, 1)
	cases := map[string]struct {
		reason string
		world  world
		key    string
		path   []string
		want   any
	}{
		"BindingOfASharedPool": {
			reason: "other clusters use the binding by now, so letting it go must not delete it",
			world:  world{services: google, settings: shared, composed: map[string]string{"shop-api.member.0123456789": member("api/gcpServiceAccount", sqlEmail)}},
			key:    "shop-api.member.0123456789",
			path:   []string{"spec", "managementPolicies"},
			want:   []any{"Observe", "Create", "Update"},
		},
		"AnnotationOfARevokedIdentity": {
			reason: "the annotation grants it too",
			world: world{
				services: `[{name: api, serviceAccountName: mine, connections: []}]`,
				settings: strings.Replace(cluster, "name: sql-client", "name: nobody", 1),
				composed: map[string]string{"shop-api.serviceaccount": annotated},
			},
			key:  "shop-api.serviceaccount",
			path: []string{"metadata", "annotations"},
			want: map[string]any{"mine": "stays", connection.NeededBy: "api"},
		},
		"NewUser": {
			reason: "it stays for a service that has come to it when the other leaves",
			world: world{
				services: `[{name: api, serviceAccountName: mine, connections: []}, {name: web, serviceAccountName: shop-api, connections: []}]`,
				composed: map[string]string{"shop-api.serviceaccount": annotated},
			},
			key:  "shop-api.serviceaccount",
			path: []string{"metadata", "annotations", connection.NeededBy},
			want: "api,web",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := tc.world.input(t)
			before := fmt.Sprint(in.Observed.Composed[tc.key].Object)
			r := retain(progressed(gather(in), connection.Verdict{Reason: connection.Creating}, true, false))
			var got any = r.kept[tc.key]
			for _, field := range tc.path {
				m, _ := got.(map[string]any)
				got = m[field]
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
			want(t, before, fmt.Sprint(in.Observed.Composed[tc.key].Object), "observed object after the plan")
		})
	}
}

// TestRetainRemembers holds that a connection needs a shared object, which is
// composed anew for others, until it works without it.
func TestRetainRemembers(t *testing.T) {
	t.Parallel()
	const key = "shop-api.member.0123456789"
	services := `[{name: api, connections: [{type: gcpServiceAccount, serviceAccountEmail: ` + other + `}]}, {name: web, serviceAccountName: shop-api, connections: [{type: gcpServiceAccount, serviceAccountEmail: ` + sqlEmail + `}]}]`
	for name, tc := range map[string]struct {
		current bool
		want    []connection.Need
	}{
		"PodsAreOlder": {false, []connection.Need{{Service: "web", Type: claim.TypeGCPServiceAccount}, {Service: "api", Type: claim.TypeGCPServiceAccount}}},
		"PodsAreNew":   {true, []connection.Need{{Service: "web", Type: claim.TypeGCPServiceAccount}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world{services: services, composed: map[string]string{key: member("api/gcpServiceAccount,gone/cloudSql", sqlEmail)}, objects: []string{deployment}}
			rs := progressed(gather(w.input(t)), connection.Verdict{Reason: connection.Connected}, true, tc.current)
			rs.composed[key] = grant{needs: []connection.Need{{Service: "web", Type: claim.TypeGCPServiceAccount}}}
			if diff := cmp.Diff(tc.want, retain(rs).needs[key]); diff != "" {
				t.Errorf("needs, -want, +got:\n%s", diff)
			}
		})
	}
}

// TestRetainTellsSome holds that the status isn't filled by what is kept.
func TestRetainTellsSome(t *testing.T) {
	t.Parallel()
	w := world{services: api, composed: map[string]string{}}
	for i := range maxNotes + 5 {
		w.composed[fmt.Sprintf("shop-api.association.%010d", i)] = association("api/awsRole", plainARN)
	}
	r := retain(progressed(gather(w.input(t)), connection.Verdict{Reason: connection.Creating}, true, false))
	want(t, maxNotes+5, len(r.kept), "kept objects")
	want(t, maxNotes+1, len(r.notes[0]), "notes")
	want(t, `5 more objects of earlier states stay for service "api"`, r.notes[0][maxNotes].Message, "last note")
}
