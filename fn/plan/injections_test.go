package plan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/connection"
)

// injectedWorld goes through the stages up to the injections.
func injectedWorld(t *testing.T, w world) *injections {
	t.Helper()
	return inject(composeAccounts(hold(grantWishes(wishFor(gather(w.input(t)))))))
}

// TestInject holds when a service has an injection, and what is in it.
func TestInject(t *testing.T) {
	t.Parallel()
	account := map[string]string{"shop-api.serviceaccount": serviceAccount}
	disk := `{type: disk, config: {diskName: scratch}}`
	aws := `{type: awsRole, role: my-app-s3}`
	everywhere := strings.ReplaceAll(cluster, "team-a", "kube-system, crossplane-system")
	patched := `{apiVersion: apps/v1, kind: Deployment, metadata: {name: api, namespace: kube-system}, spec: {template: {metadata: {annotations: {serviceconnections.io/injection: h, serviceconnections.io/injected: '{"annotations": ["serviceconnections.io/injection"]}'}}, spec: {containers: [{name: app}]}}}}`
	named := `{apiVersion: apps/v1, kind: Deployment, metadata: {name: api, namespace: kube-system}, spec: {template: {spec: {serviceAccountName: shop-api, containers: [{name: app}]}}}}`
	published := `services: [{name: api, workload: {apiVersion: apps/v1, kind: Deployment, name: api}, connections: [{type: awsRole}],
		injection: {hash: h, complete: true, serviceAccountName: shop-api, volumes: [{name: eks-pod-identity-token}]}}]`
	cases := map[string]struct {
		reason   string
		world    world
		volumes  []string
		complete bool
		refused  connection.Reason
	}{
		"NoServiceAccountYet": {
			reason: "pods would be refused that name one which isn't there",
			world:  world{services: api},
		},
		"First": {
			reason:   "pods may come early: they heal as soon as their grants are there",
			world:    world{services: api, composed: account},
			volumes:  []string{"eks-pod-identity-token"},
			complete: true,
		},
		"ServiceAccountIsAwayForAMoment": {
			reason:   "what is published isn't withdrawn for that",
			world:    world{services: api, previous: published},
			volumes:  []string{"eks-pod-identity-token"},
			complete: true,
		},
		"OneIsRefused": {
			reason:  "the others go on, and the injection says that it isn't all",
			world:   world{services: `[{name: api, connections: [` + disk + `, {type: awsRole, role: admin}]}]`, composed: account},
			volumes: []string{"sc-disk"},
		},
		"Both": {
			reason:   "all connections of a service are in one injection",
			world:    world{services: `[{name: api, connections: [` + disk + `, ` + aws + `]}]`, composed: account},
			volumes:  []string{"eks-pod-identity-token", "sc-disk"},
			complete: true,
		},
		"SeveralDisks": {
			reason:   "each has a volume of its own",
			world:    world{services: `[{name: api, connections: [` + disk + `, {type: disk, name: cache, config: {diskName: cache}}, {type: disk, name: uploads, config: {diskName: uploads}}]}]`, composed: account},
			volumes:  []string{"sc-disk", "sc-disk-cache", "sc-disk-uploads"},
			complete: true,
		},
		"DisksAtOnePath": {
			reason:  "of a claim that pre-dates the schema: one would hide the other, and nobody knows which",
			world:   world{services: `[{name: api, connections: [` + disk + `, {type: disk, name: cache, config: {diskName: cache, mountPath: /data/scratch}}]}]`, composed: account},
			refused: connection.NameConflict,
		},
		"TemplateHasTheNameAlready": {
			reason: "a pod with half an injection is worse than one without",
			world: world{
				services: api, composed: account,
				objects: []string{`{apiVersion: apps/v1, kind: Deployment, metadata: {name: api, namespace: team-a}, spec: {template: {spec: {containers: [{name: app}], volumes: [{name: eks-pod-identity-token, emptyDir: {}}]}}}}`},
			},
			volumes:  []string{"eks-pod-identity-token"},
			complete: true,
			refused:  connection.NameConflict,
		},
		"LabelledForAnotherClaim": {
			reason:   "the admission policy gives pods what their labels name, and nothing else",
			world:    world{services: api, composed: account, objects: []string{`{apiVersion: apps/v1, kind: Deployment, metadata: {name: api, namespace: team-a}, spec: {template: {metadata: {labels: {serviceconnections.io/claim: other, serviceconnections.io/service: api}}, spec: {containers: [{name: app}]}}}}`}},
			volumes:  []string{"eks-pod-identity-token"},
			complete: true,
			refused:  connection.NameConflict,
		},
		"LabelledForNoService": {
			reason:   "a label that names the claim alone names none of its services",
			world:    world{services: api, composed: account, objects: []string{`{apiVersion: apps/v1, kind: Deployment, metadata: {name: api, namespace: team-a}, spec: {template: {metadata: {labels: {serviceconnections.io/claim: shop}}, spec: {containers: [{name: app}]}}}}`}},
			volumes:  []string{"eks-pod-identity-token"},
			complete: true,
			refused:  connection.NameConflict,
		},
		"LabelledForIt": {
			reason:   "its labels say the same as the claim",
			world:    world{services: api, composed: account, objects: []string{`{apiVersion: apps/v1, kind: Deployment, metadata: {name: api, namespace: team-a}, spec: {template: {metadata: {labels: {serviceconnections.io/claim: shop, serviceconnections.io/service: api}}, spec: {containers: [{name: app}]}}}}`}},
			volumes:  []string{"eks-pod-identity-token"},
			complete: true,
		},
		"NamespaceOfTheControlPlane": {
			reason:   "the admission policy leaves out its pods, which must start whatever is the matter with it",
			world:    world{namespace: "kube-system", settings: everywhere, services: api, composed: account},
			volumes:  []string{"eks-pod-identity-token"},
			complete: true,
			refused:  connection.NamespaceLeftOut,
		},
		"NamespaceOfTheControlPlane,ServiceAccountInTheTemplate": {
			reason:   "the cloud's own webhook gives its pods the role, as it does those of a platform's controllers",
			world:    world{namespace: "kube-system", settings: everywhere, services: api, composed: account, objects: []string{named}},
			volumes:  []string{"eks-pod-identity-token"},
			complete: true,
		},
		"NamespaceOfTheControlPlane,ServiceAccountInTheTemplateAndADisk": {
			reason:   "no webhook of a cloud mounts a disk",
			world:    world{namespace: "kube-system", settings: everywhere, services: `[{name: api, connections: [` + aws + `, ` + disk + `]}]`, composed: account, objects: []string{named}},
			volumes:  []string{"eks-pod-identity-token", "sc-disk"},
			complete: true,
			refused:  connection.NamespaceLeftOut,
		},
		"NamespaceOfTheControlPlane,RenderedByAStep": {
			reason: "the injection is in the pod template, and needs no policy",
			world: world{
				namespace: "crossplane-system", settings: everywhere, services: api, composed: account,
				rendered: map[string]string{"workload": strings.Replace(deployment, "team-a", "crossplane-system", 1)},
			},
			volumes:  []string{"eks-pod-identity-token"},
			complete: true,
		},
		"NamespaceOfTheControlPlane,PatchedByItsOwner": {
			reason:   "the injection is in the pod template, and needs no policy",
			world:    world{namespace: "kube-system", settings: everywhere, services: api, composed: account, objects: []string{patched}},
			volumes:  []string{"eks-pod-identity-token"},
			complete: true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := injectedWorld(t, tc.world).injected[0]
			want(t, tc.refused, got.refused.Reason, "refused, "+tc.reason)
			want(t, tc.volumes != nil, got.injection != nil, "published, "+tc.reason)
			if got.injection == nil {
				return
			}
			var volumes []string
			for _, v := range got.injection.Volumes {
				volumes = append(volumes, v.Name)
			}
			if diff := cmp.Diff(tc.volumes, volumes); diff != "" {
				t.Errorf("%s: volumes, -want, +got:\n%s", tc.reason, diff)
			}
			want(t, tc.complete, got.injection.Complete, "complete, "+tc.reason)
		})
	}
}

