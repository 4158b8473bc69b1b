package fn

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// A pod holds what it was made with for as long as it lives.
type pod struct {
	// revision of its controller's template that it was made from.
	revision string

	// template with the injection that was there when it was made.
	template map[string]any

	// azure is the identity that its ServiceAccount's annotations named then, which
	// Azure's webhook writes into the pod.
	azure string

	// left are the families of connections that left the claim while it ran: what is
	// taken from it then isn't missed, also when such a connection comes back.
	left map[string]bool

	// ready pods let a rolling update go on.
	ready bool

	// restart is how often its Rollout had been restarted when it was made.
	restart int
}

// A controller is a workload and the real controller behind it: it makes pods, and
// replaces them one at a time, in steps that can stop between any two. What its
// status tells is what the named sources write.
type controller struct {
	kind     string
	rendered bool

	// strategy by which old pods are replaced.
	strategy strategy

	// workloadRef says that a Rollout refers to a Deployment for its template.
	workloadRef bool

	exists     bool
	uid        int
	version    int // of the template, as the team writes it
	generation int // of the object, which the API server counts
	replicas   int
	restartAt  int // how often a Rollout was restarted, which replaces pods of its revision

	// What stops a rollout half-way: somebody has paused it; new pods don't become
	// ready; a step waits for somebody to promote it.
	paused, stuck, promoted bool

	// What the controller has seen, and remembers.
	observed         int
	current, updated string

	pods []pod

	// orphans are pods of an object that was deleted with --cascade=orphan.
	orphans []pod
}

// A strategy is how old pods are replaced.
type strategy string

const (
	rolling    strategy = "RollingUpdate"
	onDelete   strategy = "OnDelete"
	partition  strategy = "Partition" // of a StatefulSet: only the last pod
	canary     strategy = "Canary"    // of a Rollout: one pod, until promoted
	blueGreen  strategy = "BlueGreen" // of a Rollout: all new beside all old, until promoted
	replaceNot strategy = "None"      // of a ReplicaSet
)

// strategies that the kinds of workloads have.
var strategies = map[string][]strategy{
	"Deployment":  {rolling},
	"StatefulSet": {rolling, rolling, onDelete, partition},
	"DaemonSet":   {rolling, onDelete},
	"ReplicaSet":  {replaceNot},
	"Rollout":     {rolling, canary, blueGreen},
}

// alive are all pods that run what they were made with.
func (w *controller) alive() []pod { return slices.Concat(w.pods, w.orphans) }

// old pods are of another revision than the template's.
func (w *controller) old() []int {
	var old []int
	for i, p := range w.pods {
		if p.revision != w.updated {
			old = append(old, i)
		}
	}
	return old
}

// sync is one step of the controller: it observes the object, and makes or ends one
// pod. It says whether there was anything to do. Revision is the template's as it is
// now, and create makes a pod from it.
func (w *controller) sync(revision string, create func(revision string) pod) bool {
	if !w.exists {
		return false
	}
	seen := w.observed == w.generation && w.updated == revision
	if w.observed = w.generation; w.updated != revision {
		w.updated, w.promoted = revision, false
	}
	if w.current == "" {
		w.current = revision
	}
	did := w.roll(create)
	if len(w.old()) == 0 && w.complete() {
		w.current = w.updated
	}
	return did || !seen
}

// complete says whether there are as many pods as there should be, all ready.
func (w *controller) complete() bool {
	return len(w.pods) == w.replicas && !slices.ContainsFunc(w.pods, func(p pod) bool { return !p.ready })
}

// roll makes or ends one pod.
func (w *controller) roll(create func(revision string) pod) bool {
	old := w.old()
	switch {
	case w.mature():
		return true
	case len(w.pods) < w.replicas:
		// A paused Deployment scales the ReplicaSets that it has.
		if w.paused && len(old) > 0 {
			w.pods = append(w.pods, create(w.pods[old[0]].revision))
			return true
		}
		w.pods = append(w.pods, w.fresh(create))
		return true
	case !w.paused && w.endRestarted():
		return true
	case len(w.pods) > w.replicas && (len(old) == 0 || w.replicas == 0):
		w.end(len(w.pods) - 1)
		return true
	case len(old) == 0, w.paused, w.holds(len(old)):
		return false
	case w.surges() && len(w.pods) == w.replicas, w.strategy == blueGreen && !w.promoted && len(w.pods)-len(old) < w.replicas:
		w.pods = append(w.pods, w.fresh(create))
		return true
	case slices.ContainsFunc(w.pods, func(p pod) bool { return !p.ready }):
		// The next old pod stays until the new ones are ready.
		return false
	default:
		w.end(old[len(old)-1])
		return true
	}
}

