// Command podcost measures on a real API server what the admission policies add to
// the creation of a pod: by how many ServiceConnections its namespace has, how large
// they are, and how many owners the pod has. It writes a report.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/workload"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/modules"
)

func main() {
	pods := flag.Int("pods", 20, "pods that are created, and not kept, for each figure")
	out := flag.String("out", "docs/podcost.md", "file of the report, by its path in the repository; empty: none")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *pods, *out)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, pods int, out string) (err error) {
	root, err := modules.Root()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "service-connections-podcost-")
	if err != nil {
		return fmt.Errorf("cannot make folder for the control plane: %w", err)
	}
	progress := func(format string, a ...any) { fmt.Fprintf(os.Stderr, format+"\n", a...) }
	cp, err := controlplane.Start(ctx, controlplane.Options{Root: root, Dir: dir, Plain: true, Progress: progress})
	if err != nil {
		return errors.Join(err, fmt.Errorf("logs are in %s", dir))
	}
	defer func() {
		cp.Stop()
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	if err := cp.Install(ctx, controlplane.Namespaced); err != nil {
		return err
	}
	m := measurement{ControlPlane: cp, pods: pods, progress: progress}
	if m.injection, err = injection(root); err != nil {
		return err
	}
	report, err := m.report(ctx)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(os.Stdout, report); err != nil || out == "" {
		return err //nolint:wrapcheck // Nothing to add: the terminal is gone.
	}
	if err := os.WriteFile(filepath.Join(root, out), []byte(report), 0o644); err != nil {
		return fmt.Errorf("cannot write report: %w", err)
	}
	return nil
}

// injection of a service with two connections, as the tests of the policies have
// it.
func injection(root string) (claim.Injection, error) {
	b, err := os.ReadFile(filepath.Join(root, "test", "admission", "testdata", "injections.yaml"))
	if err != nil {
		return claim.Injection{}, fmt.Errorf("cannot read injections: %w", err)
	}
	all := map[string]claim.Injection{}
	if err := yaml.Unmarshal(b, &all); err != nil {
		return claim.Injection{}, fmt.Errorf("cannot decode injections: %w", err)
	}
	in, err := workload.Merge(all["podIdentity"], all["cloudSql"])
	in.Hash, in.Complete, in.ServiceAccountName = "0123456789abcdef", true, "shop-api"
	return in, err
}

// A crowd is a namespace with a number of claims of a number of services.
type crowd struct{ claims, services int }

func (c crowd) namespace() string { return fmt.Sprintf("crowd-%d-%d", c.claims, c.services) }

// without any policy of ours: they leave this namespace out.
const without = "crossplane-system"

var (
	crowds = []crowd{{0, 1}, {1, 1}, {20, 1}, {100, 1}, {1, 100}, {20, 100}, {100, 100}}
	owners = []int{1, 3000}
)

type measurement struct {
	*controlplane.ControlPlane

	pods      int
	injection claim.Injection
	progress  func(string, ...any)
}