// TestUntouchedWorkload holds that a workload is still the one of a service which stays
// as it was because it is misspelt: the policy gives a pod the first injection that
// names its workload.
func TestUntouchedWorkload(t *testing.T) {
	t.Parallel()
	is := injectedWorld(t, world{
		services: `[{name: web, worklod: {name: api}, connections: []}, {name: api, connections: []}]`,
		previous: `services: [{name: web, workload: {apiVersion: apps/v1, kind: Deployment, name: api}, injection: {hash: h, serviceAccountName: shop-web}}]`,
	})
	if len(is.injected) != 1 || len(is.untouched) != 1 {
		t.Fatalf("%d services are read and %d untouched, want one each", len(is.injected), len(is.untouched))
	}
	want(t, connection.WorkloadConflict, is.injected[0].refused.Reason, "refused")
	want(t, true, strings.Contains(is.injected[0].refused.Message, `"web"`), "names the service that has it")
}

// TestWorkloadConflict holds which of two services has a workload.
func TestWorkloadConflict(t *testing.T) {
	t.Parallel()
	services := `[{name: api, connections: []}, {name: web, workload: {name: api}, connections: []}]`
	for name, tc := range map[string]struct {
		reason, previous string
		want             []connection.Reason
	}{
		"First":     {"none has it yet", "", []connection.Reason{"", connection.WorkloadConflict}},
		"Published": {"its pods keep what they have", `services: [{name: web, workload: {apiVersion: apps/v1, kind: Deployment, name: api}, injection: {hash: h, serviceAccountName: shop-web}}]`, []connection.Reason{connection.WorkloadConflict, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := injectedWorld(t, world{services: services, previous: tc.previous})
			if diff := cmp.Diff(tc.want, []connection.Reason{is.injected[0].refused.Reason, is.injected[1].refused.Reason}); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestConclude holds which of several findings is the verdict.
func TestConclude(t *testing.T) {
	t.Parallel()
	invalid := `[{name: api, connections: [{type: awsRole, role: "not valid"}]}]`
	for name, tc := range map[string]struct {
		reason string
		world  world
		want   connection.Reason
	}{
		"ClaimFirst":       {"the mistake in the claim is what the team can mend", world{services: invalid, objects: []string{theirs}}, connection.InvalidField},
		"ThenTheAccount":   {"nothing is granted for its sake", world{services: api, objects: []string{theirs}}, connection.ServiceAccountTaken},
		"ThenTheCluster":   {"Crossplane must look first whether the kind is installed", world{services: api, composed: map[string]string{"shop-api.serviceaccount": serviceAccount}}, connection.CrossplaneTooOld},
		"ConnectedAtLast":  {"nothing is the matter", world{services: `[{name: api, connections: [{type: disk, config: {diskName: d}}]}]`, composed: map[string]string{"shop-api.serviceaccount": serviceAccount}, objects: []string{`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d, namespace: team-a}, status: {phase: Bound}}`}}, connection.Connected},
		"AccountIsDeleted": {"its pods lose their access with it", world{services: `[{name: api, connections: [{type: disk, config: {diskName: d}}]}]`, composed: map[string]string{"shop-api.serviceaccount": `{apiVersion: v1, kind: ServiceAccount, metadata: {name: shop-api, namespace: team-a, deletionTimestamp: "2026-01-02T03:04:05Z"}}`}, objects: []string{`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d, namespace: team-a}, status: {phase: Bound}}`}}, connection.Creating},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want(t, tc.want, conclude(injectedWorld(t, tc.world)).on[0].Reason, "verdict, "+tc.reason)
		})
	}
}
