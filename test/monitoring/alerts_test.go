package monitoring_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"sigs.k8s.io/yaml"
)

// situationsFile has situations of a cluster, with the alerts that must fire there and
// those that mustn't, in the form of promtool's unit tests.
const situationsFile = "testdata/alerts.yaml"

// runbooks is where an alert leads, to the section of its name.
const runbooks = "https://github.com/serviceconnections/function-service-connections/blob/main/docs/monitoring.md#"

type situations struct {
	// Interval at which the rules are evaluated.
	Interval model.Duration `json:"evaluation_interval"`
	Tests    []situation    `json:"tests"`
}

type situation struct {
	Name     string         `json:"name"`
	Interval model.Duration `json:"interval"`
	Series   []struct {
		Series string `json:"series"`
		Values string `json:"values"`
	} `json:"input_series"`
	Rows []row `json:"alert_rule_test"`
}

// A row is what an alert does at a time.
type row struct {
	At    model.Duration `json:"eval_time"`
	Alert string         `json:"alertname"`
	Fires []fired        `json:"exp_alerts"`
}

type fired struct {
	Labels      map[string]string `json:"exp_labels"`
	Annotations map[string]string `json:"exp_annotations"`
}

func readSituations(t *testing.T) situations {
	t.Helper()
	b, err := os.ReadFile(situationsFile)
	if err != nil {
		t.Fatal(err)
	}
	s := situations{}
	if err := yaml.UnmarshalStrict(b, &s); err != nil {
		t.Fatalf("%s: %v", situationsFile, err)
	}
	return s
}

// A loader gives Prometheus the groups that are read already.
type loader struct {
	files map[string]*rulefmt.RuleGroups
}

func (l loader) Load(file string, _ bool, _ model.ValidationScheme) (*rulefmt.RuleGroups, []error) {
	return l.files[file], nil
}

func (loader) Parse(expression string) (parser.Expr, error) {
	return promQL.ParseExpr(expression)
}

// firing alerts at the times that the situation asks for, as Prometheus would send them.
func (s *situation) firing(t *testing.T, evaluated time.Duration) map[model.Duration]map[string][]fired {
	t.Helper()
	load := &strings.Builder{}
	load.WriteString("load " + s.Interval.String() + "\n")
	for _, in := range s.Series {
		load.WriteString("  " + in.Series + " " + in.Values + "\n")
	}
	samples, err := promqltest.NewLazyLoader(load.String(), promqltest.LazyLoaderOpts{EnableAtModifier: true, EnableNegativeOffset: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := samples.Close(); err != nil {
			t.Error(err)
		}
	})
	from := loader{files: map[string]*rulefmt.RuleGroups{}}
	for _, file := range ruleFiles {
		from.files[file] = groups(t, file)
	}
	manager := rules.NewManager(&rules.ManagerOptions{
		QueryFunc:   rules.EngineQueryFunc(samples.QueryEngine(), samples.Storage()),
		Appendable:  samples.Storage(),
		NotifyFunc:  func(context.Context, string, ...*rules.Alert) {},
		GroupLoader: from,
	})
	all, errs := manager.LoadGroups(evaluated, labels.EmptyLabels(), "", nil, false, ruleFiles...)
	if len(errs) > 0 {
		t.Fatal(errors.Join(errs...))
	}

	got, last := map[model.Duration]map[string][]fired{}, time.Duration(0)
	for _, r := range s.Rows {
		got[r.At], last = map[string][]fired{}, max(last, time.Duration(r.At))
	}
	for at := time.Duration(0); at <= last; at += evaluated {
		now := time.Unix(0, 0).UTC().Add(at)
		samples.WithSamplesTill(now, func(err error) {
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range all {
				g.Eval(t.Context(), now)
			}
		})
		asked, ok := got[model.Duration(at)]
		for _, g := range all {
			for _, r := range g.AlertingRules() {
				if err := r.LastError(); err != nil {
					t.Fatalf("%s after %s: %v", r.Name(), at, err)
				}
				if ok {
					asked[r.Name()] = append(asked[r.Name()], firingOf(r)...)
				}
			}
		}
	}
	return got
}

