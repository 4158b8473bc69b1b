package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// A halfway rollout is one that its controller has begun, and doesn't end by itself.
type halfway struct {
	reason string

	// apiVersion and kind of workload api, what its spec has beside the template, and
	// how many pods it has.
	apiVersion, kind, spec string
	pods                   int

	// edit of the claim, by what is replaced by what, and the service's name then.
	edit    []string
	service string

	// begin to replace the pods, nil where that can't be begun by halves. Then stands
	// says how far the controller is.
	begin  func(*team)
	stands string

	// goes are the kinds of what is superseded.
	goes []string

	// end of the rollout, nil where its new pods only have to start.
	end func(*team)
}

// renamed and switched are edits that supersede what pods use.
var (
	renamed  = []string{"name: api\n  workload", "name: backend\n  workload"}
	switched = []string{"identityName: shop", "identityName: other"}
)

const selectsAPI = "selector: {matchLabels: {app: api}}"

var halfways = map[string]halfway{
	"Deployment": {
		reason:     "a new pod that doesn't become ready ends no old one, whatever the service is called now",
		apiVersion: "apps/v1", kind: "Deployment", spec: selectsAPI, pods: 1,
		edit: renamed, service: "backend",
		begin: rolloutRestart("deployment/api"), stands: "1 of its 2 pods are of the new template",
		goes: []string{"PodIdentityAssociation", "FederatedIdentityCredential"},
	},
	"StatefulSet": {
		reason:     "pods below the partition are of the revision before",
		apiVersion: "apps/v1", kind: "StatefulSet", spec: selectsAPI + ", serviceName: none, replicas: 2, updateStrategy: {rollingUpdate: {partition: 1}}", pods: 2,
		edit: switched, service: "api",
		begin: rolloutRestart("statefulset/api"), stands: "1 of its 2 pods are of the new template",
		goes: []string{"FederatedIdentityCredential"},
		end: func(tm *team) {
			tm.kubectl("kubectl -n " + tm.namespace + ` patch statefulset api --patch={"spec":{"updateStrategy":{"rollingUpdate":{"partition":0}}}}`)
		},
	},
	"DaemonSet": {
		reason:     "nobody has deleted the pods",
		apiVersion: "apps/v1", kind: "DaemonSet", spec: selectsAPI + ", updateStrategy: {type: OnDelete}", pods: 1,
		edit: switched, service: "api",
		begin: rolloutRestart("daemonset/api"), stands: "0 of its 1 pods are of the new template",
		goes: []string{"FederatedIdentityCredential"},
		end:  deleteOneOf(1),
	},
	"ByTheTeamsWord": {
		reason:     "the team hasn't said that its pods are gone",
		apiVersion: "apps/v1", kind: "DaemonSet", spec: selectsAPI + ", updateStrategy: {type: OnDelete}", pods: 1,
		edit: renamed, service: "backend",
		begin: rolloutRestart("daemonset/api"), stands: "0 of its 1 pods are of the new template",
		goes: []string{"PodIdentityAssociation", "FederatedIdentityCredential"},
		end:  func(tm *team) { tm.kubectl(tm.awaitWord("backend")) },
	},
	"ReplicaSet": {
		reason:     "it makes new pods beside old ones, and nothing tells them apart",
		apiVersion: "apps/v1", kind: "ReplicaSet", spec: selectsAPI + ", replicas: 2", pods: 2,
		edit: renamed, service: "backend",
		begin: deleteOneOf(2), stands: "its pods haven't restarted",
		goes: []string{"PodIdentityAssociation", "FederatedIdentityCredential"},
		end: func(tm *team) {
			tm.kubectl("kubectl -n " + tm.namespace + " scale replicaset/api --replicas=0")
			tm.awaitRollout("backend", func(r *claim.Rollout) bool { return r.Current })
			tm.kubectl("kubectl -n " + tm.namespace + " scale replicaset/api --replicas=2")
		},
	},
	"Job": {
		reason:     "its pod is what the Job was made from, until it ends",
		apiVersion: "batch/v1", kind: "Job", spec: "completions: 1", pods: 1,
		edit: switched, service: "api",
		stands: "its pods haven't restarted",
		goes:   []string{"FederatedIdentityCredential"},
		end:    (*team).succeed,
	},
	"Rollout": {
		reason:     "the canary is one of two pods",
		apiVersion: "argoproj.io/v1alpha1", kind: "Rollout", spec: selectsAPI + ", replicas: 2, strategy: {canary: {steps: [{setWeight: 50}, {pause: {}}]}}", pods: 2,
		edit: renamed, service: "backend",
		begin: func(tm *team) {
			tm.kubectl("kubectl -n " + tm.namespace + ` patch rollout api --type=merge --patch={"spec":{"template":{"metadata":{"annotations":{"version":"2"}}}}}`)
			tm.rollOutByArgo("one", "two", map[string]int{"one": 1, "two": 1})
		},
		stands: "its update hasn't ended",
		goes:   []string{"PodIdentityAssociation", "FederatedIdentityCredential"},
		end:    func(tm *team) { tm.rollOutByArgo("two", "two", map[string]int{"one": 0, "two": 2}) },
	},
}

