package admission_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"
)

// TestDeliveriesAgreeOnAnyPod draws pods whose names, paths and ports meet the
// injections' often, so that both outcomes of every rule come up.
func TestDeliveriesAgreeOnAnyPod(t *testing.T) {
	t.Parallel()
	p := compile(t)
	rapid.Check(t, func(r *rapid.T) {
		in := injection(t, drawConnections(r)...)
		in.Containers = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"api", "worker", "migrate"}), 0, 2, rapid.ID[string]).Draw(r, "targets")
		pod := drawPod(r)
		admitted, err := p.admit(pod, shop(t, in))
		if err != nil {
			r.Fatalf("the policy fails: %v", err)
		}
		want, conflicts := rendered(t, pod, in)
		if len(conflicts) > 0 {
			want = pod
		}
		if diff := cmp.Diff(agreed(want), agreed(admitted), cmpopts.EquateEmpty()); diff != "" {
			r.Fatalf("conflicts %v, -rendered +admitted:\n%s", conflicts, diff)
		}
	})
}

// drawConnections that one service may have, in any order.
func drawConnections(r *rapid.T) []string {
	var connections []string
	for _, variants := range [][]string{
		{"", "podIdentity", "podIdentityIPv6", "irsa"},
		{"", "azure"},
		{"", "cloudSql", "cloudSqlPrivate"},
		{"", "disk", "diskReadOnly"},
	} {
		if c := rapid.SampledFrom(variants).Draw(r, "connection"); c != "" {
			connections = append(connections, c)
		}
	}
	return rapid.Permutation(connections).Draw(r, "connections")
}

func drawPod(r *rapid.T) *corev1.Pod {
	pod := ofDeployment(&corev1.Pod{})
	if v := rapid.SampledFrom([]string{"", "", "", "true", "false"}).Draw(r, "label"); v != "" {
		pod.Labels["azure.workload.identity/use"] = v
	}
	if rapid.Bool().Draw(r, "annotated") {
		pod.Annotations = map[string]string{"team": "a"}
	}
	pod.Spec.ServiceAccountName = rapid.SampledFrom([]string{"", "default", "default", serviceAccount, "own"}).Draw(r, "serviceAccount")
	pod.Spec.DeprecatedServiceAccount = pod.Spec.ServiceAccountName
	if rapid.Bool().Draw(r, "securityContext") {
		pod.Spec.SecurityContext = &corev1.PodSecurityContext{}
		if rapid.Bool().Draw(r, "fsGroup") {
			group := int64(0)
			pod.Spec.SecurityContext.FSGroup = &group
		}
	}
	pod.Spec.Volumes = subset(r, "volumes", drawVolumes(r))
	names := rapid.Permutation([]string{"api", "worker", "migrate"}).Draw(r, "containers")
	if rapid.IntRange(0, 7).Draw(r, "own proxy") == 0 {
		names = append(names, "sc-cloud-sql-proxy")
	}
	for i, name := range names {
		c := drawContainer(r, name)
		if i > 0 && rapid.Bool().Draw(r, name+" is an init container") {
			pod.Spec.InitContainers = append(pod.Spec.InitContainers, c)
		} else {
			pod.Spec.Containers = append(pod.Spec.Containers, c)
		}
	}
	return pod
}

// drawVolumes of the names that the injections use, each once, and one other.
func drawVolumes(r *rapid.T) []corev1.Volume {
	volumes := []corev1.Volume{{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	if rapid.Bool().Draw(r, "own disk") {
		volumes = append(volumes, corev1.Volume{Name: "sc-disk", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{
				ClaimName: rapid.SampledFrom([]string{"cache-storage", "cache-storage", "other"}).Draw(r, "claim"),
				ReadOnly:  rapid.Bool().Draw(r, "read-only claim"),
			},
		}})
	}
	if rapid.Bool().Draw(r, "own token") {
		seconds, mode := int64(86400), int32(420)
		volumes = append(volumes, corev1.Volume{Name: "eks-pod-identity-token", VolumeSource: corev1.VolumeSource{
			Projected: &corev1.ProjectedVolumeSource{DefaultMode: &mode, Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
				Audience:          rapid.SampledFrom([]string{"pods.eks.amazonaws.com", "pods.eks.amazonaws.com", "vault"}).Draw(r, "audience"),
				ExpirationSeconds: &seconds,
				Path:              "eks-pod-identity-token",
			}}}},
		}})
	}
	return volumes
}

func drawContainer(r *rapid.T, name string) corev1.Container {
	return corev1.Container{
		Name:  name,
		Image: "image",
		Env: subset(r, name+" env", []corev1.EnvVar{
			{Name: "AWS_REGION", Value: "us-east-1"},
			{Name: "DB_PORT"},
			{Name: "LOG_LEVEL", Value: "debug"},
		}),
		EnvFrom: subset(r, name+" envFrom", []corev1.EnvFromSource{{Prefix: "X_"}}),
		Ports: subset(r, name+" ports", []corev1.ContainerPort{
			{ContainerPort: 8080},
			{ContainerPort: 5432, Protocol: rapid.SampledFrom([]corev1.Protocol{"", "TCP", "UDP", "UDP", "UDP"}).Draw(r, name+" protocol")},
		}),
		VolumeMounts: subset(r, name+" volumeMounts", []corev1.VolumeMount{
			{Name: "tmp", MountPath: "/tmp"},
			{
				Name:      rapid.SampledFrom([]string{"sc-disk", "sc-disk", "tmp"}).Draw(r, name+" volume"),
				MountPath: rapid.SampledFrom([]string{"/data/cache-storage", "/data/cache-storage/", "/srv/cache", "/data"}).Draw(r, name+" path"),
				SubPath:   rapid.SampledFrom([]string{"", "a/b"}).Draw(r, name+" subPath"),
				ReadOnly:  rapid.Bool().Draw(r, name+" readOnly"),
			},
		}),
	}
}

// subset of a list. Most are empty, so that pods without conflicts are common.
func subset[T any](r *rapid.T, label string, from []T) []T {
	var s []T
	for i, v := range from {
		if rapid.IntRange(0, 3).Draw(r, fmt.Sprintf("%s %d", label, i)) == 0 {
			s = append(s, v)
		}
	}
	return s
}
