package package_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"
)

// situations of a cluster, with the alerts that must fire there and those that mustn't, as
// promtool reads them.
const situations = "testdata/alerts.yaml"

// TestAlertsAreTried holds that there is a situation in which each alert fires.
func TestAlertsAreTried(t *testing.T) {
	t.Parallel()

	b, err := os.ReadFile(situations)
	if err != nil {
		t.Fatal(err)
	}
	s := struct {
		Tests []struct {
			Rules []struct {
				Name  string           `json:"alertname"`
				Fires []map[string]any `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}{}
	if err := yaml.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	all, fires := alerts(t), map[string]bool{}
	for _, test := range s.Tests {
		for _, r := range test.Rules {
			if _, there := all[r.Name]; !there {
				t.Errorf("%s tries %q, which is no alert", situations, r.Name)
			}
			fires[r.Name] = fires[r.Name] || len(r.Fires) > 0
		}
	}
	for name := range all {
		if !fires[name] {
			t.Errorf("%s shows nowhere that %s fires", situations, name)
		}
	}
}

// TestAlertsFire when they must and not when they mustn't, by Prometheus' own promtool where
// the machine has one: to build it would take longer than all else here.
func TestAlertsFire(t *testing.T) {
	t.Parallel()

	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool on this machine, such as Debian's package prometheus has: when the alerts fire isn't tried")
	}
	type rule struct {
		Alert       string            `json:"alert"`
		Expr        string            `json:"expr"`
		For         string            `json:"for,omitempty"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	}
	all := alerts(t)
	rules := make([]rule, 0, len(all))
	for name, a := range all {
		rules = append(rules, rule{name, a.Expr, a.For, a.Labels, map[string]string{"description": a.Annotations["description"]}})
	}
	slices.SortFunc(rules, func(a, b rule) int {
		if a.Alert < b.Alert {
			return -1
		}
		return 1
	})
	groups, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "all", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(situations)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string][]byte{"groups.yaml": groups, "alerts.yaml": tests} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", filepath.Join(dir, "alerts.yaml")).CombinedOutput()
	if err != nil {
		t.Errorf("promtool: %v:\n%s", err, out)
	}
}