// TestHalfway edits a claim and lets its workload begin to replace its pods. What the
// old ones were made with stays, in the API and in the cloud, and through a mistake
// too, until the workload's controller says that they are gone, or the team does.
func TestHalfway(t *testing.T) {
	t.Parallel()
	long(t)
	for name, tc := range halfways {
		services := "- name: api\n  workload: {apiVersion: " + tc.apiVersion + ", kind: " + tc.kind + ", name: api}\n  connections:\n  - {type: awsRole, role: my-app-s3-access}\n  - {type: azureManagedIdentity, identityName: shop, resourceGroup: rg-shop}"
		edited := strings.NewReplacer(tc.edit...).Replace(services)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(tm *team) {
				// Controllers, Crossplane and providers take turns many times.
				tm.deadline = disturbedDeadline
				tm.installWhatRuns(tc.kind)
				tm.connect(services)
				tm.awaitReady()
				tm.runWorkload(tc)
				used, lines := tm.objects(), tm.contents()
				intact := func(when string) {
					tm.t.Helper()
					tm.awaitNote(tc.service, "Superseded", tc.stands)
					for _, o := range used {
						tm.same(when+" "+tc.reason, o)
					}
					for _, line := range lines {
						if now := tm.contents(); !slices.Contains(now, line) {
							tm.t.Errorf("%s %s: of %q the cloud has only %q", when, tc.reason, line, now)
						}
					}
				}

				tm.connect(edited)
				tm.awaitRollout(tc.service, func(r *claim.Rollout) bool { return !r.Current && r.Template != "" })
				if tc.begin != nil {
					tc.begin(tm)
				}
				intact("half-way")
				tm.connect(strings.Replace(edited, "my-app-s3-access", "my-app-misspelt", 1))
				tm.awaitReason(tc.service, claim.TypeAWSRole, "RoleNotFound")
				intact("with a mistake")
				tm.connect(edited)
				tm.awaitReason(tc.service, claim.TypeAWSRole, "Connected")
				intact("with the mistake mended")

				if tc.end != nil {
					tc.end(tm)
				}
				tm.awaitNoRestart(tc.service)
				for _, o := range used {
					if slices.Contains(tc.goes, o.GetKind()) {
						tm.awaitGone(o)
					}
				}
				tm.eventually("the cloud has as much as before", func(context.Context) error {
					if now := tm.contents(); len(now) != len(lines) {
						return fmt.Errorf("it has %q", now)
					}
					return nil
				})
				tm.awaitReady()
			})
		})
	}
}

// installWhatRuns workloads of a kind that a cluster may be without.
func (t *team) installWhatRuns(kind string) {
	t.t.Helper()
	var err error
	switch kind {
	case "DaemonSet":
		// Its pods are for nodes.
		err = t.ApplyYAML(t.t.Context(), "{apiVersion: v1, kind: Node, metadata: {name: node}}")
	case "Rollout":
		err = t.InstallArgoRollouts(t.t.Context())
	}
	if err != nil {
		t.t.Fatal(err)
	}
}

// runWorkload of service api until all its pods run with what is published. The team
// gives its word that there were none before: it may all have been published piece by
// piece, and pods that no workload has made could be of the first.
func (t *team) runWorkload(tc halfway) {
	t.t.Helper()
	t.awaitInjecting("shop", "api")
	s, err := t.service(t.t.Context(), "api")
	if err != nil {
		t.t.Fatal(err)
	}
	t.kubectl("kubectl -n " + t.namespace + " annotate serviceconnection shop --overwrite " + claim.AnnotationPodsReplaced + "=" + s.Injection.Hash)
	t.awaitRollout("api", func(r *claim.Rollout) bool { return r.Current })
	t.apply("{apiVersion: " + tc.apiVersion + ", kind: " + tc.kind + ", metadata: {name: api}, spec: {template: " + podTemplate("api", tc.apiVersion) + ", " + tc.spec + "}}")
	if tc.kind == "Rollout" {
		t.rollOutByArgo("one", "one", map[string]int{"one": tc.pods})
	}
	t.eventually("all pods run", func(ctx context.Context) error {
		if err := t.startPods(ctx); err != nil {
			return err
		}
		pods := &corev1.PodList{}
		if err := t.Client.List(ctx, pods, inTeam(t, "api")...); err != nil {
			return fmt.Errorf("cannot list pods: %w", err)
		}
		running := 0
		for _, p := range pods.Items {
			if hash := p.Annotations[annotationInjection]; hash != s.Injection.Hash {
				t.t.Fatalf("pod %s has injection %q, want %q", p.Name, hash, s.Injection.Hash)
			}
			if p.Status.Phase == corev1.PodRunning {
				running++
			}
		}
		if running != tc.pods {
			return fmt.Errorf("%d do", running)
		}
		return nil
	})
}

