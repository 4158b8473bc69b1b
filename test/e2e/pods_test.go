package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// What an injected pod carries, and the labels that name its service.
const (
	annotationClaim     = "serviceconnections.io/injected-by"
	annotationInjection = "serviceconnections.io/injection"
	labelClaim          = "serviceconnections.io/claim"
	labelService        = "serviceconnections.io/service"
)

// as the same team, a part of a test.
func as(t *testing.T, whole *team) *team {
	t.Helper()
	return &team{cluster: whole.cluster, t: t, namespace: whole.namespace, deadline: deadline}
}

// newNamespace in a cluster. Without a name it gets one of its own.
func newNamespace(t *testing.T, c *cluster, name string) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if name == "" {
		ns.GenerateName = "team-"
	}
	if err := c.Client.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	return ns.Name
}

// applyf is apply with values filled in.
func (t *team) applyf(format string, a ...any) {
	t.t.Helper()
	t.apply(fmt.Sprintf(format, a...))
}

// serviceOf a claim as the claim's status tells it, nil where it doesn't.
func (t *team) serviceOf(ctx context.Context, name, service string) (*claim.ServiceStatus, error) {
	u, err := t.Get(ctx, "serviceconnections.io/v1alpha1", "ServiceConnection", t.namespace, name)
	if err != nil || u == nil {
		return nil, err
	}
	s := struct {
		Status claim.Status `json:"status"`
	}{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &s); err != nil {
		return nil, err
	}
	for i := range s.Status.Services {
		if s.Status.Services[i].Name == service {
			return &s.Status.Services[i], nil
		}
	}
	return nil, nil
}

// awaitMessage of a connection of the claim shop, and return its status.
func (t *team) awaitMessage(service string, typ claim.ConnectionType, reason string, says func(string) bool) claim.ConnectionStatus {
	t.t.Helper()
	var found claim.ConnectionStatus
	t.eventually(fmt.Sprintf("%s/%s: %s", service, typ, reason), func(ctx context.Context) error {
		s, err := t.serviceOf(ctx, "shop", service)
		if err != nil {
			return err
		}
		if s == nil {
			return fmt.Errorf("no service")
		}
		i := slices.IndexFunc(s.Connections, func(c claim.ConnectionStatus) bool { return c.Type == typ })
		if i < 0 {
			return fmt.Errorf("no such connection")
		}
		if found = s.Connections[i]; found.Reason != reason || !says(found.Message) {
			return fmt.Errorf("reason %s: %s", found.Reason, found.Message)
		}
		return nil
	})
	return found
}

// says whether a message holds a text.
func says(text string) func(string) bool {
	return func(message string) bool { return strings.Contains(message, text) }
}

// awaitInjecting until the API server gives pods of a service what the claim's
// status publishes now.
func (t *team) awaitInjecting(name, service string) {
	t.t.Helper()
	t.eventually("injection of "+name+"/"+service, func(ctx context.Context) error {
		s, err := t.serviceOf(ctx, name, service)
		if err != nil {
			return err
		}
		if s == nil || s.Injection == nil {
			return fmt.Errorf("nothing is published: %v", s)
		}
		pod := t.barePod("try")
		pod.Labels = map[string]string{labelClaim: name, labelService: service}
		if err := t.Client.Create(ctx, pod, client.DryRunAll); err != nil {
			return err
		}
		if got := pod.Annotations[annotationInjection]; got != s.Injection.Hash {
			return fmt.Errorf("pods get %q, and the status publishes %q", got, s.Injection.Hash)
		}
		return nil
	})
}

// barePod that has all that a quota may demand.
func (t *team) barePod(name string) *corev1.Pod {
	small := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("16Mi")}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: t.namespace},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: "registry.example.org/main:1",
			Resources: corev1.ResourceRequirements{Requests: small, Limits: small},
		}}},
	}
}

// awaitPods of a workload, by the label app, until there is a number of them.
func (t *team) awaitPods(app string, n int) []corev1.Pod {
	t.t.Helper()
	pods := &corev1.PodList{}
	t.eventually(fmt.Sprintf("%d pods of %s", n, app), func(ctx context.Context) error {
		if err := t.Client.List(ctx, pods, inTeam(t, app)...); err != nil {
			return err
		}
		if len(pods.Items) == n {
			return nil
		}
		events := &corev1.EventList{}
		if err := t.Client.List(ctx, events, client.InNamespace(t.namespace)); err != nil {
			return err
		}
		var warnings []string
		for _, e := range events.Items {
			if e.Type == corev1.EventTypeWarning {
				warnings = append(warnings, e.InvolvedObject.Name+": "+e.Message)
			}
		}
		return fmt.Errorf("%d pods; %s", len(pods.Items), strings.Join(warnings, "; "))
	})
	return pods.Items
}

// inTeam are the pods of a workload, by the label app.
func inTeam(t *team, app string) []client.ListOption {
	return []client.ListOption{client.InNamespace(t.namespace), client.MatchingLabels{"app": app}}
}

// wantPod with all that it holds, as view tells it.
func (t *team) wantPod(pod *corev1.Pod, want string) {
	t.t.Helper()
	if diff := cmp.Diff(lines(want), lines(view(pod))); diff != "" {
		t.t.Errorf("pod %s: -want +got:\n%s", pod.Name, diff)
	}
}

