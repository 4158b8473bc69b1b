package admission_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serviceconnections/function-service-connections/fn/workload"
)

func controlledBy(apiVersion, kind, name string) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: name, UID: "b0b", Controller: &yes}}
}

const (
	claimLabel   = workload.LabelClaim
	serviceLabel = workload.LabelService
)

func TestMatching(t *testing.T) {
	t.Parallel()
	p, forms := compile(t), readForms(t)
	cases := map[string]struct {
		reason   string
		workload string // apiVersion/kind/name
		pod      metav1.ObjectMeta
		change   func(claim map[string]any)
		want     bool
	}{
		"Deployment": {
			reason:   "A Deployment's pods belong to a ReplicaSet that is named by their template's hash.",
			workload: "apps/v1/Deployment/web.v2-1",
			pod:      metav1.ObjectMeta{Labels: map[string]string{"pod-template-hash": "abc"}, OwnerReferences: controlledBy("apps/v1", "ReplicaSet", "web.v2-1-abc")},
			want:     true,
		},
		"DeploymentOfLongerName": {
			reason:   "web is not web-admin.",
			workload: "apps/v1/Deployment/web",
			pod:      metav1.ObjectMeta{Labels: map[string]string{"pod-template-hash": "abc"}, OwnerReferences: controlledBy("apps/v1", "ReplicaSet", "web-admin-abc")},
		},
		"DeploymentNamesAreNoPatterns": {
			reason:   "A dot in a name is a dot.",
			workload: "apps/v1/Deployment/a.b",
			pod:      metav1.ObjectMeta{Labels: map[string]string{"pod-template-hash": "abc"}, OwnerReferences: controlledBy("apps/v1", "ReplicaSet", "axb-abc")},
		},
		"DeploymentWithoutHash": {
			reason:   "Without the label a ReplicaSet isn't a Deployment's.",
			workload: "apps/v1/Deployment/web",
			pod:      metav1.ObjectMeta{OwnerReferences: controlledBy("apps/v1", "ReplicaSet", "web-abc")},
		},
		"DeploymentOfAnotherGroup": {
			reason:   "A ReplicaSet of another API group isn't Kubernetes'.",
			workload: "apps/v1/Deployment/web",
			pod:      metav1.ObjectMeta{Labels: map[string]string{"pod-template-hash": "abc"}, OwnerReferences: controlledBy("example.com/v1", "ReplicaSet", "web-abc")},
		},
		"Rollout": {
			reason:   "Argo names its ReplicaSets by a label of its own.",
			workload: "argoproj.io/v1alpha1/Rollout/web",
			pod:      metav1.ObjectMeta{Labels: map[string]string{"rollouts-pod-template-hash": "abc"}, OwnerReferences: controlledBy("apps/v1", "ReplicaSet", "web-abc")},
			want:     true,
		},
		"RolloutIsNoDeployment": {
			reason:   "A Deployment and a Rollout of one name are two workloads.",
			workload: "apps/v1/Deployment/web",
			pod:      metav1.ObjectMeta{Labels: map[string]string{"rollouts-pod-template-hash": "abc"}, OwnerReferences: controlledBy("apps/v1", "ReplicaSet", "web-abc")},
		},
		"ReplicaSet": {
			reason:   "A bare ReplicaSet controls its pods itself.",
			workload: "apps/v1/ReplicaSet/web",
			pod:      metav1.ObjectMeta{OwnerReferences: controlledBy("apps/v1", "ReplicaSet", "web")},
			want:     true,
		},
		"StatefulSet": {
			reason:   "A StatefulSet controls its pods itself.",
			workload: "apps/v1/StatefulSet/db",
			pod:      metav1.ObjectMeta{OwnerReferences: controlledBy("apps/v1", "StatefulSet", "db")},
			want:     true,
		},
		"StatefulSetOfAnotherGroup": {
			reason:   "OpenKruise's StatefulSet isn't the one that the claim names.",
			workload: "apps/v1/StatefulSet/db",
			pod:      metav1.ObjectMeta{OwnerReferences: controlledBy("apps.kruise.io/v1beta1", "StatefulSet", "db")},
		},
		"DaemonSet": {
			reason:   "A DaemonSet controls its pods itself.",
			workload: "apps/v1/DaemonSet/agent",
			pod:      metav1.ObjectMeta{OwnerReferences: controlledBy("apps/v1", "DaemonSet", "agent")},
			want:     true,
		},
		"Job": {
			reason:   "A Job controls its pods itself.",
			workload: "batch/v1/Job/migrate",
			pod:      metav1.ObjectMeta{OwnerReferences: controlledBy("batch/v1", "Job", "migrate")},
			want:     true,
		},
		"CronJob": {
			reason:   "A CronJob's Job has its name and the minute.",
			workload: "batch/v1/CronJob/report.daily",
			pod:      metav1.ObjectMeta{OwnerReferences: controlledBy("batch/v1", "Job", "report.daily-29123456")},
			want:     true,
		},
		"CronJobNamesAreNoPatterns": {
			reason:   "A dot in a name is a dot.",
			workload: "batch/v1/CronJob/report.daily",
			pod:      metav1.ObjectMeta{OwnerReferences: controlledBy("batch/v1", "Job", "report-daily-29123456")},
		},
		"JobBesideCronJob": {
			reason:   "A Job whose name only begins like the CronJob's isn't its.",
			workload: "batch/v1/CronJob/report",
			pod:      metav1.ObjectMeta{OwnerReferences: controlledBy("batch/v1", "Job", "report-manual-1x")},
		},
		"JobWithAnotherSeparator": {
			reason:   "A CronJob sets its name and the minute apart by a hyphen.",
			workload: "batch/v1/CronJob/report",
			pod:      metav1.ObjectMeta{OwnerReferences: controlledBy("batch/v1", "Job", "report.29123456")},
		},
		"JobOfCronJobOfLongerName": {
			reason:   "report is not report-2.",
			workload: "batch/v1/CronJob/report",
			pod:      metav1.ObjectMeta{OwnerReferences: controlledBy("batch/v1", "Job", "report-2-29123456")},
		},
		"Pod": {
			reason:   "A bare pod is named by the claim itself.",
			workload: "v1/Pod/debug",
			pod:      metav1.ObjectMeta{Name: "debug"},
			want:     true,
		},
		"ControlledPodOfThatName": {
			reason:   "A pod that a controller made isn't a bare one.",
			workload: "v1/Pod/db-0",
			pod:      metav1.ObjectMeta{Name: "db-0", OwnerReferences: controlledBy("apps/v1", "StatefulSet", "db")},
		},
		"OwnerThatIsNoController": {
			reason:   "Only the controller made the pod.",
			workload: "apps/v1/StatefulSet/db",
			pod:      metav1.ObjectMeta{Name: "x", OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "db"}}},
		},
		"TooManyOwners": {
			reason:   "To read thousands of owners for each claim costs more than the pod.",
			workload: "apps/v1/StatefulSet/db",
			pod:      metav1.ObjectMeta{OwnerReferences: append(make([]metav1.OwnerReference, workload.MaxOwners), controlledBy("apps/v1", "StatefulSet", "db")...)},
		},
		"Labels": {
			reason:   "Where the controller doesn't tell, labels do.",
			workload: "apps/v1/Deployment/web",
			pod:      metav1.ObjectMeta{Labels: map[string]string{claimLabel: "shop", serviceLabel: "api"}, OwnerReferences: controlledBy("batch/v1", "Job", "by-hand")},
			want:     true,
		},
		"LabelsWithoutController": {
			reason:   "A bare pod may say by labels what it belongs to.",
			workload: "apps/v1/Deployment/web",
			pod:      metav1.ObjectMeta{Labels: map[string]string{claimLabel: "shop", serviceLabel: "api"}},
			want:     true,
		},
		"LabelsOfAnotherClaim": {
			reason:   "A pod that names another claim isn't this one's, whatever controls it.",
			workload: "apps/v1/StatefulSet/db",
			pod:      metav1.ObjectMeta{Labels: map[string]string{claimLabel: "other", serviceLabel: "api"}, OwnerReferences: controlledBy("apps/v1", "StatefulSet", "db")},
		},
		"LabelsOfAnotherService": {
			reason:   "The claim has no such service.",
			workload: "apps/v1/StatefulSet/db",
			pod:      metav1.ObjectMeta{Labels: map[string]string{claimLabel: "shop", serviceLabel: "other"}, OwnerReferences: controlledBy("apps/v1", "StatefulSet", "db")},
		},
		"LabelsWithoutService": {
			reason:   "Half of the labels is a mistake.",
			workload: "apps/v1/StatefulSet/db",
			pod:      metav1.ObjectMeta{Labels: map[string]string{claimLabel: "shop"}, OwnerReferences: controlledBy("apps/v1", "StatefulSet", "db")},
		},
		"InjectedByAnother": {
			reason:   "Of two claims that name one workload the first one wins.",
			workload: "apps/v1/StatefulSet/db",
			pod:      metav1.ObjectMeta{Annotations: map[string]string{injectedBy: "other"}, OwnerReferences: controlledBy("apps/v1", "StatefulSet", "db")},
		},
		"InjectedInTemplate": {
			reason:   "A workload that a pipeline rendered has its injection.",
			workload: "apps/v1/StatefulSet/db",
			pod:      metav1.ObjectMeta{Annotations: map[string]string{"serviceconnections.io/injection": hash}, OwnerReferences: controlledBy("apps/v1", "StatefulSet", "db")},
		},
		"ClaimBeingDeleted": {
			reason:   "The service account goes with the claim, and a pod without it is refused.",
			workload: "apps/v1/StatefulSet/db",
			pod:      metav1.ObjectMeta{OwnerReferences: controlledBy("apps/v1", "StatefulSet", "db")},
			change: func(claim map[string]any) {
				claim["metadata"].(map[string]any)["deletionTimestamp"] = "2026-01-01T00:00:00Z"
			},
		},
		"NoStatus": {
			reason:   "A claim that was just made has published nothing.",
			workload: "apps/v1/StatefulSet/db",
			pod:      metav1.ObjectMeta{OwnerReferences: controlledBy("apps/v1", "StatefulSet", "db")},
			change:   func(claim map[string]any) { delete(claim, "status") },
		},
		"NoInjection": {
			reason:   "A service whose values aren't known yet has published nothing.",
			workload: "apps/v1/StatefulSet/db",
			pod:      metav1.ObjectMeta{OwnerReferences: controlledBy("apps/v1", "StatefulSet", "db")},
			change:   func(claim map[string]any) { delete(statusOf(claim), "injection") },
		},
		"NoWorkload": {
			reason:   "A status without a workload concerns labelled pods only.",
			workload: "apps/v1/StatefulSet/db",
			pod:      metav1.ObjectMeta{OwnerReferences: controlledBy("apps/v1", "StatefulSet", "db")},
			change:   func(claim map[string]any) { delete(statusOf(claim), "workload") },
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			claim := shop(t, injection(t, "podIdentity", "cloudSql", "disk"))
			i := strings.LastIndexByte(tc.workload, '/')
			j := strings.LastIndexByte(tc.workload[:i], '/')
			statusOf(claim)["workload"] = map[string]any{"apiVersion": tc.workload[:j], "kind": tc.workload[j+1 : i], "name": tc.workload[i+1:]}
			if tc.change != nil {
				tc.change(claim)
			}
			tc.pod.Namespace = "team-a"
			pod := &corev1.Pod{ObjectMeta: tc.pod, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "api", Image: "api"}}}}
			admitted, err := p.admitBoth(t, forms, pod, claim)
			if err != nil {
				t.Fatalf("%s\nthe policy fails: %v", tc.reason, err)
			}
			if got := admitted.Spec.ServiceAccountName == serviceAccount; got != tc.want {
				t.Errorf("%s\ninjected %t, want %t", tc.reason, got, tc.want)
			}
		})
	}
}

