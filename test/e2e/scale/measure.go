package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/e2e/fleet"
)

// readyTimeout of all claims.
const readyTimeout = 15 * time.Minute

// A measurement of a control plane.
type measurement struct {
	options
	*fleet.Fleet

	// function's address of metrics.
	function string
	progress func(string, ...any)
	notes    int
}

// namespaces with a number of claims each, which the admission policy is measured
// in. What is left goes into namespaces of ten.
var crowds = []int{0, 1, 20, 100}

// counts of everything at one time.
type counts struct {
	function, crossplane, apiServer controlplane.Metrics
}

func (m *measurement) counts(ctx context.Context) (c counts, err error) {
	if c.function, err = m.FunctionMetrics(ctx, m.function); err != nil {
		return c, err
	}
	if c.crossplane, err = m.CrossplaneMetrics(ctx); err != nil {
		return c, err
	}
	c.apiServer, err = m.APIServerMetrics(ctx)
	return c, err
}

// A cost is what happened between two counts.
type cost struct {
	calls, reconciles    float64
	functionCPU, coreCPU float64
	requests             map[string]float64
	writesOfAll          float64
}

// writes by HTTP method.
var writes = []string{"POST", "PUT", "PATCH", "DELETE"}

func (c counts) since(was counts) cost {
	calls := func(l map[string]string) bool { return l["grpc_method"] == "RunFunction" }
	reconciles := func(l map[string]string) bool { return strings.HasPrefix(l["controller"], "composite/") }
	written := func(l map[string]string) bool {
		return l["dry_run"] == "" && slices.Contains([]string{"POST", "PUT", "PATCH", "APPLY", "DELETE"}, l["verb"])
	}
	d := cost{
		calls:       c.function.Sum("grpc_server_handled_total", calls) - was.function.Sum("grpc_server_handled_total", calls),
		reconciles:  c.crossplane.Sum("controller_runtime_reconcile_total", reconciles) - was.crossplane.Sum("controller_runtime_reconcile_total", reconciles),
		functionCPU: c.function.Value("process_cpu_seconds_total") - was.function.Value("process_cpu_seconds_total"),
		coreCPU:     c.crossplane.Value("process_cpu_seconds_total") - was.crossplane.Value("process_cpu_seconds_total"),
		requests:    map[string]float64{},
		writesOfAll: c.apiServer.Sum("apiserver_request_total", written) - was.apiServer.Sum("apiserver_request_total", written),
	}
	for _, method := range writes {
		of := func(l map[string]string) bool { return l["method"] == method }
		d.requests[method] = c.crossplane.Sum("rest_client_requests_total", of) - was.crossplane.Sum("rest_client_requests_total", of)
	}
	return d
}

// A load is what it took until all claims were ready.
type load struct {
	cost

	seconds       float64
	median, worst time.Duration
}

// fill the control plane with claims, and wait until all are ready.
func (m *measurement) fill(ctx context.Context) (load, error) {
	before, err := m.counts(ctx)
	if err != nil {
		return load{}, err
	}
	begin := time.Now()
	for i, namespace := range m.places() {
		if i == 0 || namespace != m.places()[i-1] {
			if err := m.Namespace(ctx, namespace); err != nil {
				return load{}, err
			}
		}
		if err := m.Put(ctx, fleet.FixedClaim(namespace, i)); err != nil {
			return load{}, err
		}
	}
	m.progress("%d claims applied in %.0f s", m.claims, time.Since(begin).Seconds())
	l := load{}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not within %s", readyTimeout))
	defer cancel()
	if err := m.poll(ctx, 5*time.Second, func(ctx context.Context) error {
		l.seconds, l.median, l.worst, err = m.readiness(ctx, begin)
		if err != nil {
			m.progress("%4.0f s: %v", time.Since(begin).Seconds(), err)
		}
		return err
	}); err != nil {
		return l, err
	}
	m.progress("all ready after %.0f s", l.seconds)
	if err := m.Await(ctx); err != nil {
		return l, err
	}
	after, err := m.counts(ctx)
	l.cost = after.since(before)
	return l, err
}

// places of the claims, one namespace each, in order.
func (m *measurement) places() []string {
	places := make([]string, 0, m.claims)
	for _, n := range crowds {
		for range n {
			places = append(places, crowd(n))
		}
	}
	for i := len(places); i < m.claims; i++ {
		places = append(places, fmt.Sprintf("team-%d", i/10))
	}
	return places[:m.claims]
}

// crowded is how many claims the crowds have.
func crowded() (sum int) {
	for _, n := range crowds {
		sum += n
	}
	return sum
}

func crowd(n int) string { return fmt.Sprintf("crowd-of-%d", n) }

func (*measurement) poll(ctx context.Context, interval time.Duration, f func(context.Context) error) error {
	for {
		err := f(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(interval):
		}
	}
}

