package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// An admission is what the creation of a pod costs in a namespace with a number
// of claims.
type admission struct {
	claims int

	// median as the client sees it, and CPU time of the API server.
	median, cpu time.Duration
}

// admissions of pods in each of the crowded namespaces, by turns, so that what
// else goes on is the same for all. The pods are dry runs: all plugins see them,
// and none is kept.
func (m *measurement) admissions(ctx context.Context, pod func(namespace string) *corev1.Pod) ([]admission, error) {
	const rounds = 5
	if err := m.Namespace(ctx, crowd(0)); err != nil {
		return nil, err
	}
	took := make([][]time.Duration, len(crowds))
	cpu := make([]float64, len(crowds))
	for range rounds {
		for i, n := range crowds {
			before, err := m.APIServerMetrics(ctx)
			if err != nil {
				return nil, err
			}
			for range m.pods / rounds {
				begin := time.Now()
				if err := m.Client.Create(ctx, pod(crowd(n)), client.DryRunAll); err != nil {
					return nil, fmt.Errorf("cannot create pod: %w", err)
				}
				took[i] = append(took[i], time.Since(begin))
			}
			after, err := m.APIServerMetrics(ctx)
			if err != nil {
				return nil, err
			}
			cpu[i] += after.Value("process_cpu_seconds_total") - before.Value("process_cpu_seconds_total")
		}
	}
	var all []admission
	for i, n := range crowds {
		slices.Sort(took[i])
		all = append(all, admission{
			claims: n,
			median: took[i][len(took[i])/2],
			cpu:    time.Duration(cpu[i] / float64(len(took[i])) * float64(time.Second)),
		})
	}
	return all, nil
}

// replicaOf a Deployment, as its ReplicaSet makes it.
func replicaOf(deployment, namespace string) *corev1.Pod {
	const hash = "6d4cf56db6"
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, GenerateName: deployment + "-" + hash + "-",
			Labels: map[string]string{"app": deployment, "pod-template-hash": hash},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: deployment + "-" + hash, UID: "00000000-0000-0000-0000-000000000001", Controller: new(true),
			}},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "registry.example.org/app:1"}}},
	}
}

// unconnected pod, which no claim names.
func unconnected(namespace string) *corev1.Pod { return replicaOf("unconnected", namespace) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
