package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/e2e/machine"
)

// serviceAccount of the services, which the API server wants to be there.
const serviceAccount = "shop-api"

// A crowd is a namespace with a number of claims of a number of services.
type crowd struct{ claims, services int }

func (c crowd) namespace() string { return fmt.Sprintf("crowd-%d-%d", c.claims, c.services) }

// The crowds whose pods are measured, of small claims and of large ones. The small ones
// are a thousand with those of one more namespace, which count for the memory only.
var (
	small  = []crowd{{0, 1}, {1, 1}, {20, 1}, {100, 1}, {300, 1}}
	others = crowd{579, 1}
	large  = []crowd{{1, 100}, {20, 100}, {100, 100}, {300, 100}}
)

// A mode is what gives pods their injection.
type mode string

// The modes, in the order in which the report has them.
const (
	neither mode = "neither"
	policy  mode = "policy"
	webhook mode = "webhook"
	both    mode = "both"
	floor   mode = "a webhook that does nothing"
)

var modes = []mode{neither, policy, webhook, both, floor}

// A kind of pod, by who it is of.
type kind string

const (
	unconnected kind = "of no claim"
	connected   kind = "of a claim"
	owned       kind = "of no claim, 3,000 owners"
)

// The kinds, and the crowds beside which each is measured. With the policy some take
// seconds each.
var (
	kinds  = []kind{unconnected, connected, owned}
	beside = map[kind][]crowd{
		unconnected: slices.Concat(small, large),
		connected:   append(slices.Clone(small[1:]), large[:2]...),
		owned:       {small[0], small[2], small[4], large[1]},
	}
)

// settle is how long the API server may take until its caches have what was written.
const settle = 5 * time.Second

// manyOwners of a pod. One is its controller.
const manyOwners = 3000

// A cell of the report.
type cell struct {
	crowd crowd
	kind  kind
	mode  mode
}

// A report is what was measured.
type report struct {
	load     string
	medians  map[cell]time.Duration
	size     map[int]int // of a claim in bytes, by its services
	resident map[string]float64
}

type measurement struct {
	*controlplane.ControlPlane

	pods      int
	injection claim.Injection
	progress  func(string, ...any)
}

// measure all. The webhook's memory comes first, while there are small claims only.
func (m measurement) measure(ctx context.Context) (*report, error) {
	r := &report{load: machine.LoadAverage(), medians: map[cell]time.Duration{}, size: map[int]int{}, resident: map[string]float64{}}
	if err := m.fillAll(ctx, r, append(slices.Clone(small), others)...); err != nil {
		return nil, err
	}
	if err := m.withWebhook(ctx, func(w *controlplane.Webhook) (err error) {
		if _, err := m.create(ctx, connected, crowd{300, 1}, 200); err != nil {
			return err
		}
		r.resident["small"], err = m.resident(ctx, w)
		return err
	}); err != nil {
		return nil, err
	}
	if err := m.fillAll(ctx, r, large...); err != nil {
		return nil, err
	}
	if err := m.by(ctx, policy, r); err != nil {
		return nil, err
	}
	if err := m.withWebhook(ctx, func(w *controlplane.Webhook) (err error) {
		if err := m.by(ctx, both, r); err != nil {
			return err
		}
		if err := m.removePolicy(ctx); err != nil {
			return err
		}
		if err := m.by(ctx, webhook, r); err != nil {
			return err
		}
		r.resident["all"], err = m.resident(ctx, w)
		return err
	}); err != nil {
		return nil, err
	}
	if err := m.withFloor(ctx, func() error { return m.by(ctx, floor, r) }); err != nil {
		return nil, err
	}
	wait(ctx, settle)
	return r, m.by(ctx, neither, r)
}

// by a mode, pods of all kinds in all crowds.
func (m measurement) by(ctx context.Context, by mode, r *report) error {
	for _, k := range kinds {
		for _, c := range beside[k] {
			took, err := m.create(ctx, k, c, m.pods)
			if err != nil {
				return err
			}
			median := took[len(took)/2]
			r.medians[cell{c, k, by}] = median
			m.progress("%-27s %-26s %3d claims of %3d services: %s, %d pods", by, k, c.claims, c.services, median, len(took))
		}
	}
	return nil
}

// withWebhook that runs, of two replicas, something is done.
func (m measurement) withWebhook(ctx context.Context, do func(*controlplane.Webhook) error) error {
	w, err := m.StartWebhook(ctx, 2, false)
	if err != nil {
		return err
	}
	return errors.Join(do(w), w.Stop(context.WithoutCancel(ctx)))
}

// resident memory of the replica that has more, in bytes, once both have rested.
func (measurement) resident(ctx context.Context, w *controlplane.Webhook) (most float64, err error) {
	wait(ctx, 10*time.Second)
	for i := range w.Addresses() {
		metrics, err := w.Metrics(ctx, i)
		if err != nil {
			return 0, err
		}
		most = max(most, metrics.Value("process_resident_memory_bytes"))
	}
	return most, nil
}

// removePolicy of injection, as where Kubernetes has none.
func (m measurement) removePolicy(ctx context.Context) error {
	for _, kind := range []string{"MutatingAdmissionPolicyBinding", "MutatingAdmissionPolicy"} {
		o := &unstructured.Unstructured{}
		o.SetAPIVersion("admissionregistration.k8s.io/v1")
		o.SetKind(kind)
		o.SetName("service-connections")
		if err := m.Client.Delete(ctx, o); err != nil {
			return fmt.Errorf("cannot remove policy: %w", err)
		}
	}
	wait(ctx, settle)
	return nil
}