// mature lets a pod that has started become ready, unless it never does.
func (w *controller) mature() bool {
	for i := range w.pods {
		if !w.pods[i].ready && !w.stuck {
			w.pods[i].ready = true
			return true
		}
	}
	return false
}

// endRestarted ends one pod that is older than the restart of its Rollout.
func (w *controller) endRestarted() bool {
	i := slices.IndexFunc(w.pods, func(p pod) bool { return p.restart < w.restartAt })
	if i < 0 || slices.ContainsFunc(w.pods, func(p pod) bool { return !p.ready }) {
		return false
	}
	w.end(i)
	return true
}

func (w *controller) fresh(create func(revision string) pod) pod {
	p := create(w.updated)
	p.revision, p.ready, p.restart = w.updated, false, w.restartAt
	return p
}

func (w *controller) end(i int) { w.pods = slices.Delete(w.pods, i, i+1) }

// surges says whether a new pod comes before an old one goes.
func (w *controller) surges() bool { return w.kind == "Deployment" || w.kind == "Rollout" }

// holds says whether the strategy leaves the old pods that there still are.
func (w *controller) holds(old int) bool {
	switch w.strategy {
	case onDelete, replaceNot:
		return true
	case partition:
		return !w.promoted && old < w.replicas
	case canary:
		return !w.promoted && len(w.pods) > old
	case blueGreen:
		return !w.promoted && len(w.pods)-old >= w.replicas
	default:
		return false
	}
}

// template as the team has written it.
func (w *controller) template(name string) map[string]any {
	return map[string]any{
		"metadata": map[string]any{"labels": map[string]any{"app": name, "version": fmt.Sprint("v", w.version)}},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "app", "image": "x"}}},
	}
}

// object as the team has written it.
func (w *controller) object(name string) map[string]any {
	spec := map[string]any{"template": w.template(name), "selector": map[string]any{"matchLabels": map[string]any{"app": name}}}
	if w.kind != "DaemonSet" {
		spec["replicas"] = float64(w.replicas)
	}
	apiVersion := "apps/v1"
	switch w.kind {
	case "Deployment":
		spec["paused"] = w.paused
	case "StatefulSet", "DaemonSet":
		update := map[string]any{"type": string(rolling)}
		switch {
		case w.strategy == onDelete:
			update["type"] = string(onDelete)
		case w.strategy == partition && !w.promoted:
			update["rollingUpdate"] = map[string]any{"partition": float64(max(0, w.replicas-1))}
		}
		spec["updateStrategy"] = update
	case "Rollout":
		apiVersion = "argoproj.io/v1alpha1"
		spec["strategy"] = map[string]any{"canary": map[string]any{"steps": []any{map[string]any{"setWeight": 10.0}, map[string]any{"pause": map[string]any{}}}}}
		if w.strategy == blueGreen {
			spec["strategy"] = map[string]any{"blueGreen": map[string]any{"activeService": name}}
		}
		spec["paused"] = w.paused
		if w.restartAt > 0 {
			spec["restartAt"] = fmt.Sprintf("2026-01-01T00:00:%02dZ", w.restartAt)
		}
		if w.workloadRef {
			delete(spec, "template")
			delete(spec, "selector")
			spec["workloadRef"] = map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": name + "-template"}
		}
	}
	return map[string]any{
		"apiVersion": apiVersion, "kind": w.kind,
		"metadata": map[string]any{"name": name, "namespace": "team-a"},
		"spec":     spec,
	}
}

