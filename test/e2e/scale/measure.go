package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/e2e/fleet"
	"github.com/serviceconnections/function-service-connections/test/e2e/machine"
)

const (
	// readyTimeout of a burst.
	readyTimeout = 20 * time.Minute

	// quiet is how long Crossplane does nothing once a burst is done with. A provider
	// that has made something looks at it again within that.
	quiet = 5 * time.Second
)

// A measurement of a control plane.
type measurement struct {
	*Flags
	*fleet.Fleet

	progress func(string, ...any)

	// bursts and notes that there were, for names.
	bursts, notes int
}

// A burst is a number of claims that are applied one after another.
type burst struct {
	name   string
	claims int

	// claim by its number and namespace.
	claim func(namespace string, i int) fleet.Claim

	// rest says that it is left alone for a while, and then looked at once more.
	rest bool
}

// mixed claims of three services with two connections each.
func (o *Flags) mixed() []burst {
	all := make([]burst, 0, len(o.Claims))
	for i, n := range o.Claims {
		all = append(all, burst{name: fmt.Sprint(n), claims: n, claim: fleet.FixedClaim, rest: i == len(o.Claims)-1})
	}
	return all
}

// The names of the bursts with the same services in one claim and in as many as services.
const (
	wide   = "one claim"
	narrow = "a claim each"
)

// services of two connections each, in one claim and in as many claims.
func (o *Flags) alike() [][]burst {
	if o.Services == 0 {
		return nil
	}
	of := func(n int) func(string, int) fleet.Claim {
		return func(namespace string, i int) fleet.Claim { return fleet.WideClaim(namespace, i, n) }
	}
	return [][]burst{
		{{name: wide, claims: 1, claim: of(o.Services)}},
		{{name: narrow, claims: o.Services, claim: of(1)}},
	}
}

// A turn of an implementation in a round.
type turn struct {
	round int
	of    *implementation
	burst burst
	load  string

	cost

	// seconds until all claims were ready, and for each claim, sorted.
	seconds float64
	each    []float64

	// peak of Crossplane's memory so far, and that of the functions together, in bytes.
	peak, functionsPeak float64

	// resting is what happened while nothing was asked for, and changed the objects that
	// were written meanwhile; again is what one more reconcile of each claim took.
	resting, again *cost
	changed        int
}

// all turns: those with claims of one shape one after another, since Crossplane and the
// functions start anew for each.
func (m *measurement) all(ctx context.Context) ([]turn, error) {
	var turns []turn
	for round := range m.Rounds {
		sessions := [][]burst{m.mixed()}
		if round == 0 {
			sessions = append(sessions, m.alike()...)
		}
		for _, bursts := range sessions {
			for n := range implementations {
				// Who comes first in a round comes last in the next one.
				i := implementations[(n+round)%len(implementations)]
				if err := m.use(ctx, i, bursts[0].claim("team", 0)); err != nil {
					return nil, fmt.Errorf("cannot switch to %s: %w", i.name, err)
				}
				took, err := m.session(ctx, round, i, bursts)
				if err != nil {
					return nil, err
				}
				turns = append(turns, took...)
			}
		}
	}
	return turns, nil
}

// session of an implementation: a turn with each of the bursts.
func (m *measurement) session(ctx context.Context, round int, i *implementation, bursts []burst) ([]turn, error) {
	turns := make([]turn, 0, len(bursts))
	for _, b := range bursts {
		t, err := m.turn(ctx, round, i, b)
		if err != nil {
			return nil, fmt.Errorf("cannot measure %s with %s claims: %w", i.name, b.name, err)
		}
		turns = append(turns, t)
	}
	return turns, nil
}

