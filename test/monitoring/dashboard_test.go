package monitoring_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// grafana knows what our panels show and ask: what it doesn't know, it reads without a word.
var grafana = func() *cog.Runtime {
	r := cog.NewRuntime()
	r.RegisterDataqueryVariant(prometheus.VariantConfig())
	r.RegisterPanelcfgVariant(stat.VariantConfig())
	r.RegisterPanelcfgVariant(table.VariantConfig())
	r.RegisterPanelcfgVariant(timeseries.VariantConfig())
	return r
}()

// A board is a dashboard as one imports it.
type board = dashboard.Dashboard //nolint:staticcheck // The newer form is for Grafana's own API, and no import of older ones reads it.

// expression as Grafana asks it, with all namespaces and an interval of its own.
func expression(query string) string {
	return strings.NewReplacer("$namespace", ".*", "$__rate_interval", "5m").Replace(query)
}

// unknown is what Grafana doesn't know of a dashboard, or misses in it. The library's error
// is never nil, and where nothing is wrong it has no text, but reads nothing either.
func unknown(text []byte) string {
	if err := (&board{}).UnmarshalJSONStrict(text); err != nil {
		return err.Error()
	}
	return ""
}

func readDashboard(t *testing.T) board {
	t.Helper()
	b, err := os.ReadFile(manifests + "monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	d := board{}
	if text := unknown(b); text != "" {
		t.Fatal(text)
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDashboard holds that Grafana knows all that is in it, that each panel shows what there
// is, that all of the exporter's metrics are shown, and that no panel lies on another.
func TestDashboard(t *testing.T) {
	t.Parallel()

	d, all := readDashboard(t), served(t)
	shown, ids, at := map[string]bool{}, map[uint32]bool{}, map[[2]uint32]string{}
	place := func(title string, id *uint32, p *dashboard.GridPos) {
		if ids[*id] {
			t.Errorf("%q has the id of another", title)
		}
		ids[*id] = true
		for x := p.X; x < p.X+p.W; x++ {
			for y := p.Y; y < p.Y+p.H; y++ {
				if other := at[[2]uint32{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q lies on %q, or beside the dashboard", title, other)
				}
				at[[2]uint32{x, y}] = title
			}
		}
	}
	for _, p := range d.Panels {
		if p.RowPanel != nil {
			place(*p.RowPanel.Title, &p.RowPanel.Id, p.RowPanel.GridPos)
			if len(p.RowPanel.Panels) > 0 {
				t.Errorf("row %q hides panels, which nothing looks at here", *p.RowPanel.Title)
			}
			continue
		}
		title := *p.Panel.Title
		place(title, p.Panel.Id, p.Panel.GridPos)
		if _, known := grafana.ConfigForPanelcfgVariant(p.Panel.Type); !known || len(p.Panel.Targets) == 0 {
			t.Errorf("panel %q of type %s: not known here, or it shows nothing", title, p.Panel.Type)
		}
		for _, query := range p.Panel.Targets {
			q, ok := query.(*prometheus.Dataquery)
			if !ok {
				t.Fatalf("panel %q asks by %T, want Prometheus", title, query)
			}
			metrics, none := selected(t, all, expression(q.Expr))
			if len(metrics) == 0 || len(none) > 0 {
				t.Errorf("panel %q: of %q nothing serves %q", title, metrics, none)
			}
			for _, name := range metrics {
				shown[name] = true
			}
		}
	}
	for name := range all {
		if strings.HasPrefix(name, "serviceconnections_") && !shown[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

// TestVariables holds that what one chooses from is there to choose from.
func TestVariables(t *testing.T) {
	t.Parallel()

	all := served(t)
	for _, v := range readDashboard(t).Templating.List {
		if v.Type != dashboard.VariableTypeQuery {
			continue
		}
		if v.Query == nil || v.Query.Map == nil {
			t.Fatalf("variable %s asks nothing", v.Name)
		}
		query, _ := v.Query.Map["query"].(string)
		m := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`).FindStringSubmatch(query)
		if m == nil {
			t.Fatalf("variable %s asks %q, want the values of a label", v.Name, query)
		}
		if metrics, none := selected(t, all, "sum by ("+m[2]+") ("+m[1]+")"); len(metrics) == 0 || len(none) > 0 {
			t.Errorf("variable %s: of %q nothing serves %q", v.Name, metrics, none)
		}
	}
}

// TestUnknownToGrafana holds that what Grafana doesn't know is found, wherever it is.
func TestUnknownToGrafana(t *testing.T) {
	t.Parallel()

	b, err := os.ReadFile(manifests + "monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct{ reason, old, new string }{
		"Dashboard": {reason: "it would be refreshed never", old: `"refresh": "1m"`, new: `"refreshed": "1m"`},
		"Panel":     {reason: "a panel would have no text", old: `"description": "Objects that`, new: `"descriptions": "Objects that`},
		"Query":     {reason: "a query would take other series", old: `"instant": true`, new: `"instants": true`},
		"Options":   {reason: "a panel would look otherwise", old: `"colorMode": "value"`, new: `"colourMode": "value"`},
		"Type":      {reason: "a panel would show nothing", old: `"w": 4,`, new: `"w": "4",`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrong := strings.Replace(string(b), c.old, c.new, 1)
			if wrong == string(b) || !json.Valid([]byte(wrong)) {
				t.Fatalf("nothing is wrong: the dashboard has no %s", c.old)
			}
			if unknown([]byte(wrong)) == "" {
				t.Errorf("%s: nothing is found", c.reason)
			}
		})
	}
}
