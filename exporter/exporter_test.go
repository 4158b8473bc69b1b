package exporter

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic/fake"
	kubetesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/test/watched"
)

// recorded is where the repository has objects as Crossplane left them on a control plane.
const recorded = "../package/gitops/argocd/serviceconnections.io/ServiceConnection/testdata"

func parse(t *testing.T, text []byte) *unstructured.Unstructured {
	t.Helper()
	o := map[string]any{}
	if err := yaml.Unmarshal(text, &o); err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: o}
}

// record of a ServiceConnection by the name of its file, under a name of its own.
func record(t *testing.T, file, name string) *unstructured.Unstructured {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(recorded, file+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	u := parse(t, b)
	u.SetName(name)
	return u
}

// claim that is written by hand, for what was never recorded.
func claim(t *testing.T, name, rest string) *unstructured.Unstructured {
	t.Helper()
	return parse(t, []byte("apiVersion: serviceconnections.io/v1alpha1\nkind: ServiceConnection\nmetadata: {namespace: team-b, name: "+name+"}\n"+rest))
}

// An exported cluster, and what Prometheus gets of it.
type exported struct {
	t       *testing.T
	client  *fake.FakeDynamicClient
	metrics http.Handler
	clock   atomic.Pointer[time.Time]

	// answer of the API server to lists of a resource in place of its own, if it isn't nil.
	answer func(resource string) error
}

func export(t *testing.T, answer func(resource string) error, objects ...runtime.Object) *exported {
	t.Helper()
	e := &exported{t: t, answer: answer, client: fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		resources.WithResource("serviceconnections"):  "ServiceConnectionList",
		resources.WithResource("xserviceconnections"): "XServiceConnectionList",
	}, objects...)}
	e.client.PrependReactor("list", "*", func(a kubetesting.Action) (bool, runtime.Object, error) {
		err := answer(a.GetResource().Resource)
		return err != nil, nil, err
	})
	e.setTime(time.Unix(1_800_000_000, 0))
	all := newCollector(e.client, func() time.Time { return *e.clock.Load() })
	registry := prometheus.NewRegistry()
	registry.MustRegister(all)
	e.metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { all.run(ctx); close(ended) }()
	t.Cleanup(func() { stop(); <-ended })
	return e
}

func (e *exported) setTime(now time.Time) { e.clock.Store(&now) }

// scrape the metrics: the code of the answer, and the series of ours in it.
func (e *exported) scrape() (code int, series string) {
	w := httptest.NewRecorder()
	e.metrics.ServeHTTP(w, httptest.NewRequestWithContext(e.t.Context(), http.MethodGet, "/metrics", nil))
	lines := []string{}
	for line := range strings.Lines(w.Body.String()) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return w.Code, strings.Join(lines, "")
}

// poll until something is so.
func (e *exported) poll(is func() bool) error {
	return wait.PollUntilContextTimeout(e.t.Context(), 5*time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) { return is(), nil })
}

// await what is scraped, or say what it is instead.
func (e *exported) await(when, want string) {
	e.t.Helper()
	got := ""
	if err := e.poll(func() bool { _, got = e.scrape(); return got == want }); err != nil {
		e.t.Fatalf("%s: -want, +got:\n%s", when, cmp.Diff(want, got))
	}
}

func answers(string) error { return nil }