// turn of an implementation with a burst, from a control plane without claims to one
// without claims.
func (m *measurement) turn(ctx context.Context, round int, i *implementation, b burst) (t turn, err error) {
	t = turn{round: round, of: i, burst: b, load: machine.LoadAverage()}
	namespace := m.place()
	if err := m.warm(ctx, i, b, namespace); err != nil {
		return t, err
	}
	before, err := m.counts(ctx, i)
	if err != nil {
		return t, err
	}
	if t.seconds, t.each, err = m.fill(ctx, b, namespace); err != nil {
		return t, err
	}
	after, err := m.settle(ctx, i)
	if err != nil {
		return t, err
	}
	t.cost = after.since(before)
	t.peak, t.functionsPeak = float64(after.crossplaneUsage.Peak), after.functionsPeak
	m.progress("round %d, %s, %s claims: ready after %.1f s, %s", round+1, i.name, b.name, t.seconds, t.perClaim(b.claims))
	// What they say is looked at once it no longer costs anything.
	await := m.AwaitGranted
	if i.tells {
		await = m.Await
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not within %s", readyTimeout))
	defer cancel()
	if err := await(ctx); err != nil {
		return t, err
	}
	if b.rest {
		if t.resting, t.changed, err = m.leave(ctx, i); err != nil {
			return t, err
		}
		if t.again, err = m.reconcileEach(ctx, i, b); err != nil {
			return t, err
		}
		m.progress("  at rest %.0f calls, %d changes; once more %s", t.resting.calls, t.changed, t.again.perClaim(b.claims))
	}
	return t, m.Clear(ctx)
}

// place for the claims of a burst.
func (m *measurement) place() string {
	m.bursts++
	return fmt.Sprintf("burst-%d", m.bursts)
}

// warm up Crossplane with a claim, so that it watches all kinds and has seen all
// functions. The claim stays until the burst has gone.
func (m *measurement) warm(ctx context.Context, i *implementation, b burst, namespace string) error {
	namespace += "-warm"
	if err := m.Namespace(ctx, namespace); err != nil {
		return err
	}
	if _, _, err := m.apply(ctx, []fleet.Claim{b.claim(namespace, b.claims)}); err != nil {
		return err
	}
	_, err := m.settle(ctx, i)
	return err
}

// fill the control plane with the claims of a burst, ten a namespace, and wait until all
// are ready.
func (m *measurement) fill(ctx context.Context, b burst, namespace string) (seconds float64, each []float64, err error) {
	const together = 10
	claims := make([]fleet.Claim, 0, b.claims)
	for i := range b.claims {
		place := fmt.Sprintf("%s-%d", namespace, i/together)
		if i%together == 0 {
			if err := m.Namespace(ctx, place); err != nil {
				return 0, nil, err
			}
		}
		claims = append(claims, b.claim(place, i))
	}
	return m.apply(ctx, claims)
}

// apply claims, and wait until all are ready. It returns after how many seconds they were,
// and how many each took since it was applied.
func (m *measurement) apply(ctx context.Context, claims []fleet.Claim) (seconds float64, each []float64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not within %s", readyTimeout))
	defer cancel()
	w, err := m.watch(ctx)
	if err != nil {
		return 0, nil, err
	}
	defer w.stop()
	applied := make(map[types.NamespacedName]time.Time, len(claims))
	begin := time.Now()
	for _, c := range claims {
		applied[types.NamespacedName{Namespace: c.Namespace, Name: c.Name}] = time.Now()
		if err := m.Put(ctx, c); err != nil {
			return 0, nil, err
		}
	}
	err = controlplane.Poll(ctx, func(context.Context) error {
		seconds, each = 0, each[:0]
		for key, since := range applied {
			if at, ok := w.readyAt(key); ok {
				seconds = max(seconds, at.Sub(begin).Seconds())
				each = append(each, at.Sub(since).Seconds())
			}
		}
		if len(each) < len(claims) {
			return fmt.Errorf("%d of %d claims are ready", len(each), len(claims))
		}
		return w.failed()
	})
	slices.Sort(each)
	return seconds, each, err
}

// A watcher of claims knows since when each is ready.
type watcher struct {
	stop func()

	mu    sync.Mutex
	ready map[types.NamespacedName]time.Time
	ended bool
}

// watch all claims from now on.
func (m *measurement) watch(ctx context.Context) (*watcher, error) {
	c, err := client.NewWithWatch(m.Config, client.Options{})
	if err != nil {
		return nil, fmt.Errorf("cannot make client: %w", err)
	}
	l := &unstructured.UnstructuredList{}
	l.SetAPIVersion("serviceconnections.io/v1alpha1")
	l.SetKind("ServiceConnectionList")
	events, err := c.Watch(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("cannot watch claims: %w", err)
	}
	w := &watcher{stop: events.Stop, ready: map[types.NamespacedName]time.Time{}}
	go func() {
		for e := range events.ResultChan() {
			if u, ok := e.Object.(*unstructured.Unstructured); ok {
				w.see(u)
			}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ended = true
	}()
	return w, nil
}

func (w *watcher) see(u *unstructured.Unstructured) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := client.ObjectKeyFromObject(u)
	if !isReady(u) {
		delete(w.ready, key)
	} else if _, was := w.ready[key]; !was {
		w.ready[key] = time.Now()
	}
}

func (w *watcher) readyAt(key types.NamespacedName) (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at, ok := w.ready[key]
	return at, ok
}

// failed says whether the API server has ended the watch, so that not all was seen.
func (w *watcher) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return errors.New("the API server has ended the watch for claims")
	}
	return nil
}