func TestSecondClaim(t *testing.T) {
	t.Parallel()
	p := compile(t)
	first := shop(t, injection(t, "podIdentity"))
	second := shop(t, injection(t, "cloudSql", "disk"))
	second["metadata"].(map[string]any)["name"] = "other"
	pod, err := p.admit(readPod(t, `spec: {containers: [{name: api, image: api}]}`), first)
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.admit(pod, second)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.Annotations[injectedBy]; got != "shop" || len(again.Spec.InitContainers) != 0 {
		t.Errorf("a pod is injected by one claim only: injected by %q, init containers %v", got, again.Spec.InitContainers)
	}
}

// TestCost holds the policy to the API server's limits with the largest claim
// that the schema allows, and a pod that is larger than any sensible one.
func TestCost(t *testing.T) {
	t.Parallel()
	p := compile(t)
	in := injection(t, "podIdentity", "azure", "cloudSql", "diskReadOnly")
	claim := shop(t, in)
	service := statusOf(claim)
	services := make([]any, 0, 100)
	for i := range 99 {
		services = append(services, map[string]any{
			"name":      fmt.Sprintf("api-%d", i),
			"workload":  map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "api-" + strings.Repeat("x", 200) + fmt.Sprint(i)},
			"injection": service["injection"],
		})
	}
	claim["status"].(map[string]any)["services"] = append(services, service)

	pod := ofDeployment(&corev1.Pod{})
	for i := range 20 {
		c := corev1.Container{Name: fmt.Sprintf("c-%d", i), Image: "api"}
		for j := range 100 {
			c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", j), Value: strings.Repeat("v", 100)})
		}
		for j := range 20 {
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: fmt.Sprintf("v-%d", j), MountPath: fmt.Sprintf("/mnt/%d", j)})
			c.Ports = append(c.Ports, corev1.ContainerPort{ContainerPort: int32(1000*i + j)})
		}
		pod.Spec.Containers = append(pod.Spec.Containers, c)
		c.Name = "init-" + c.Name
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, c)
	}
	for j := range 20 {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: fmt.Sprintf("v-%d", j)})
	}
	admitted, err := p.admitBoth(t, readForms(t), pod, claim)
	if err != nil {
		t.Fatalf("the policy exceeds a limit of the API server: %v", err)
	}
	if admitted.Spec.ServiceAccountName != serviceAccount || len(admitted.Spec.Containers[19].VolumeMounts) != 22 {
		t.Errorf("the pod lacks its injection: service account %q, mounts %d", admitted.Spec.ServiceAccountName, len(admitted.Spec.Containers[19].VolumeMounts))
	}
}

