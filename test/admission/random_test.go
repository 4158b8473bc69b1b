package admission_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// TestDeliveriesAgreeOnAnyPod draws pods whose names, paths and ports meet the
// injections' often, so that both outcomes of every rule come up.
func TestDeliveriesAgreeOnAnyPod(t *testing.T) {
	t.Parallel()
	p, forms := compile(t), readForms(t)
	rapid.Check(t, func(r *rapid.T) {
		in := injection(t, drawConnections(r)...)
		in.Containers = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"api", "worker", "migrate"}), 0, 2, rapid.ID[string]).Draw(r, "targets")
		pod := drawPod(r)
		admitted, err := p.admitBoth(r, forms, pod, shop(t, in))
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

// TestServicesAgreeOnAnyPod draws pods that name a service in any way, and services
// with any workload, of names that begin and end alike.
func TestServicesAgreeOnAnyPod(t *testing.T) {
	t.Parallel()
	p, forms := compile(t), readForms(t)
	in := injection(t, "podIdentity")
	rapid.Check(t, func(r *rapid.T) {
		c := shop(t, in)
		one := statusOf(c)
		services := make([]any, 0, 2)
		workloads := map[string]claim.Workload{}
		for _, name := range []string{"api", "web"} {
			w := drawWorkload(r, name)
			workloads[name] = w
			s := runtimeCopy(one)
			s["name"], s["workload"] = name, map[string]any{"apiVersion": w.APIVersion, "kind": w.Kind, "name": w.Name}
			s["injection"].(map[string]any)["serviceAccountName"] = name
			services = append(services, s)
		}
		c["status"].(map[string]any)["services"] = services

		for range 20 {
			pod := &corev1.Pod{ObjectMeta: drawOrigin(r), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "api", Image: "api"}}}}
			admitted, err := p.admitBoth(r, forms, pod, c)
			if err != nil {
				r.Fatalf("the policy fails: %v", err)
			}
			want, naming := "", workload.NamingOf(pod)
			for _, name := range []string{"web", "api"} {
				if naming.Names("shop", name, workloads[name]) {
					want = name
				}
			}
			if got := admitted.Spec.ServiceAccountName; got != want {
				r.Fatalf("the policy takes the pod for one of service %q, package workload of %q: %+v of %v", got, want, pod.ObjectMeta, workloads)
			}
		}
	})
}

// drawName of a workload or of what it makes.
func drawName(r *rapid.T, label string) string {
	return rapid.SampledFrom([]string{"a", "a-1", "a-5f7d", "a-1-2", "a-5f7d-5f7d", "a-"}).Draw(r, label)
}

func drawWorkload(r *rapid.T, service string) claim.Workload {
	kinds := workload.Kinds()
	for _, k := range workload.Kinds() {
		if k.Makes.Kind != "" {
			// More often those that are told by what they make.
			kinds = append(kinds, k, k)
		}
	}
	k := rapid.SampledFrom(kinds).Draw(r, service+" kind")
	return claim.Workload{APIVersion: k.APIVersion, Kind: k.Kind, Name: drawName(r, service+" name")}
}

// drawOrigin of a pod.
func drawOrigin(r *rapid.T) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: "team-a", Name: drawName(r, "pod"), Labels: map[string]string{}}
	for key, values := range map[string][]string{
		"pod-template-hash":          {"", "5f7d", "1"},
		"rollouts-pod-template-hash": {"", "5f7d", "1"},
	} {
		if v := rapid.SampledFrom(values).Draw(r, key); v != "" {
			m.Labels[key] = v
		}
	}
	if rapid.IntRange(0, 3).Draw(r, "labelled") == 0 {
		m.Labels[workload.LabelClaim] = rapid.SampledFrom([]string{"shop", "shop", "other"}).Draw(r, "claim")
		m.Labels[workload.LabelService] = rapid.SampledFrom([]string{"api", "web", "other"}).Draw(r, "service")
	}
	for range rapid.SampledFrom([]int{0, 1, 1, 1, 1, 2, workload.MaxOwners, workload.MaxOwners + 1}).Draw(r, "owners") {
		owner := metav1.OwnerReference{Name: drawName(r, "owner")}
		k := rapid.SampledFrom([]string{"apps/v1 ReplicaSet", "apps/v1 ReplicaSet", "batch/v1 Job", "batch/v1 Job", "apps/v1 StatefulSet", "apps/v1 Deployment", "v1 Pod", "x/v1 ReplicaSet"}).Draw(r, "owner kind")
		owner.APIVersion, owner.Kind, _ = strings.Cut(k, " ")
		if rapid.IntRange(0, 3).Draw(r, "controls") > 0 {
			owner.Controller = new(true)
		}
		m.OwnerReferences = append(m.OwnerReferences, owner)
	}
	return m
}

