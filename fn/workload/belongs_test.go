package workload

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

func owned(apiVersion, kind, name string) []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: name, Controller: new(true)}}
}

// TestNaming tells the pods of service api of ServiceConnection shop from others.
// test/admission holds that the admission policy does the same.
func TestNaming(t *testing.T) {
	t.Parallel()
	deployment := claim.Workload{APIVersion: "apps/v1", Kind: "Deployment", Name: "api"}
	cronJob := claim.Workload{APIVersion: "batch/v1", Kind: "CronJob", Name: "api.daily"}
	cases := map[string]struct {
		reason   string
		workload claim.Workload
		owners   []metav1.OwnerReference
		labels   map[string]string
		want     bool
	}{
		"Deployment": {
			reason:   "Its ReplicaSet's name ends in the hash that the pod has as a label.",
			workload: deployment, owners: owned("apps/v1", "ReplicaSet", "api-5d4f"), labels: map[string]string{"pod-template-hash": "5d4f"}, want: true,
		},
		"DeploymentOfLongerName": {
			reason:   "Deployment api-web makes ReplicaSets that begin with api- too.",
			workload: deployment, owners: owned("apps/v1", "ReplicaSet", "api-web-5d4f"), labels: map[string]string{"pod-template-hash": "5d4f"},
		},
		"DeploymentWithoutHash": {
			reason:   "A ReplicaSet that nobody's Deployment made.",
			workload: deployment, owners: owned("apps/v1", "ReplicaSet", "api-5d4f"),
		},
		"DeploymentOfAnotherGroup": {
			reason:   "A ReplicaSet of another API group isn't Kubernetes'.",
			workload: deployment, owners: owned("example.com/v1", "ReplicaSet", "api-5d4f"), labels: map[string]string{"pod-template-hash": "5d4f"},
		},
		"Rollout": {
			reason:   "Argo's ReplicaSets have a label of their own.",
			workload: claim.Workload{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: "api"},
			owners:   owned("apps/v1", "ReplicaSet", "api-5d4f"), labels: map[string]string{"rollouts-pod-template-hash": "5d4f"}, want: true,
		},
		"ReplicaSet": {
			reason:   "A ReplicaSet that a Deployment could have made may be named itself.",
			workload: claim.Workload{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "api-5d4f"},
			owners:   owned("apps/v1", "ReplicaSet", "api-5d4f"), labels: map[string]string{"pod-template-hash": "5d4f"}, want: true,
		},
		"StatefulSet": {
			reason:   "The controller is the workload.",
			workload: claim.Workload{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "api"}, owners: owned("apps/v1", "StatefulSet", "api"), want: true,
		},
		"SameNameOfAnotherKind": {
			reason:   "A DaemonSet may have a StatefulSet's name.",
			workload: claim.Workload{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "api"}, owners: owned("apps/v1", "DaemonSet", "api"),
		},
		"CronJob": {
			reason:   "Its Jobs are named by the time.",
			workload: cronJob, owners: owned("batch/v1", "Job", "api.daily-29384756"), want: true,
		},
		"JobByHand": {
			reason:   "kubectl create job --from makes one of any name.",
			workload: cronJob, owners: owned("batch/v1", "Job", "api.daily-now"),
		},
		"JobOfNoNumber": {
			reason:   "A name that ends in the hyphen has no time.",
			workload: cronJob, owners: owned("batch/v1", "Job", "api.daily-"),
		},
		"JobOfCronJobOfLongerName": {
			reason:   "api.daily is not api.daily-2.",
			workload: cronJob, owners: owned("batch/v1", "Job", "api.daily-2-29384756"),
		},
		"Pod": {
			reason:   "A bare Pod is its own workload.",
			workload: claim.Workload{APIVersion: "v1", Kind: "Pod", Name: "pod"}, want: true,
		},
		"ControlledPodOfThatName": {
			reason:   "A pod that a controller made isn't a bare one.",
			workload: claim.Workload{APIVersion: "v1", Kind: "Pod", Name: "pod"}, owners: owned("apps/v1", "StatefulSet", "db"),
		},
		"OwnerThatIsNoController": {
			reason:   "Only the controller made the pod.",
			workload: claim.Workload{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db"},
			owners:   []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db"}},
		},
		"ControllerAmongOwners": {
			reason:   "Others may own a pod beside its controller.",
			workload: claim.Workload{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db"},
			owners:   slices.Concat(make([]metav1.OwnerReference, MaxOwners-1), owned("apps/v1", "StatefulSet", "db")), want: true,
		},
		"TooManyOwners": {
			reason:   "To read thousands for each claim would cost more than the pod.",
			workload: claim.Workload{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db"},
			owners:   slices.Concat(make([]metav1.OwnerReference, MaxOwners), owned("apps/v1", "StatefulSet", "db")),
		},
		"TooManyOwnersOfBarePod": {
			reason:   "Nor is it a bare one then.",
			workload: claim.Workload{APIVersion: "v1", Kind: "Pod", Name: "pod"},
			owners:   make([]metav1.OwnerReference, MaxOwners+1),
		},
		"Labelled": {
			reason:   "Labels that name the service come first.",
			workload: deployment, labels: map[string]string{LabelClaim: "shop", LabelService: "api"}, want: true,
		},
		"LabelledWithTooManyOwners": {
			reason:   "Labels need no owner.",
			workload: deployment, labels: map[string]string{LabelClaim: "shop", LabelService: "api"}, owners: make([]metav1.OwnerReference, MaxOwners+1), want: true,
		},
		"LabelledForAnother": {
			reason:   "Also where the controller says otherwise.",
			workload: deployment, owners: owned("apps/v1", "ReplicaSet", "api-5d4f"),
			labels: map[string]string{"pod-template-hash": "5d4f", LabelClaim: "other", LabelService: "api"},
		},
		"LabelledByHalf": {
			reason:   "Half of the labels is a mistake.",
			workload: deployment, labels: map[string]string{LabelClaim: "shop"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := &metav1.ObjectMeta{Name: "pod", Labels: tc.labels, OwnerReferences: tc.owners}
			if got := NamingOf(pod).Names("shop", "api", tc.workload); got != tc.want {
				t.Errorf("%s\ngot %t, want %t: %+v", tc.reason, got, tc.want, NamingOf(pod))
			}
		})
	}
}