// wantInjected checks who injected a pod, and that it is what was published.
func (t *team) wantInjected(pod *corev1.Pod, name, service string) {
	t.t.Helper()
	s, err := t.serviceOf(t.t.Context(), name, service)
	if err != nil {
		t.t.Fatal(err)
	}
	if s == nil || s.Injection == nil {
		t.t.Fatalf("claim %s publishes nothing for %s: %v", name, service, s)
	}
	want := map[string]string{annotationClaim: name, annotationInjection: s.Injection.Hash}
	if diff := cmp.Diff(want, ours(pod.Annotations)); diff != "" {
		t.t.Errorf("annotations of pod %s: -want +got:\n%s\n%s", pod.Name, diff, view(pod))
	}
}

// wantPlain checks that a pod got nothing at all.
func (t *team) wantPlain(pod *corev1.Pod) {
	t.t.Helper()
	if got := ours(pod.Annotations); len(got) > 0 {
		t.t.Errorf("pod %s: annotations %v, want none\n%s", pod.Name, got, view(pod))
	}
}

// ours of annotations.
func ours(annotations map[string]string) map[string]string {
	m := maps.Clone(annotations)
	maps.DeleteFunc(m, func(k, _ string) bool { return !strings.HasPrefix(k, "serviceconnections.io/") })
	return m
}

func lines(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") }

// view of a pod: what an injection may touch, a line each. What controllers and
// the API server's own plugins add is left out.
func view(pod *corev1.Pod) string {
	var b strings.Builder
	line := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	line("serviceAccount %s", pod.Spec.ServiceAccountName)
	for _, k := range slices.Sorted(maps.Keys(pod.Labels)) {
		if strings.Contains(k, "example.org/") || strings.Contains(k, "azure") || strings.Contains(k, "serviceconnections.io/") {
			line("label %s=%s", k, pod.Labels[k])
		}
	}
	if s := pod.Spec.SecurityContext; s != nil && s.FSGroup != nil {
		line("fsGroup %d", *s.FSGroup)
	}
	for i := range pod.Spec.Volumes {
		if v := &pod.Spec.Volumes[i]; !strings.HasPrefix(v.Name, "kube-api-access-") {
			line("volume %s %s", v.Name, source(v))
		}
	}
	for i := range pod.Spec.InitContainers {
		viewContainer(line, "init", &pod.Spec.InitContainers[i])
	}
	for i := range pod.Spec.Containers {
		viewContainer(line, "container", &pod.Spec.Containers[i])
	}
	return b.String()
}

func viewContainer(line func(string, ...any), what string, c *corev1.Container) {
	if c.RestartPolicy != nil {
		what = "sidecar"
	}
	line("%s %s %s", what, c.Name, c.Image)
	if c.RestartPolicy != nil {
		line("  args %s", strings.Join(c.Args, " "))
	}
	for _, e := range c.EnvFrom {
		line("  envFrom %s", e.ConfigMapRef.Name)
	}
	for _, e := range c.Env {
		line("  env %s=%s", e.Name, e.Value)
	}
	for _, m := range c.VolumeMounts {
		if strings.HasPrefix(m.Name, "kube-api-access-") {
			continue
		}
		access := "rw"
		if m.ReadOnly {
			access = "ro"
		}
		line("  mount %s", strings.TrimSpace(strings.Join([]string{m.Name, m.MountPath, access, m.SubPath}, " ")))
	}
}

// source of a volume.
func source(v *corev1.Volume) string {
	switch {
	case v.Projected != nil:
		var tokens []string
		for _, s := range v.Projected.Sources {
			if k := s.ServiceAccountToken; k != nil {
				tokens = append(tokens, fmt.Sprintf("token %s %ds %s", k.Audience, *k.ExpirationSeconds, k.Path))
			}
		}
		return strings.Join(tokens, ", ")
	case v.PersistentVolumeClaim != nil:
		return fmt.Sprintf("claim %s readOnly=%t", v.PersistentVolumeClaim.ClaimName, v.PersistentVolumeClaim.ReadOnly)
	case v.EmptyDir != nil:
		return "emptyDir"
	case v.HostPath != nil:
		return "hostPath " + v.HostPath.Path
	default:
		return "other"
	}
}

// annotations of an object of the team that has some.
func (t *team) annotations(kind, name string) map[string]string {
	t.t.Helper()
	u := t.get("v1", kind, name)
	if u == nil {
		t.t.Fatalf("%s %q does not exist", kind, name)
	}
	return u.GetAnnotations()
}

// condition of the claim shop: its status and message.
func (t *team) condition(ctx context.Context, typ string) (status, message string, err error) {
	u, err := t.Get(ctx, "serviceconnections.io/v1alpha1", "ServiceConnection", t.namespace, "shop")
	if err != nil || u == nil {
		return "", "", err
	}
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, v := range conditions {
		if m, _ := v.(map[string]any); m["type"] == typ {
			status, _ = m["status"].(string)
			message, _ = m["message"].(string)
		}
	}
	return status, message, nil
}
