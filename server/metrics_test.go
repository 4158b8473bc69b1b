package server

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
)

// documented metrics in a section of docs/monitoring.md, as name, type and labels.
func documented(t *testing.T, section string) []string {
	t.Helper()
	b, err := os.ReadFile("../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page, found := strings.Cut(string(b), "\n## "+section+"\n")
	if !found {
		t.Fatalf("docs/monitoring.md has no section %s", section)
	}
	page, _, _ = strings.Cut(page, "\n## ")
	described := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (\\w+) \\| (.*?) ?\\|").FindAllStringSubmatch(page, -1)
	rows := make([]string, 0, len(described))
	for _, m := range described {
		labels := strings.Split(strings.NewReplacer("`", "", " ", "").Replace(m[3]), ",")
		slices.Sort(labels)
		rows = append(rows, m[1]+" "+m[2]+" "+strings.Join(labels, ","))
	}
	slices.Sort(rows)
	return rows
}

// exposed metrics that are ours, as name, type and labels.
func exposed(t *testing.T, r *prometheus.Registry) []string {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "go_") || strings.HasPrefix(f.GetName(), "process_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		rows = append(rows, f.GetName()+" "+strings.ToLower(f.GetType().String())+" "+strings.Join(labels, ","))
	}
	slices.Sort(rows)
	return rows
}

// TestMetricsAreDocumented holds docs/monitoring.md, to which the alerts are held, to what
// is served.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()

	function := prometheus.NewRegistry()
	m := newMetrics(function)
	g := grpc.NewServer()
	fnv1.RegisterFunctionRunnerServiceServer(g, &fnv1.UnimplementedFunctionRunnerServiceServer{})
	m.calls.InitializeMetrics(g)
	if diff := cmp.Diff(documented(t, "The function"), exposed(t, function)); diff != "" {
		t.Errorf("metrics of the function: -docs/monitoring.md, +served:\n%s", diff)
	}

	webhook := prometheus.NewRegistry()
	reviews := newReviewMetrics(webhook)
	reviews.answered.WithLabelValues("inject", "patched")
	reviews.took.WithLabelValues("inject")
	if diff := cmp.Diff(documented(t, "The webhook"), exposed(t, webhook)); diff != "" {
		t.Errorf("metrics of the webhook: -docs/monitoring.md, +served:\n%s", diff)
	}
}