// readiness of all claims by what they say of themselves: when the last became
// ready, and how long a claim took.
func (m *measurement) readiness(ctx context.Context, begin time.Time) (seconds float64, median, worst time.Duration, err error) {
	l := &unstructured.UnstructuredList{}
	l.SetAPIVersion("serviceconnections.io/v1alpha1")
	l.SetKind("ServiceConnectionList")
	if err := m.Client.List(ctx, l); err != nil {
		return 0, 0, 0, fmt.Errorf("cannot list claims: %w", err)
	}
	var took []time.Duration
	for i := range l.Items {
		u := &l.Items[i]
		conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
		for _, v := range conditions {
			c, _ := v.(map[string]any)
			if c["type"] != "Ready" || c["status"] != "True" {
				continue
			}
			text, _ := c["lastTransitionTime"].(string)
			at, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return 0, 0, 0, fmt.Errorf("cannot read when %s became ready: %w", u.GetName(), err)
			}
			seconds = max(seconds, at.Sub(begin).Seconds())
			took = append(took, at.Sub(u.GetCreationTimestamp().Time))
		}
	}
	if len(took) < m.claims {
		return 0, 0, 0, fmt.Errorf("%d of %d claims are ready", len(took), m.claims)
	}
	slices.Sort(took)
	return seconds, took[len(took)/2], took[len(took)-1], nil
}

// rest for a while, in which nothing may be written.
func (m *measurement) rest(ctx context.Context) (cost, error) {
	return m.unchanged(ctx, func(ctx context.Context) error { return m.wait(ctx, m.options.rest) })
}

// reconcile every claim once, which writes nothing.
func (m *measurement) reconcile(ctx context.Context) (cost, float64, error) {
	begin := time.Now()
	c, err := m.unchanged(ctx, func(ctx context.Context) error {
		was, err := m.counts(ctx)
		if err != nil {
			return err
		}
		m.notes++
		if err := m.Settings(ctx, "", fmt.Sprint("touched-", m.notes)); err != nil {
			return err
		}
		return m.poll(ctx, 200*time.Millisecond, func(ctx context.Context) error {
			now, err := m.counts(ctx)
			if err == nil && now.since(was).reconciles < float64(m.claims) {
				err = fmt.Errorf("%.0f of %d claims were reconciled", now.since(was).reconciles, m.claims)
			}
			return err
		})
	})
	return c, time.Since(begin).Seconds(), err
}

// unchanged objects while something is done.
func (m *measurement) unchanged(ctx context.Context, do func(context.Context) error) (cost, error) {
	versions, err := m.Versions(ctx)
	if err != nil {
		return cost{}, err
	}
	before, err := m.counts(ctx)
	if err != nil {
		return cost{}, err
	}
	if err := do(ctx); err != nil {
		return cost{}, err
	}
	after, err := m.counts(ctx)
	if err != nil {
		return cost{}, err
	}
	now, err := m.Versions(ctx)
	if err != nil {
		return cost{}, err
	}
	if !maps.Equal(versions, now) {
		return cost{}, fmt.Errorf("something was written: %s", changed(versions, now))
	}
	return after.since(before), nil
}

// changed versions.
func changed(was, now map[string]string) string {
	var lines []string
	for key := range now {
		if was[key] != now[key] {
			lines = append(lines, fmt.Sprintf("%s: %s → %s", key, was[key], now[key]))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines[:min(len(lines), 10)], ", ")
}

func (*measurement) wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("cannot wait: %w", context.Cause(ctx))
	case <-time.After(d):
		return nil
	}
}

// A size of a process in MiB.
type size struct{ resident, heap float64 }

func sizeOf(metrics controlplane.Metrics) size {
	const mebibyte = 1 << 20
	return size{metrics.Value("process_resident_memory_bytes") / mebibyte, metrics.Value("go_memstats_heap_alloc_bytes") / mebibyte}
}

// memory of a Crossplane that has started anew and looked at every claim: its
// resident set, and the least heap in ten seconds, which is what a collection
// leaves.
func (m *measurement) memory(ctx context.Context, inspect bool) (size, error) {
	m.Inspect = inspect
	if err := m.Settings(ctx, "", fmt.Sprint("inspect-", inspect)); err != nil {
		return size{}, err
	}
	if err := m.Await(ctx); err != nil {
		return size{}, err
	}
	m.StopCrossplane()
	if err := m.StartCrossplane(ctx); err != nil {
		return size{}, err
	}
	if err := m.poll(ctx, time.Second, func(ctx context.Context) error {
		c, err := m.counts(ctx)
		if n := c.since(counts{}).reconciles; err == nil && n < float64(m.claims) {
			err = fmt.Errorf("%.0f of %d claims were reconciled", n, m.claims)
		}
		return err
	}); err != nil {
		return size{}, err
	}
	least := size{}
	for range 20 {
		if err := m.wait(ctx, 500*time.Millisecond); err != nil {
			return size{}, err
		}
		metrics, err := m.CrossplaneMetrics(ctx)
		if err != nil {
			return size{}, err
		}
		now := sizeOf(metrics)
		least.resident = now.resident
		if least.heap == 0 || now.heap < least.heap {
			least.heap = now.heap
		}
	}
	return least, nil
}