// TestMetrics holds what is told of ServiceConnections as a control plane left them, and
// of what only happens to some.
func TestMetrics(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason  string
		objects []runtime.Object
		want    string
	}{
		"None": {
			reason: "that nothing is there is told, or else nobody could tell it from an exporter that is gone",
			want: `serviceconnections_watched{kind="ServiceConnection"} 0
serviceconnections_watched{kind="XServiceConnection"} 0
`,
		},
		"Recorded": {
			reason: "connections are counted, and what is well has no series of its own",
			objects: []runtime.Object{
				record(t, "healthy", "one"), record(t, "healthy", "two"), record(t, "degraded_notAllowed", "three"),
			},
			want: `serviceconnections_claim_stalled{name="three",namespace="team-a",reason="NotAllowed"} 1
serviceconnections_connections{namespace="team-a",reason="Connected",type="awsRole"} 2
serviceconnections_connections{namespace="team-a",reason="NotAllowed",type="awsRole"} 1
serviceconnections_notes{namespace="team-a",reason="Superseded"} 3
serviceconnections_notes{namespace="team-a",reason="WorkloadNotFound"} 3
serviceconnections_watched{kind="ServiceConnection"} 3
serviceconnections_watched{kind="XServiceConnection"} 0
`,
		},
		"NoStatus": {
			reason:  "who has applied a claim a moment ago isn't in trouble",
			objects: []runtime.Object{record(t, "progressing_noStatus", "new")},
			want: `serviceconnections_watched{kind="ServiceConnection"} 1
serviceconnections_watched{kind="XServiceConnection"} 0
`,
		},
		"Paused": {
			reason:  "somebody has paused it on purpose, which isn't Crossplane's failure",
			objects: []runtime.Object{claim(t, "shop", `status: {conditions: [{type: Synced, status: "False", reason: ReconcilePaused}]}`), annotated(claim(t, "paused", ""))},
			want: `serviceconnections_claim_paused{name="paused",namespace="team-b"} 1
serviceconnections_claim_paused{name="shop",namespace="team-b"} 1
serviceconnections_watched{kind="ServiceConnection"} 2
serviceconnections_watched{kind="XServiceConnection"} 0
`,
		},
		"OlderPods": {
			reason: "what is kept for older pods counts while there may be some; a disk that stays with its claim doesn't",
			objects: []runtime.Object{claim(t, "shop", `
status:
  services:
  - name: api
    restart: kubectl -n team-b rollout restart deployment/api
    rollout: {injection: "0123", template: "4567"}
    connections:
    - {type: cloudSql, ready: true, reason: Connected, warnings: [{reason: AllowListAbsent}]}
    - {type: disk, ready: false, reason: VolumeClaimLost}
    notes: [{reason: Superseded}, {reason: Superseded}]
  - name: worker
    rollout: {injection: "0123", current: true}
    notes: [{reason: Superseded}]
`)},
			want: `serviceconnections_claim_restarts{name="shop",namespace="team-b"} 1
serviceconnections_claim_superseded{name="shop",namespace="team-b"} 2
serviceconnections_connections{namespace="team-b",reason="Connected",type="cloudSql"} 1
serviceconnections_connections{namespace="team-b",reason="VolumeClaimLost",type="disk"} 1
serviceconnections_notes{namespace="team-b",reason="AllowListAbsent"} 1
serviceconnections_notes{namespace="team-b",reason="Superseded"} 3
serviceconnections_watched{kind="ServiceConnection"} 1
serviceconnections_watched{kind="XServiceConnection"} 0
`,
		},
		"Composite": {
			reason: "what keeps Crossplane from its work stands on what it made of a claim, and the claim's team is who knows the claim's name",
			objects: []runtime.Object{
				claim(t, "shop", `status: {conditions: [{type: Synced, status: "False", reason: ReconcileError}]}`),
				parse(t, []byte(`
apiVersion: serviceconnections.io/v1alpha1
kind: XServiceConnection
metadata: {name: shop-x7k2p, deletionTimestamp: "2027-01-15T07:00:00Z", finalizers: [example.org/held]}
spec: {claimRef: {namespace: team-b, name: shop}}
status:
  conditions: [{type: Synced, status: "False", reason: ReconcileError}, {type: Stalled, status: "True", reason: NotAllowed}]
  services: [{name: api, connections: [{type: awsRole, reason: NotAllowed}]}]
`)),
			},
			want: `serviceconnections_claim_deletion_timestamp_seconds{name="shop",namespace="team-b"} 1.7999964e+09
serviceconnections_claim_unsynced{name="shop",namespace="team-b",reason="ReconcileError"} 1
serviceconnections_watched{kind="ServiceConnection"} 1
serviceconnections_watched{kind="XServiceConnection"} 1
`,
		},
		"CompositeWithoutClaim": {
			reason: "nobody else tells of one that no claim has made, and who looks for it needs its name",
			objects: []runtime.Object{parse(t, []byte(`
apiVersion: serviceconnections.io/v1alpha1
kind: XServiceConnection
metadata: {name: shop-x7k2p, annotations: {crossplane.io/paused: "true"}}
spec: {claimRef: {namespace: team-b}}
status: {conditions: [{type: Stalled, status: "True", reason: NotClaimed}]}
`))},
			want: `serviceconnections_claim_paused{name="shop-x7k2p",namespace=""} 1
serviceconnections_claim_stalled{name="shop-x7k2p",namespace="",reason="NotClaimed"} 1
serviceconnections_watched{kind="ServiceConnection"} 0
serviceconnections_watched{kind="XServiceConnection"} 1
`,
		},
		"Malformed": {
			reason: "a status may be written by hand, and nothing in it may stop what is told of the others",
			objects: []runtime.Object{
				claim(t, "text", "status: nothing"), claim(t, "lists", "status: {conditions: [1], services: [{connections: {}, notes: [x]}, null], connected: []}"),
				record(t, "healthy", "well"),
			},
			want: `serviceconnections_connections{namespace="team-a",reason="Connected",type="awsRole"} 1
serviceconnections_notes{namespace="team-a",reason="WorkloadNotFound"} 1
serviceconnections_watched{kind="ServiceConnection"} 3
serviceconnections_watched{kind="XServiceConnection"} 0
`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			export(t, answers, tc.objects...).await(tc.reason, tc.want)
		})
	}
}

// annotated as paused.
func annotated(u *unstructured.Unstructured) *unstructured.Unstructured {
	u.SetAnnotations(map[string]string{"crossplane.io/paused": "true"})
	return u
}