// fillAll namespaces, and wait until the API server knows what they have.
func (m measurement) fillAll(ctx context.Context, r *report, crowds ...crowd) error {
	for _, c := range crowds {
		begin := time.Now()
		if err := m.fill(ctx, c, r.size); err != nil {
			return err
		}
		m.progress("%d claims of %d services are there after %s", c.claims, c.services, time.Since(begin).Round(time.Second))
	}
	wait(ctx, settle)
	return nil
}

// fill a namespace with claims that nothing reconciles, and say how large one is.
func (m measurement) fill(ctx context.Context, c crowd, size map[int]int) error {
	const writers = 4
	if err := m.ApplyYAML(ctx, fmt.Sprintf(
		"{apiVersion: v1, kind: Namespace, metadata: {name: %[1]s}}\n---\n{apiVersion: v1, kind: ServiceAccount, metadata: {name: %[2]s, namespace: %[1]s}}",
		c.namespace(), serviceAccount)); err != nil {
		return err
	}
	errs := make([]error, writers)
	sizes := make([]int, writers)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := w; i < c.claims && errs[w] == nil; i += writers {
				sizes[w], errs[w] = m.write(ctx, c, i)
			}
		})
	}
	all.Wait()
	size[c.services] = max(size[c.services], slices.Max(sizes))
	return errors.Join(errs...)
}

// write a claim of a crowd with its status, and return its size in bytes.
func (m measurement) write(ctx context.Context, c crowd, i int) (size int, err error) {
	services, stands := make([]any, 0, c.services), make([]any, 0, c.services)
	for s := range c.services {
		name := serviceName(i, s)
		services = append(services, map[string]any{"name": name, "connections": []any{map[string]any{"type": "awsRole", "role": "my-app-s3-access"}}})
		stands = append(stands, map[string]any{
			"name": name, "delivery": "Admission", "serviceAccountName": serviceAccount, "injection": m.injection,
			"workload":    map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
			"connections": []any{map[string]any{"type": "awsRole", "ready": true, "reason": "Connected"}},
		})
	}
	written, err := asObject(map[string]any{
		"apiVersion": "serviceconnections.io/v1alpha1", "kind": "ServiceConnection",
		"metadata": map[string]any{"name": fmt.Sprintf("claim-%d", i), "namespace": c.namespace()},
		"spec":     map[string]any{"services": services},
	})
	if err != nil {
		return 0, err
	}
	status, err := asObject(map[string]any{"services": stands})
	if err != nil {
		return 0, err
	}
	if err := m.Client.Create(ctx, written); err != nil {
		return 0, fmt.Errorf("cannot create claim: %w", err)
	}
	written.Object["status"] = status.Object
	if err := m.Crossplane.Status().Update(ctx, written); err != nil {
		return 0, fmt.Errorf("cannot write status: %w", err)
	}
	b, err := written.MarshalJSON()
	if err != nil {
		return 0, fmt.Errorf("cannot encode claim: %w", err)
	}
	return len(b), nil
}

// serviceName of a claim's service, and the name of its Deployment.
func serviceName(ofClaim, service int) string { return fmt.Sprintf("service-%d-%d", ofClaim, service) }

// asObject is a value as the API server has it.
func asObject(v map[string]any) (*unstructured.Unstructured, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("cannot encode object: %w", err)
	}
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal(b, &u.Object); err != nil {
		return nil, fmt.Errorf("cannot decode object: %w", err)
	}
	return u, nil
}

// create pods of a kind, and return how long that took, the shortest first. What the
// API server does only once, such as connecting to the webhook, isn't counted.
func (m measurement) create(ctx context.Context, k kind, c crowd, pods int) ([]time.Duration, error) {
	const (
		enough = 3 * time.Second
		warm   = 2
	)
	pod := podOf(k, c.namespace())
	took := make([]time.Duration, 0, pods)
	begin := time.Now()
	for i := 0; i < pods+warm && (time.Since(begin) < enough || len(took) < 2); i++ {
		try := pod.DeepCopy()
		before := time.Now()
		if err := m.Client.Create(ctx, try, client.DryRunAll); err != nil {
			return nil, fmt.Errorf("cannot create pod: %w", err)
		}
		if since := time.Since(before); i >= warm || since > time.Second {
			took = append(took, since)
		}
	}
	slices.Sort(took)
	return took, nil
}

// podOf a kind, as a Deployment's controllers make it.
func podOf(k kind, namespace string) *corev1.Pod {
	const hash = "6d4cf56db6"
	deployment := "unconnected"
	if k == connected {
		deployment = serviceName(0, 0)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, GenerateName: deployment + "-" + hash + "-",
			Labels: map[string]string{"pod-template-hash": hash},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: deployment + "-" + hash, UID: "00000000-0000-0000-0000-000000000001", Controller: new(true),
			}},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "registry.example.org/app:1"}}},
	}
	if k == owned {
		for i := range manyOwners - 1 {
			pod.OwnerReferences = append(pod.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: fmt.Sprintf("service-%d", i), UID: "00000000-0000-0000-0000-000000000002"})
		}
	}
	return pod
}

// wait some time, or until the context is done.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
