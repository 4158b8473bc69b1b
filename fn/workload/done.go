package workload

import (
	"fmt"
	"strconv"

	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// A replaced function says whether a workload's own controller knows that every
// pod is of the current template: it has seen the template, all replicas are
// updated, and no other pod is left. Where it isn't so, waits says for what. What
// the controller hasn't said counts as no.
type replaced func(obj map[string]any) (done bool, waits string)

// replacements are the controllers' words for that, by kind. A kind that isn't
// here has no controller that replaces its pods.
var replacements = map[string]replaced{
	"Deployment":  allUpdated,
	"StatefulSet": allUpdated,
	"DaemonSet":   daemonSetReplaced,
	"ReplicaSet":  replicaSetReplaced,
	"Job":         jobReplaced,
	"CronJob":     cronJobReplaced,
	"Rollout":     rolloutReplaced,
}

// Replaced says whether no pod of an earlier template is left, as the workload's
// own controller tells it, and else what is waited for. A rollout that is paused,
// stuck, partitioned or half-way isn't done, nor is one that hasn't begun.
func (k Kind) Replaced(obj map[string]any) (done bool, waits string) {
	f, ok := replacements[k.Kind]
	if !ok {
		return false, "nobody can tell of which template its pods are"
	}
	return f(obj)
}

// Empty says whether the workload has no pods at all, old or new, as its own
// controller tells it: it is to have none, or its runs have ended.
func (k Kind) Empty(obj map[string]any) bool {
	done, _ := k.Replaced(obj)
	switch k.Kind {
	case "ReplicaSet", "Job", "CronJob":
		return done
	case "DaemonSet":
		return done && count(obj, "status", "desiredNumberScheduled") == 0
	default:
		n, set := decoded.Integer(decoded.At(obj, "spec", "replicas"))
		return done && set && n == 0 && count(obj, "status", "replicas") == 0
	}
}

// allUpdated of a Deployment or a StatefulSet. Kubernetes API reference,
// DeploymentStatus, and what kubectl rollout status asks (k8s.io/kubectl,
// pkg/polymorphichelpers/rollout_status.go): replicas are all pods that aren't
// terminating, of whatever template, and terminatingReplicas those that are, where
// the API server tells.
//
// StatefulSetStatus: updatedReplicas are the pods of updateRevision. That, and not
// currentRevision, which a StatefulSet with the strategy OnDelete never moves on,
// tells that no pod is of another revision (k8s.io/kubernetes, pkg/controller/
// statefulset/stateful_set_control.go, updateStatefulSet and
// completeRollingUpdate). Below a partition pods stay of the revision before, and so
// not all are updated.
func allUpdated(obj map[string]any) (done bool, waits string) {
	if w := unobserved(obj); w != "" {
		return false, w
	}
	return replicasUpdated(obj)
}

// daemonSetReplaced: Kubernetes API reference, DaemonSetStatus. A node counts as
// updated when its oldest pod is, and pods on nodes where none should be are
// misscheduled (k8s.io/kubernetes, pkg/controller/daemon/daemon_controller.go,
// updateDaemonSetStatus).
func daemonSetReplaced(obj map[string]any) (done bool, waits string) {
	if w := unobserved(obj); w != "" {
		return false, w
	}
	if decoded.At(obj, "status", "desiredNumberScheduled") == nil {
		return false, "its controller hasn't counted its pods"
	}
	desired, updated := count(obj, "status", "desiredNumberScheduled"), count(obj, "status", "updatedNumberScheduled")
	if stray := count(obj, "status", "numberMisscheduled"); stray > 0 {
		return false, fmt.Sprintf("%d of its pods are on nodes where none should be", stray)
	}
	if updated < desired {
		return false, fmt.Sprintf("%d of its %d pods are of the new template", updated, desired)
	}
	return true, ""
}

// replicaSetReplaced: a ReplicaSet replaces no pod, and takes up those of one that
// was deleted and made anew. Only when it has none, none is old.
func replicaSetReplaced(obj map[string]any) (done bool, waits string) {
	if w := unobserved(obj); w != "" {
		return false, w
	}
	if n := count(obj, "status", "replicas") + count(obj, "status", "terminatingReplicas"); n > 0 {
		return false, fmt.Sprintf("it replaces none of its %d pods; scale it to zero and back", n)
	}
	return decoded.Object(obj, "status") != nil, "its controller hasn't counted its pods"
}

// jobReplaced: Kubernetes API reference, JobStatus. A Job's pods stay what they
// were made from until the Job has ended.
func jobReplaced(obj map[string]any) (done bool, waits string) {
	ended := false
	for _, c := range decoded.Objects(obj, "status", "conditions") {
		ended = ended || (c["type"] == "Complete" || c["type"] == "Failed") && c["status"] == "True"
	}
	if n := count(obj, "status", "active") + count(obj, "status", "terminating"); n > 0 || !ended {
		return false, "it hasn't ended"
	}
	return true, ""
}

// cronJobReplaced: Kubernetes API reference, CronJobStatus. Each run has new pods,
// so none is old once no job of before runs.
func cronJobReplaced(obj map[string]any) (done bool, waits string) {
	if active := len(decoded.List(obj, "status", "active")); active > 0 {
		return false, fmt.Sprintf("%d of its jobs run", active)
	}
	return true, ""
}

// rolloutReplaced: Argo Rollouts, pkg/apis/rollouts/v1alpha1/types.go,
// RolloutStatus. The stable ReplicaSet is that of the current template once a
// canary or a blue-green update has ended, and replicas are all pods, those too
// that a blue-green update leaves for its scaleDownDelay. observedGeneration is a
// number in a string. A restart is done when restartedAt is what was asked for
// (rollout/restart.go). With a workloadRef the template is the workload's, whose
// generation workloadObservedGeneration is.
func rolloutReplaced(obj map[string]any) (done bool, waits string) {
	generation := count(obj, "metadata", "generation")
	if seen, err := strconv.ParseInt(decoded.Text(obj, "status", "observedGeneration"), 10, 64); generation > 0 && (err != nil || seen < generation) {
		return false, "its controller has yet to see its last change"
	}
	stable, current := decoded.Text(obj, "status", "stableRS"), decoded.Text(obj, "status", "currentPodHash")
	if current == "" || stable != current {
		return false, "its update hasn't ended"
	}
	if at := decoded.Text(obj, "spec", "restartAt"); at != "" && decoded.Text(obj, "status", "restartedAt") != at {
		return false, "its restart hasn't ended"
	}
	return replicasUpdated(obj)
}

// unobserved says that the controller hasn't seen the object's last change: what
// its status says is of the object before.
func unobserved(obj map[string]any) string {
	if count(obj, "status", "observedGeneration") < count(obj, "metadata", "generation") {
		return "its controller has yet to see its last change"
	}
	return ""
}

// replicasUpdated says whether all replicas that there are, and that there should be,
// are updated.
func replicasUpdated(obj map[string]any) (done bool, waits string) {
	want := int64(1)
	if n, ok := decoded.Integer(decoded.At(obj, "spec", "replicas")); ok {
		want = n
	}
	all, updated := count(obj, "status", "replicas"), count(obj, "status", "updatedReplicas")
	if terminating := count(obj, "status", "terminatingReplicas"); terminating > 0 {
		return false, fmt.Sprintf("%d of its pods are ending", terminating)
	}
	if total := max(all, want); updated < total {
		return false, fmt.Sprintf("%d of its %d pods are of the new template", updated, total)
	}
	return true, ""
}

// count at a path, 0 where there is none.
func count(obj map[string]any, path ...string) int64 {
	n, _ := decoded.Integer(decoded.At(obj, path...))
	return n
}