// firingOf a rule, as it is now.
func firingOf(r *rules.AlertingRule) []fired {
	var all []fired
	for _, a := range r.ActiveAlerts() {
		if a.State == rules.StateFiring {
			l := a.Labels.Map()
			delete(l, model.AlertNameLabel)
			all = append(all, fired{Labels: l, Annotations: a.Annotations.Map()})
		}
	}
	return all
}

// TestAlerts holds that each alert fires when it must and not when it mustn't, and what it
// says then, by Prometheus' own code.
func TestAlerts(t *testing.T) {
	t.Parallel()

	s, all := readSituations(t), alerts(t)
	for _, c := range s.Tests {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			got := c.firing(t, time.Duration(s.Interval))
			for _, r := range c.Rows {
				rule, there := all[r.Alert]
				if !there {
					t.Fatalf("%q is no alert", r.Alert)
				}
				for i, f := range r.Fires {
					// What is the same wherever the alert fires isn't written in each row.
					r.Fires[i].Annotations = map[string]string{"summary": rule.Annotations["summary"], "runbook_url": runbooks + strings.ToLower(r.Alert)}
					maps.Copy(r.Fires[i].Annotations, f.Annotations)
				}
				if diff := cmp.Diff(r.Fires, got[r.At][r.Alert], cmpopts.EquateEmpty(), cmpopts.SortSlices(func(a, b fired) int {
					return strings.Compare(labels.FromMap(a.Labels).String(), labels.FromMap(b.Labels).String())
				})); diff != "" {
					t.Errorf("%s after %s: -want, +got:\n%s", r.Alert, r.At, diff)
				}
			}
		})
	}
}

// untried says which of the alerts no situation tries as it must: that it fires, and that
// it doesn't one evaluation earlier, so that what it waits for is neither more nor less.
func untried(s situations, names []string) []string {
	type at struct {
		alert string
		time  model.Duration
	}
	tried := map[string]bool{}
	for _, c := range s.Tests {
		quiet := map[at]bool{}
		for _, r := range c.Rows {
			quiet[at{r.Alert, r.At}] = len(r.Fires) == 0
		}
		for _, r := range c.Rows {
			if len(r.Fires) > 0 && quiet[at{r.Alert, r.At - s.Interval}] {
				tried[r.Alert] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return tried[name] })
}

// TestPatience holds that it is tried of each alert when it begins to fire.
func TestPatience(t *testing.T) {
	t.Parallel()

	const minute = model.Duration(time.Minute)
	someone := []fired{{}}
	cases := map[string]struct {
		reason string
		tests  []situation
		want   []string
	}{
		"Tried":   {reason: "the rows say when", tests: []situation{{Rows: []row{{4 * minute, "A", nil}, {5 * minute, "A", someone}}}}},
		"Never":   {reason: "an alert that never fires tells nobody", tests: []situation{{Rows: []row{{4 * minute, "A", nil}, {5 * minute, "A", nil}}}}, want: []string{"A"}},
		"Earlier": {reason: "it may fire at once, and wake somebody for what passes", tests: []situation{{Rows: []row{{5 * minute, "A", someone}}}}, want: []string{"A"}},
		"Long before": {
			reason: "it may have begun in between",
			tests:  []situation{{Rows: []row{{3 * minute, "A", nil}, {5 * minute, "A", someone}}}}, want: []string{"A"},
		},
		"Other alert":     {reason: "another one waits for something else", tests: []situation{{Rows: []row{{4 * minute, "B", nil}, {5 * minute, "A", someone}}}}, want: []string{"A"}},
		"Other situation": {reason: "there it may never fire", tests: []situation{{Rows: []row{{4 * minute, "A", nil}}}, {Rows: []row{{5 * minute, "A", someone}}}}, want: []string{"A"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, untried(situations{Interval: minute, Tests: c.tests}, []string{"A"}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", c.reason, diff)
			}
		})
	}
	for _, name := range untried(readSituations(t), slices.Sorted(maps.Keys(alerts(t)))) {
		t.Errorf("%s shows nowhere that %s fires, and doesn't one evaluation earlier", situationsFile, name)
	}
}
