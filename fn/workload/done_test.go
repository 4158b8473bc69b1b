package workload

import (
	"testing"

	"sigs.k8s.io/yaml"
)

// TestReplaced holds when a workload's own controller says that no pod of an
// earlier template is left.
func TestReplaced(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason           string
		apiVersion, kind string
		object           string
		waits            string
	}{
		"Deployment/Done":             {"all pods are updated, available or not", apps, "Deployment", `{metadata: {generation: 2}, spec: {replicas: 3}, status: {observedGeneration: 2, replicas: 3, updatedReplicas: 3, unavailableReplicas: 3}}`, ""},
		"Deployment/DefaultReplicas":  {"one replica is the default", apps, "Deployment", `{spec: {}, status: {replicas: 1, updatedReplicas: 1}}`, ""},
		"Deployment/NoStatus":         {"what isn't said counts as no", apps, "Deployment", `{metadata: {generation: 1}, spec: {replicas: 1}}`, "its controller has yet to see its last change"},
		"Deployment/NotObserved":      {"the status is of the template before", apps, "Deployment", `{metadata: {generation: 3}, spec: {replicas: 3}, status: {observedGeneration: 2, replicas: 3, updatedReplicas: 3}}`, "its controller has yet to see its last change"},
		"Deployment/Paused":           {"a paused rollout has replaced nothing", apps, "Deployment", `{metadata: {generation: 2}, spec: {paused: true, replicas: 3}, status: {observedGeneration: 2, replicas: 3, updatedReplicas: 0}}`, "0 of its 3 pods are of the new template"},
		"Deployment/Stuck":            {"new pods that don't start replace nothing", apps, "Deployment", `{spec: {replicas: 3}, status: {replicas: 4, updatedReplicas: 1, conditions: [{type: Progressing, status: "False", reason: ProgressDeadlineExceeded}]}}`, "1 of its 4 pods are of the new template"},
		"Deployment/Surge":            {"old pods stay until new ones are ready", apps, "Deployment", `{spec: {replicas: 3}, status: {replicas: 4, updatedReplicas: 3}}`, "3 of its 4 pods are of the new template"},
		"Deployment/ScalingUp":        {"pods that are yet to come may come of any template", apps, "Deployment", `{spec: {replicas: 3}, status: {replicas: 2, updatedReplicas: 2}}`, "2 of its 3 pods are of the new template"},
		"Deployment/Terminating":      {"pods that are ending still use what they have", apps, "Deployment", `{spec: {replicas: 3}, status: {replicas: 3, updatedReplicas: 3, terminatingReplicas: 1}}`, "1 of its pods are ending"},
		"Deployment/Zero":             {"none is left", apps, "Deployment", `{spec: {replicas: 0}, status: {observedGeneration: 1}}`, ""},
		"StatefulSet/Done":            {"all pods are of the new revision", apps, "StatefulSet", `{spec: {replicas: 3}, status: {replicas: 3, updatedReplicas: 3, currentRevision: b, updateRevision: b}}`, ""},
		"StatefulSet/NotObserved":     {"the status is of the template before", apps, "StatefulSet", `{metadata: {generation: 3}, spec: {replicas: 3}, status: {observedGeneration: 2, replicas: 3, updatedReplicas: 3}}`, "its controller has yet to see its last change"},
		"DaemonSet/NotObserved":       {"the status is of the template before", apps, "DaemonSet", `{metadata: {generation: 3}, status: {observedGeneration: 2, desiredNumberScheduled: 1, updatedNumberScheduled: 1}}`, "its controller has yet to see its last change"},
		"ReplicaSet/NotObserved":      {"the status is of the template before", apps, "ReplicaSet", `{metadata: {generation: 3}, spec: {replicas: 0}, status: {observedGeneration: 2, replicas: 0}}`, "its controller has yet to see its last change"},
		"StatefulSet/Partition":       {"pods below the partition stay", apps, "StatefulSet", `{spec: {replicas: 3, updateStrategy: {rollingUpdate: {partition: 2}}}, status: {replicas: 3, updatedReplicas: 1, currentRevision: a, updateRevision: b}}`, "1 of its 3 pods are of the new template"},
		"StatefulSet/OnDelete":        {"its currentRevision is never moved on", apps, "StatefulSet", `{spec: {replicas: 3, updateStrategy: {type: OnDelete}}, status: {replicas: 3, updatedReplicas: 3, currentRevision: a, updateRevision: b}}`, ""},
		"StatefulSet/OnDeleteHalfway": {"somebody has deleted one pod", apps, "StatefulSet", `{spec: {replicas: 3, updateStrategy: {type: OnDelete}}, status: {replicas: 3, updatedReplicas: 1}}`, "1 of its 3 pods are of the new template"},
		"DaemonSet/Done":              {"every node has a new pod", apps, "DaemonSet", `{metadata: {generation: 2}, status: {observedGeneration: 2, desiredNumberScheduled: 3, updatedNumberScheduled: 3}}`, ""},
		"DaemonSet/Halfway":           {"a node has an old pod", apps, "DaemonSet", `{status: {desiredNumberScheduled: 3, updatedNumberScheduled: 2}}`, "2 of its 3 pods are of the new template"},
		"DaemonSet/NoStatus":          {"what isn't said counts as no", apps, "DaemonSet", `{}`, "its controller hasn't counted its pods"},
		"DaemonSet/Misscheduled":      {"such a pod isn't counted as updated or not", apps, "DaemonSet", `{status: {desiredNumberScheduled: 3, updatedNumberScheduled: 3, numberMisscheduled: 1}}`, "1 of its pods are on nodes where none should be"},
		"ReplicaSet/Runs":             {"it replaces no pod", apps, "ReplicaSet", `{spec: {replicas: 2}, status: {replicas: 2}}`, "it replaces none of its 2 pods; scale it to zero and back"},
		"ReplicaSet/Zero":             {"none is left", apps, "ReplicaSet", `{spec: {replicas: 0}, status: {replicas: 0}}`, ""},
		"ReplicaSet/NoStatus":         {"nobody has counted", apps, "ReplicaSet", `{spec: {replicas: 0}}`, "its controller hasn't counted its pods"},
		"Job/Runs":                    {"its pods are what they were made from", batch, "Job", `{status: {active: 1}}`, "it hasn't ended"},
		"Job/Complete":                {"no pod of it runs", batch, "Job", `{status: {succeeded: 1, conditions: [{type: Complete, status: "True"}]}}`, ""},
		"Job/Failed":                  {"no pod of it runs", batch, "Job", `{status: {conditions: [{type: Failed, status: "True"}]}}`, ""},
		"Job/Terminating":             {"one is still ending", batch, "Job", `{status: {terminating: 1, conditions: [{type: Failed, status: "True"}]}}`, "it hasn't ended"},
		"CronJob/Runs":                {"a job of before runs", batch, "CronJob", `{status: {active: [{name: a}]}}`, "1 of its jobs run"},
		"CronJob/Rests":               {"each run has new pods", batch, "CronJob", `{}`, ""},
		"Rollout/Done":                {"the new ReplicaSet is the stable one, and has all pods", argo, "Rollout", `{metadata: {generation: 4}, spec: {replicas: 3}, status: {observedGeneration: "4", replicas: 3, updatedReplicas: 3, stableRS: b, currentPodHash: b}}`, ""},
		"Rollout/NotObserved":         {"the status is of the template before", argo, "Rollout", `{metadata: {generation: 5}, spec: {replicas: 3}, status: {observedGeneration: "4", replicas: 3, updatedReplicas: 3, stableRS: b, currentPodHash: b}}`, "its controller has yet to see its last change"},
		"Rollout/Canary":              {"most pods are of the stable ReplicaSet", argo, "Rollout", `{spec: {replicas: 10}, status: {replicas: 10, updatedReplicas: 1, stableRS: a, currentPodHash: b}}`, "its update hasn't ended"},
		"Rollout/Aborted":             {"it has gone back to the stable ReplicaSet", argo, "Rollout", `{spec: {replicas: 3}, status: {abort: true, replicas: 3, updatedReplicas: 0, stableRS: a, currentPodHash: b}}`, "its update hasn't ended"},
		"Rollout/BlueGreenDelay":      {"the old ReplicaSet stays for scaleDownDelaySeconds", argo, "Rollout", `{spec: {replicas: 3, strategy: {blueGreen: {}}}, status: {replicas: 6, updatedReplicas: 3, stableRS: b, currentPodHash: b}}`, "3 of its 6 pods are of the new template"},
		"Rollout/Restarting":          {"it ends pods one by one", argo, "Rollout", `{spec: {replicas: 1, restartAt: "2026-01-02T03:04:05Z"}, status: {replicas: 1, updatedReplicas: 1, stableRS: a, currentPodHash: a}}`, "its restart hasn't ended"},
		"Rollout/WorkloadRef":         {"its controller has the hash of the other workload's template", argo, "Rollout", `{spec: {replicas: 1, workloadRef: {kind: Deployment, name: api}}, status: {replicas: 1, updatedReplicas: 1, stableRS: a, currentPodHash: a}}`, ""},
		"Rollout/NoStatus":            {"what isn't said counts as no", argo, "Rollout", `{spec: {replicas: 1}}`, "its update hasn't ended"},
		"Pod":                         {"it isn't read", core, "Pod", `{}`, "nobody can tell of which template its pods are"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := map[string]any{}
			if err := yaml.Unmarshal([]byte(tc.object), &obj); err != nil {
				t.Fatal(err)
			}
			k, _ := KindOf(tc.apiVersion, tc.kind)
			done, waits := k.Replaced(obj)
			if done != (tc.waits == "") || !done && waits != tc.waits {
				t.Errorf("%s: done %t, waits %q, want %q", tc.reason, done, waits, tc.waits)
			}
		})
	}
}