// BenchmarkOtherClaim is what each ServiceConnection of a namespace costs the
// creation of a pod that isn't its own, by its services and the pod's owners.
func BenchmarkOtherClaim(b *testing.B) {
	for _, size := range []struct{ services, owners int }{{1, 1}, {1, 3000}, {100, 1}, {100, 3000}} {
		b.Run(fmt.Sprintf("services=%d/owners=%d", size.services, size.owners), func(b *testing.B) {
			p := compile(b)
			claim := shop(b, injection(b, "podIdentity", "cloudSql", "disk"))
			services := make([]any, size.services)
			for i := range services {
				s := runtimeCopy(statusOf(claim))
				s["workload"].(map[string]any)["name"] = fmt.Sprintf("api-%d", i)
				services[i] = s
			}
			claim["status"].(map[string]any)["services"] = services
			pod := readPod(b, `spec: {containers: [{name: web, image: web}]}`)
			pod.OwnerReferences = controlledBy("apps/v1", "ReplicaSet", "web-5f7d")
			for i := range size.owners - 1 {
				pod.OwnerReferences = append(pod.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: fmt.Sprintf("web-%d", i)})
			}
			for b.Loop() {
				if _, err := p.admit(pod, claim); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOwnClaim is what the injection itself costs.
func BenchmarkOwnClaim(b *testing.B) {
	p := compile(b)
	claim := shop(b, injection(b, "podIdentity", "cloudSql", "disk"))
	pod := readPod(b, `spec: {containers: [{name: api, image: api}]}`)
	for b.Loop() {
		if _, err := p.admit(pod, claim); err != nil {
			b.Fatal(err)
		}
	}
}