// status as the controller of its kind writes it.
func (w *controller) status() map[string]any {
	updated, ready := 0, 0
	for _, p := range w.pods {
		if p.revision == w.updated {
			updated++
		}
		if p.ready {
			ready++
		}
	}
	n := func(i int) float64 { return float64(i) }
	switch w.kind {
	case "Deployment":
		// kubernetes/pkg/controller/deployment/sync.go, calculateStatus, and
		// progress.go, syncRolloutStatus.
		progressing := map[string]any{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
		switch {
		case w.paused:
			progressing["status"], progressing["reason"] = "Unknown", "DeploymentPaused"
		case w.stuck && updated > 0 && len(w.old()) > 0:
			progressing["status"], progressing["reason"] = "False", "ProgressDeadlineExceeded"
		case !w.complete():
			progressing["reason"] = "ReplicaSetUpdated"
		}
		return map[string]any{
			"observedGeneration": n(w.observed), "replicas": n(len(w.pods)), "updatedReplicas": n(updated),
			"readyReplicas": n(ready), "availableReplicas": n(ready), "unavailableReplicas": n(len(w.pods) - ready),
			"conditions": []any{progressing},
		}
	case "StatefulSet":
		// kubernetes/pkg/controller/statefulset/stateful_set_control.go,
		// updateStatefulSet and completeRollingUpdate, which leaves currentRevision
		// alone where the strategy is OnDelete.
		return map[string]any{
			"observedGeneration": n(w.observed), "replicas": n(len(w.pods)), "updatedReplicas": n(updated),
			"currentReplicas": n(len(w.pods) - updated), "readyReplicas": n(ready), "availableReplicas": n(ready),
			"currentRevision": w.current, "updateRevision": w.updated,
		}
	case "DaemonSet":
		// kubernetes/pkg/controller/daemon/daemon_controller.go, updateDaemonSetStatus.
		// Pods on nodes where none should be any more are misscheduled, and count
		// nowhere else.
		stray := max(0, len(w.pods)-w.replicas)
		updated = 0
		for _, p := range w.pods[:len(w.pods)-stray] {
			if p.revision == w.updated {
				updated++
			}
		}
		return map[string]any{
			"observedGeneration": n(w.observed), "desiredNumberScheduled": n(w.replicas), "currentNumberScheduled": n(len(w.pods) - stray),
			"updatedNumberScheduled": n(updated), "numberReady": n(ready), "numberAvailable": n(ready), "numberMisscheduled": n(stray),
		}
	case "ReplicaSet":
		// kubernetes/pkg/controller/replicaset/replica_set_utils.go, calculateStatus.
		return map[string]any{"observedGeneration": n(w.observed), "replicas": n(len(w.pods)), "readyReplicas": n(ready), "availableReplicas": n(ready)}
	default:
		// argo-rollouts/rollout/sync.go, calculateBaseStatus and syncRolloutStatusCanary
		// or -BlueGreen; utils/rollout/rolloututil.go, GetRolloutPhase. The generation
		// is a string there.
		phase := "Healthy"
		switch {
		case w.paused, len(w.old()) > 0 && w.holds(len(w.old())):
			phase = "Paused"
		case len(w.old()) > 0, !w.complete():
			phase = "Progressing"
		}
		status := map[string]any{
			"observedGeneration": fmt.Sprint(w.observed), "replicas": n(len(w.pods)), "updatedReplicas": n(updated),
			"readyReplicas": n(ready), "availableReplicas": n(ready),
			"currentPodHash": w.updated, "stableRS": w.current, "phase": phase,
		}
		// argo-rollouts/rollout/restart.go: once every pod is younger.
		if w.restartAt > 0 && !slices.ContainsFunc(w.pods, func(p pod) bool { return p.restart < w.restartAt }) {
			status["restartedAt"] = fmt.Sprintf("2026-01-01T00:00:%02dZ", w.restartAt)
		}
		return status
	}
}

// inject a copy of a template, as the admission policy does with a pod.
func inject(template, injection map[string]any) (map[string]any, error) {
	template = runtime.DeepCopyJSON(template)
	if injection == nil {
		return template, nil
	}
	in := claim.Injection{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(injection, &in); err != nil {
		return nil, err
	}
	workload.Inject(template, in)
	return template, nil
}