// TestSeriesGo with what they tell of.
func TestSeriesGo(t *testing.T) {
	t.Parallel()

	e := export(t, answers, record(t, "degraded_notAllowed", "shop"))
	all := e.client.Resource(resources.WithResource("serviceconnections")).Namespace("team-a")
	e.await("it is blocked", `serviceconnections_claim_stalled{name="shop",namespace="team-a",reason="NotAllowed"} 1
serviceconnections_connections{namespace="team-a",reason="NotAllowed",type="awsRole"} 1
serviceconnections_notes{namespace="team-a",reason="Superseded"} 3
serviceconnections_notes{namespace="team-a",reason="WorkloadNotFound"} 1
serviceconnections_watched{kind="ServiceConnection"} 1
serviceconnections_watched{kind="XServiceConnection"} 0
`)
	if err := e.poll(func() bool { return watched.Is(e.client, "serviceconnections") }); err != nil {
		t.Fatalf("the watch: %v", err)
	}
	if _, err := all.Update(t.Context(), record(t, "healthy", "shop"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	e.await("it is mended", `serviceconnections_connections{namespace="team-a",reason="Connected",type="awsRole"} 1
serviceconnections_notes{namespace="team-a",reason="WorkloadNotFound"} 1
serviceconnections_watched{kind="ServiceConnection"} 1
serviceconnections_watched{kind="XServiceConnection"} 0
`)
	if err := all.Delete(t.Context(), "shop", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	e.await("it is gone", `serviceconnections_watched{kind="ServiceConnection"} 0
serviceconnections_watched{kind="XServiceConnection"} 0
`)
}

// TestKindAbsent holds that one configuration is enough.
func TestKindAbsent(t *testing.T) {
	t.Parallel()

	e := export(t, func(resource string) error {
		if resource == "xserviceconnections" {
			return kerrors.NewNotFound(resources.WithResource(resource).GroupResource(), "")
		}
		return nil
	}, record(t, "progressing_noStatus", "new"))
	e.await("one kind isn't there", `serviceconnections_watched{kind="ServiceConnection"} 1
serviceconnections_watched{kind="XServiceConnection"} 0
`)
}

// TestNothingIsTold while it isn't known: a number of yesterday is worse than none.
func TestNothingIsTold(t *testing.T) {
	t.Parallel()

	e := export(t, func(string) error { return errors.New("the API server is away") })
	if code, series := e.scrape(); code != http.StatusInternalServerError || series == "" {
		t.Errorf("nothing has been read: got %d with %q", code, series)
	}

	now := time.Unix(1_800_000_000, 0)
	s := newStore(e.client, "ServiceConnection", "serviceconnections", read, func() time.Time { return now })
	s.watch = synced{s.watch}
	s.asked(nil)
	if err := s.fresh(); err != nil {
		t.Errorf("the API server answers: %v", err)
	}
	s.asked(errors.New("the API server is away"))
	now = now.Add(maxStale)
	s.asked(errors.New("the API server is still away"))
	if err := s.fresh(); err != nil {
		t.Errorf("the API server restarts: %v", err)
	}
	now = now.Add(time.Second)
	if err := s.fresh(); err == nil {
		t.Errorf("the API server has been away for longer than %s, and what was there is told as what is there", maxStale)
	}
	s.asked(nil)
	if err := s.fresh(); err != nil {
		t.Errorf("the API server answers again: %v", err)
	}
}

// synced is a watch that has seen all there was.
type synced struct{ cache.Controller }

func (synced) HasSynced() bool { return true }

// TestAskedWhileItIsTold holds that a watch which is telling of an object can be asked at
// that moment whether it has seen all: it answers once it has told, and to be told takes
// the store's lock.
func TestAskedWhileItIsTold(t *testing.T) {
	t.Parallel()

	e := export(t, answers)
	s := newStore(e.client, "ServiceConnection", "serviceconnections", read, time.Now)
	s.watch = telling{s.watch, s}
	answered := make(chan error, 1)
	go func() { answered <- s.fresh() }()
	select {
	case err := <-answered:
		if err != nil {
			t.Errorf("it has seen all: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the watch waits for the store, and the store for the watch")
	}
}

// telling is a watch that tells of an object while it is asked.
type telling struct {
	cache.Controller
	store *store
}

func (w telling) HasSynced() bool {
	told := make(chan struct{})
	go func() { w.store.Put(&standing{}); close(told) }()
	<-told
	return true
}

// TestMetricsAreDocumented holds docs/monitoring.md, to which the alerts are held, to what
// is told.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()

	b, err := os.ReadFile("../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	told, documented := map[string]string{}, map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(serviceconnections_[a-z_]+)` \\| gauge \\| (.*?) \\|").FindAllStringSubmatch(string(b), -1) {
		documented[m[1]] = strings.NewReplacer("`", "", " ", "").Replace(m[2])
	}
	for _, d := range descs {
		m := regexp.MustCompile(`fqName: "(\w+)".*variableLabels: \{(.*?)\}`).FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		told[m[1]] = m[2]
	}
	if diff := cmp.Diff(documented, told); diff != "" {
		t.Errorf("metrics of the exporter: -docs/monitoring.md, +told:\n%s", diff)
	}
}