func isReady(u *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	return slices.ContainsFunc(conditions, func(v any) bool {
		c, _ := v.(map[string]any)
		return c["type"] == "Ready" && c["status"] == "True"
	})
}

// settle until Crossplane has reconciled nothing for a while, and count then.
func (m *measurement) settle(ctx context.Context, i *implementation) (counts, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not within %s", readyTimeout))
	defer cancel()
	was, err := m.counts(ctx, i)
	if err != nil {
		return counts{}, err
	}
	for {
		if err := wait(ctx, quiet); err != nil {
			return counts{}, err
		}
		now, err := m.counts(ctx, i)
		if err != nil || now.since(was).reconciles == 0 {
			return now, err
		}
		was = now
	}
}

// leave everything alone for a while. It returns what happened, and how many objects
// were written.
func (m *measurement) leave(ctx context.Context, i *implementation) (*cost, int, error) {
	versions, err := m.Versions(ctx)
	if err != nil {
		return nil, 0, err
	}
	before, err := m.counts(ctx, i)
	if err != nil {
		return nil, 0, err
	}
	if err := wait(ctx, m.Rest); err != nil {
		return nil, 0, err
	}
	after, err := m.counts(ctx, i)
	if err != nil {
		return nil, 0, err
	}
	now, err := m.Versions(ctx)
	if err != nil {
		return nil, 0, err
	}
	changed := 0
	for key := range now {
		if versions[key] != now[key] {
			changed++
		}
	}
	c := after.since(before)
	return &c, changed, nil
}