// TestFormsAgreeOnAnyStatus changes anything of a published injection, as far as
// the schema of the status lets it pass.
func TestFormsAgreeOnAnyStatus(t *testing.T) {
	t.Parallel()
	p := compile(t)
	forms := readForms(t)
	pod := readPod(t, `spec: {containers: [{name: api, image: api}]}`)
	rapid.Check(t, func(r *rapid.T) {
		honest := shop(t, injection(t, drawConnections(r)...))
		for range 20 {
			c := runtimeCopy(honest)
			published := statusOf(c)["injection"].(map[string]any)
			tamper(r, published)
			// An error leaves the pod as it is.
			admitted, _ := p.admitBoth(r, forms, pod, c)
			want := pod
			if in, ok := fitting(t, forms, published); ok {
				if out, conflicts := rendered(t, pod, in); len(conflicts) == 0 {
					want = out
				}
			}
			if diff := cmp.Diff(agreed(want), agreed(admitted), cmpopts.EquateEmpty()); diff != "" {
				r.Fatalf("injection %v, -package workload +policy:\n%s", published, diff)
			}
		}
	})
}

// tamper with one value within v, and keep its type. Empty texts and zeros are the
// same as absent ones to the API server, and the policy refuses them.
func tamper(r *rapid.T, v any) any {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			return v
		}
		k := rapid.SampledFrom(slices.Sorted(maps.Keys(v))).Draw(r, "field")
		// The schema refuses a container without resources.
		if k != "resources" && rapid.IntRange(0, 5).Draw(r, "removed") == 0 {
			delete(v, k)
		} else {
			v[k] = tamper(r, v[k])
		}
		return v
	case []any:
		if len(v) == 0 {
			return v
		}
		i := rapid.IntRange(0, len(v)-1).Draw(r, "element")
		switch rapid.IntRange(0, 5).Draw(r, "list") {
		case 0:
			return slices.Delete(v, i, i+1)
		case 1:
			return append(v, runtime.DeepCopyJSONValue(v[i]))
		default:
			v[i] = tamper(r, v[i])
			return v
		}
	case string:
		return rapid.SampledFrom([]string{v + "x", "x", "MYSQL_HOST", "DB_EXPORT", "..", "/etc", "/data/..", "$(HOME)", "a b", "9801", "1Gi", v + "\n"}).Draw(r, "text")
	case int64:
		return rapid.SampledFrom([]int64{-1, 1, 600, 5432, 9801, 99999, 1 << 40}).Draw(r, "number")
	case bool:
		return !v
	default:
		return v
	}
}

// drawConnections that one service may have, in any order.
func drawConnections(r *rapid.T) []string {
	var connections []string
	for _, variants := range [][]string{
		{"", "podIdentity", "podIdentityIPv6", "irsa"},
		{"", "azure"},
		{"", "cloudSql", "cloudSqlPrivate"},
		{"", "cloudSqlNamed", "cloudSqlGivenVariables"},
		{"", "disk", "diskReadOnly"},
		{"", "diskNamed"},
		{"", "diskOfSameClaim"},
		{"", "diskOfSameClaimReadOnly"},
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
	if rapid.Bool().Draw(r, "own volume of the claim") {
		for _, name := range rapid.Permutation([]string{"data", "pictures", "sc-disk-thumbnails"}).Draw(r, "own volumes")[:rapid.IntRange(1, 3).Draw(r, "volumes of the claim")] {
			volumes = append(volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{
					ClaimName: rapid.SampledFrom([]string{"cache-storage", "cache-storage", "uploads"}).Draw(r, name+" claim"),
					ReadOnly:  rapid.IntRange(0, 3).Draw(r, name+" read-only") == 0,
				},
			}})
		}
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
			{Name: "PGHOST", Value: "db.example.org"},
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
				Name:      rapid.SampledFrom([]string{"sc-disk", "sc-disk", "tmp", "data", "sc-disk-thumbnails"}).Draw(r, name+" volume"),
				MountPath: rapid.SampledFrom([]string{"/data/cache-storage", "/data/cache-storage/", "/srv/cache", "/data", "/srv/all"}).Draw(r, name+" path"),
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
