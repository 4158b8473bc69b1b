package monitoring_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// page is docs/monitoring.md. The tests of the server and of the exporter hold its tables
// to the metrics that these serve.
func page(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// fromTarget are labels that the operator adds to each series.
var fromTarget = []string{"job", "instance", "namespace", "pod", "container", "endpoint"}

// served metrics by their names, with the labels that their series have: those of the
// page's tables, and the one that Prometheus makes of each target.
func served(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{"up": fromTarget}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (gauge|counter|histogram) \\| (.*?) ?\\| ").FindAllStringSubmatch(page(t), -1) {
		named := slices.Clone(fromTarget)
		for _, l := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(m[3], -1) {
			named = append(named, l[1])
		}
		if m[2] != "histogram" {
			all[m[1]] = named
			continue
		}
		all[m[1]+"_bucket"] = append(slices.Clone(named), "le")
		all[m[1]+"_sum"], all[m[1]+"_count"] = named, named
	}
	return all
}

// selected metrics of an expression, and what nothing serves of what it names: metrics, and
// labels of metrics.
func selected(t *testing.T, served map[string][]string, expression string) (metrics, none []string) {
	t.Helper()
	e, err := promQL.ParseExpr(expression)
	if err != nil {
		t.Errorf("%s: %v", expression, err)
		return nil, nil
	}
	parser.Inspect(e, func(n parser.Node, parents []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		named, there := served[s.Name]
		if metrics = append(metrics, s.Name); !there {
			none = append(none, s.Name)
			return nil
		}
		asked := map[string]bool{}
		for _, m := range s.LabelMatchers {
			asked[m.Name] = m.Name != model.MetricNameLabel
		}
		for _, p := range parents {
			if a, ok := p.(*parser.AggregateExpr); ok {
				for _, l := range a.Grouping {
					asked[l] = true
				}
			}
		}
		for _, l := range slices.Sorted(maps.Keys(asked)) {
			if asked[l] && !slices.Contains(named, l) {
				none = append(none, s.Name+"{"+l+"}")
			}
		}
		return nil
	})
	return metrics, none
}

// TestSelected holds that what nothing serves is found.
func TestSelected(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason, expression string
		metrics, none      []string
	}{
		"Served": {
			reason:     "an alert is about what there is",
			expression: `max by (namespace, name) (serviceconnections_claim_stalled{reason="NotAllowed"}) == 1`,
			metrics:    []string{"serviceconnections_claim_stalled"},
		},
		"Target": {
			reason:     "what the operator adds is there",
			expression: `up{job="a"} == 0 and on (pod) rate(function_panics_total[5m]) > 0`,
			metrics:    []string{"up", "function_panics_total"},
		},
		"Metric": {
			reason:     "an alert on a metric that is misspelt never fires",
			expression: `function_panic_total > 0 or up == 0`,
			metrics:    []string{"function_panic_total", "up"}, none: []string{"function_panic_total"},
		},
		"Label": {
			reason:     "one that asks for a label that isn't there doesn't, either",
			expression: `sum(rate(grpc_server_handled_total{code!="OK"}[5m])) > 0`,
			metrics:    []string{"grpc_server_handled_total"}, none: []string{"grpc_server_handled_total{code}"},
		},
		"Group": {
			reason:     "and one that groups by it makes one alert of all",
			expression: `sum by (claim) (serviceconnections_claim_stalled) > 0`,
			metrics:    []string{"serviceconnections_claim_stalled"}, none: []string{"serviceconnections_claim_stalled{claim}"},
		},
		"Histogram": {
			reason:     "only a histogram has buckets",
			expression: `webhook_review_seconds_bucket{le="1"} + webhook_panics_total_bucket`,
			metrics:    []string{"webhook_review_seconds_bucket", "webhook_panics_total_bucket"}, none: []string{"webhook_panics_total_bucket"},
		},
		"Summary": {
			reason:     "only a bucket has a bound",
			expression: `webhook_review_seconds_count{le="1"}`,
			metrics:    []string{"webhook_review_seconds_count"}, none: []string{"webhook_review_seconds_count{le}"},
		},
	}
	all := served(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			metrics, none := selected(t, all, c.expression)
			if diff := cmp.Diff([][]string{c.metrics, c.none}, [][]string{metrics, none}, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", c.reason, diff)
			}
		})
	}
}

// TestRules holds that an alert is about what is served, and leads to its own section of
// the page.
func TestRules(t *testing.T) {
	t.Parallel()

	jobs := map[string]bool{}
	for _, m := range podMonitors(t) {
		jobs[m.Namespace+"/"+m.Name] = true
	}
	_, sections, _ := strings.Cut(page(t), "\n## Alerts\n")
	documented, names := map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^### (\w+)$`).FindAllStringSubmatch(sections, -1) {
		documented[m[1]] = true
	}
	all := served(t)
	for name, a := range alerts(t) {
		names[name] = true
		metrics, none := selected(t, all, a.Expr)
		if len(metrics) == 0 || len(none) > 0 {
			t.Errorf("%s: of %q nothing serves %q", name, metrics, none)
		}
		for _, m := range regexp.MustCompile(`job="(.*?)"`).FindAllStringSubmatch(a.Expr, -1) {
			if !jobs[m[1]] {
				t.Errorf("%s: no PodMonitor is job %q", name, m[1])
			}
		}
		if got, want := a.Annotations["runbook_url"], runbooks+strings.ToLower(name); got != want {
			t.Errorf("%s: runbook_url %q, want %q", name, got, want)
		}
		if severity := a.Labels["severity"]; a.Annotations["summary"] == "" || severity != "critical" && severity != "warning" {
			t.Errorf("%s: summary %q, severity %q", name, a.Annotations["summary"], severity)
		}
	}
	if diff := cmp.Diff(names, documented); diff != "" {
		t.Errorf("sections of docs/monitoring.md: -alerts, +sections:\n%s", diff)
	}
}