// reconcileEach claim once more, by a label that means nothing.
func (m *measurement) reconcileEach(ctx context.Context, i *implementation, b burst) (*cost, error) {
	before, err := m.counts(ctx, i)
	if err != nil {
		return nil, err
	}
	m.notes++
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{"note":"%d"}}}`, m.notes))
	for _, c := range m.Fleet.Claims() {
		u := c.Object()
		if err := m.Client.Patch(ctx, u, patch); err != nil {
			return nil, fmt.Errorf("cannot label claim %s/%s: %w", c.Namespace, c.Name, err)
		}
	}
	if err := controlplane.Poll(ctx, func(ctx context.Context) error {
		now, err := m.counts(ctx, i)
		if n := now.since(before).reconciles; err == nil && n < float64(b.claims) {
			err = fmt.Errorf("%.0f of %d claims were reconciled", n, b.claims)
		}
		return err
	}); err != nil {
		return nil, err
	}
	after, err := m.settle(ctx, i)
	c := after.since(before)
	return &c, err
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("cannot wait: %w", context.Cause(ctx))
	case <-time.After(d):
		return nil
	}
}

// counts of everything at one time.
type counts struct {
	crossplane, apiServer           controlplane.Metrics
	crossplaneUsage, apiServerUsage controlplane.Usage

	// CPU time in seconds and peaks of memory in bytes, of the functions together.
	functionsCPU, functionsPeak float64
}

func (m *measurement) counts(ctx context.Context, i *implementation) (c counts, err error) {
	if c.crossplane, err = m.CrossplaneMetrics(ctx); err != nil {
		return c, err
	}
	if c.apiServer, err = m.APIServerMetrics(ctx); err != nil {
		return c, err
	}
	if c.crossplaneUsage, err = m.CrossplaneUsage(); err != nil {
		return c, err
	}
	if c.apiServerUsage, err = m.APIServerUsage(); err != nil {
		return c, err
	}
	for _, name := range i.functions {
		u, err := m.FunctionUsage(name)
		if err != nil {
			return c, err
		}
		c.functionsCPU += u.CPU
		c.functionsPeak += float64(u.Peak)
	}
	return c, nil
}

// A cost is what happened between two counts.
type cost struct {
	calls, reconciles float64

	// CPU time in seconds.
	crossplaneCPU, functionsCPU, apiServerCPU float64

	// writes that Crossplane asked for, by HTTP method.
	writes map[string]float64

	// stored objects, whoever wrote them: writes that changed something.
	stored float64
}

// methods of HTTP that write.
var methods = []string{"POST", "PUT", "PATCH", "DELETE"}

func (c counts) since(was counts) cost {
	anything := func(map[string]string) bool { return true }
	reconciles := func(l map[string]string) bool { return strings.HasPrefix(l["controller"], "composite/") }
	// One transaction each, but for what doesn't change, which isn't written at all
	// (k8s.io/apiserver, pkg/storage/etcd3, GuaranteedUpdate).
	stored := func(l map[string]string) bool {
		return slices.Contains([]string{"create", "update", "delete"}, l["operation"])
	}
	differ := func(now, was controlplane.Metrics, name string, wanted func(map[string]string) bool) float64 {
		return now.Sum(name, wanted) - was.Sum(name, wanted)
	}
	d := cost{
		calls:         differ(c.crossplane, was.crossplane, "function_run_function_request_total", anything),
		reconciles:    differ(c.crossplane, was.crossplane, "controller_runtime_reconcile_total", reconciles),
		crossplaneCPU: c.crossplaneUsage.CPU - was.crossplaneUsage.CPU,
		functionsCPU:  c.functionsCPU - was.functionsCPU,
		apiServerCPU:  c.apiServerUsage.CPU - was.apiServerUsage.CPU,
		stored:        differ(c.apiServer, was.apiServer, "etcd_requests_total", stored),
		writes:        map[string]float64{},
	}
	for _, method := range methods {
		of := func(l map[string]string) bool { return l["method"] == method }
		d.writes[method] = differ(c.crossplane, was.crossplane, "rest_client_requests_total", of)
	}
	return d
}

// cpu of Crossplane and its functions, in seconds.
func (c *cost) cpu() float64 { return c.crossplaneCPU + c.functionsCPU }

// written is how many writes Crossplane asked for.
func (c *cost) written() (sum float64) {
	for _, n := range c.writes {
		sum += n
	}
	return sum
}

// perClaim in words, for who waits for the measurement.
func (c *cost) perClaim(claims int) string {
	n := float64(claims)
	return fmt.Sprintf("a claim: %.1f reconciles, %.1f calls, %.0f writes (%.1f POST, %.1f PUT, %.1f PATCH), %.1f stored, CPU %.0f + %.0f ms, API server %.0f ms",
		c.reconciles/n, c.calls/n, c.written()/n, c.writes["POST"]/n, c.writes["PUT"]/n, c.writes["PATCH"]/n, c.stored/n,
		c.crossplaneCPU/n*1000, c.functionsCPU/n*1000, c.apiServerCPU/n*1000)
}