func (m measurement) report(ctx context.Context) (string, error) {
	size := map[int]int{}
	for _, c := range crowds {
		n, err := m.fill(ctx, c)
		if err != nil {
			return "", err
		}
		size[c.services] = max(size[c.services], n)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# What a pod costs

<!-- Written by make podcost. -->

The creation of a pod that no ServiceConnection names, by a dry run, on one machine that
also runs etcd, Kubernetes and Crossplane. The claims have one service, and are %d KB
large, or 100 services, and are %d KB; each service has two connections. "Without" is a
namespace that the policies leave out.

| Owners of the pod | Claims | Services of each | median | slowest | more than without, a claim |
|---|---|---|---|---|---|
`, size[1]/1000, size[100]/1000)
	for _, n := range owners {
		plain, err := m.create(ctx, without, n)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "| %d | without | | %s | %s | |\n", n, milliseconds(median(plain)), milliseconds(plain[len(plain)-1]))
		for _, c := range crowds {
			took, err := m.create(ctx, c.namespace(), n)
			if err != nil {
				return "", err
			}
			more := ""
			if c.claims > 0 {
				more = milliseconds((median(took) - median(plain)) / time.Duration(c.claims))
			}
			fmt.Fprintf(&b, "| %d | %d | %d | %s | %s | %s |\n", n, c.claims, c.services, milliseconds(median(took)), milliseconds(took[len(took)-1]), more)
			m.progress("%d owners, %d claims of %d services: %s", n, c.claims, c.services, median(took))
		}
	}
	b.WriteString(`
What a claim adds is its size: the API server writes it as JSON and reads it again for
each pod, before any condition of a policy runs. Owners add nothing: none of more than
` + fmt.Sprint(workload.MaxOwners) + ` is looked at.
`)
	return b.String(), nil
}

// fill a namespace with claims that nothing reconciles, and return how large one is.
func (m measurement) fill(ctx context.Context, c crowd) (size int, err error) {
	if err := m.ApplyYAML(ctx, "{apiVersion: v1, kind: Namespace, metadata: {name: "+c.namespace()+"}}"); err != nil {
		return 0, err
	}
	services, stands := make([]any, 0, c.services), make([]any, 0, c.services)
	for i := range c.services {
		name := fmt.Sprintf("service-%d", i)
		services = append(services, map[string]any{"name": name, "connections": []any{map[string]any{"type": "awsRole", "role": "my-app-s3-access"}}})
		stands = append(stands, map[string]any{
			"name": name, "delivery": "Admission", "serviceAccountName": "shop-api", "injection": m.injection,
			"workload":    map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
			"connections": []any{map[string]any{"type": "awsRole", "ready": true, "reason": "Connected"}},
		})
	}
	for i := range c.claims {
		object := map[string]any{
			"apiVersion": "serviceconnections.io/v1alpha1", "kind": "ServiceConnection",
			"metadata": map[string]any{
				"name": fmt.Sprintf("claim-%d", i), "namespace": c.namespace(),
				"annotations": map[string]any{"crossplane.io/paused": "true"},
			},
			"spec": map[string]any{"services": services},
		}
		y, err := yaml.Marshal(object)
		if err != nil {
			return 0, fmt.Errorf("cannot encode claim: %w", err)
		}
		if err := m.ApplyYAML(ctx, string(y)); err != nil {
			return 0, err
		}
		object["status"] = map[string]any{"services": stands}
		if y, err = yaml.Marshal(object); err != nil {
			return 0, fmt.Errorf("cannot encode claim: %w", err)
		}
		if err := controlplane.ApplyStatus(ctx, m.Crossplane, string(y)); err != nil {
			return 0, err
		}
		u, err := m.Get(ctx, "serviceconnections.io/v1alpha1", "ServiceConnection", c.namespace(), fmt.Sprintf("claim-%d", i))
		if err != nil {
			return 0, err
		}
		b, err := u.MarshalJSON()
		if err != nil {
			return 0, fmt.Errorf("cannot encode claim: %w", err)
		}
		size = len(b)
	}
	m.progress("%d claims of %d services are there", c.claims, c.services)
	return size, nil
}

// create pods, and return how long that took, the shortest first.
func (m measurement) create(ctx context.Context, namespace string, owners int) ([]time.Duration, error) {
	const hash = "6d4cf56db6"
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, GenerateName: "unconnected-" + hash + "-",
			Labels: map[string]string{"pod-template-hash": hash},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "unconnected-" + hash, UID: "00000000-0000-0000-0000-000000000001", Controller: new(true),
			}},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "registry.example.org/app:1"}}},
	}
	for i := range owners - 1 {
		pod.OwnerReferences = append(pod.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: fmt.Sprintf("service-%d", i), UID: "00000000-0000-0000-0000-000000000002"})
	}
	took := make([]time.Duration, 0, m.pods)
	for range m.pods {
		begin := time.Now()
		if err := m.Client.Create(ctx, pod.DeepCopy(), client.DryRunAll); err != nil {
			return nil, fmt.Errorf("cannot create pod: %w", err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return took, nil
}

func median(sorted []time.Duration) time.Duration { return sorted[len(sorted)/2] }

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