// rolloutRestart of a workload, whose new pods nobody starts.
func rolloutRestart(workload string) func(*team) {
	return func(t *team) {
		t.t.Helper()
		t.kubectl("kubectl -n " + t.namespace + " rollout restart " + workload)
	}
}

// deleteOneOf the pods of workload api, which are so many.
func deleteOneOf(pods int) func(*team) {
	return func(t *team) {
		t.t.Helper()
		if err := t.Client.Delete(t.t.Context(), &t.awaitPods("api", pods)[0]); err != nil {
			t.t.Fatal(err)
		}
	}
}

// succeed is what the pods of a Job do.
func (t *team) succeed() {
	t.t.Helper()
	for _, pod := range t.awaitPods("api", 1) {
		pod.Status.Phase = corev1.PodSucceeded
		if err := t.Client.Status().Update(t.t.Context(), &pod); err != nil {
			t.t.Fatal(err)
		}
	}
}

// rollOutByArgo plays the controller of Argo Rollouts, of which only the CRD is here:
// ReplicaSets of the template, by its hash, with so many pods each, and what the
// Rollout's status says of them (argoproj/argo-rollouts, rollout/sync.go and
// rollout/canary.go).
func (t *team) rollOutByArgo(stable, current string, pods map[string]int) {
	t.t.Helper()
	rollout := t.get("argoproj.io/v1alpha1", "Rollout", "api")
	template, _, err := unstructured.NestedMap(rollout.Object, "spec", "template")
	if err != nil {
		t.t.Fatal(err)
	}
	total := 0
	for hash, n := range pods {
		total += n
		if rs := t.get("apps/v1", "ReplicaSet", "api-"+hash); rs != nil {
			t.kubectl(fmt.Sprintf("kubectl -n %s scale replicaset/api-%s --replicas=%d", t.namespace, hash, n))
			continue
		}
		labels := map[string]any{"app": "api", "rollouts-pod-template-hash": hash}
		if err := unstructured.SetNestedMap(template, labels, "metadata", "labels"); err != nil {
			t.t.Fatal(err)
		}
		rs := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apps/v1", "kind": "ReplicaSet",
			"spec": map[string]any{"replicas": int64(n), "selector": map[string]any{"matchLabels": labels}, "template": template},
		}}
		rs.SetName("api-" + hash)
		rs.SetNamespace(t.namespace)
		rs.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(rollout, rollout.GroupVersionKind())})
		if err := t.Client.Create(t.t.Context(), rs); err != nil {
			t.t.Fatal(err)
		}
	}
	rollout.Object["status"] = map[string]any{
		"observedGeneration": strconv.FormatInt(rollout.GetGeneration(), 10),
		"stableRS":           stable, "currentPodHash": current,
		"replicas": int64(total), "updatedReplicas": int64(pods[current]),
	}
	if err := t.Client.Status().Update(t.t.Context(), rollout); err != nil {
		t.t.Fatal(err)
	}
}

// awaitRollout of what is published for a service.
func (t *team) awaitRollout(service string, is func(*claim.Rollout) bool) {
	t.t.Helper()
	t.eventually("rollout of "+service, func(ctx context.Context) error {
		s, err := t.service(ctx, service)
		if err == nil && (s.Rollout == nil || s.Injection == nil || s.Rollout.Injection != s.Injection.Hash || !is(s.Rollout)) {
			err = fmt.Errorf("it is %+v, and published is %+v", s.Rollout, s.Injection)
		}
		return err
	})
}

// awaitWord that the status asks a team for: the command that says that no old pod of a
// service is left.
func (t *team) awaitWord(service string) string {
	t.t.Helper()
	var command string
	t.eventually(service+" asks for the team's word", func(ctx context.Context) error {
		s, err := t.service(ctx, service)
		if err != nil {
			return err
		}
		for _, n := range s.Notes {
			if _, after, ok := strings.Cut(n.Message, "say so: "); ok {
				command = after
				return nil
			}
		}
		return fmt.Errorf("notes are %v", s.Notes)
	})
	return command
}