// TestEmpty holds when a workload has no pods at all.
func TestEmpty(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason           string
		apiVersion, kind string
		object           string
		want             bool
	}{
		"ScaledToZero":   {"old and new pods are gone", apps, "Deployment", `{spec: {replicas: 0}, status: {replicas: 0}}`, true},
		"ScalingToZero":  {"some are still there", apps, "Deployment", `{spec: {replicas: 0}, status: {replicas: 1}}`, false},
		"AllUpdated":     {"pods are there", apps, "Deployment", `{spec: {replicas: 1}, status: {replicas: 1, updatedReplicas: 1}}`, false},
		"DaemonSet":      {"no node takes its pods", apps, "DaemonSet", `{status: {desiredNumberScheduled: 0}}`, true},
		"DaemonSetQuiet": {"nobody has counted", apps, "DaemonSet", `{}`, false},
		"JobEnded":       {"its pods have ended", batch, "Job", `{status: {conditions: [{type: Complete, status: "True"}]}}`, true},
		"ReplicaSet":     {"its pods are gone", apps, "ReplicaSet", `{spec: {replicas: 0}, status: {replicas: 0}}`, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			obj := map[string]any{}
			if err := yaml.Unmarshal([]byte(tc.object), &obj); err != nil {
				t.Fatal(err)
			}
			k, _ := KindOf(tc.apiVersion, tc.kind)
			if got := k.Empty(obj); got != tc.want {
				t.Errorf("%s: got %t", tc.reason, got)
			}
		})
	}
}
