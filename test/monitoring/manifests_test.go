// Package monitoring_test reads package/monitoring as those do who get it: the Prometheus
// operator by its types, Prometheus by its own rules, and Grafana by its schema.
package monitoring_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	appsv1 "k8s.io/api/apps/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// manifests is the folder of what is read here.
const manifests = "../../package/"

// promQL as Prometheus reads it by default.
var promQL = parser.NewParser(parser.Options{})

// documents of a file, which aren't empty.
func documents(t *testing.T, file string) []string {
	t.Helper()
	b, err := os.ReadFile(manifests + file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(b), "\n---\n")
}

// strict decodes a document, in which there may be nothing that the type doesn't know.
func strict(t *testing.T, file, document, kind string, into any) {
	t.Helper()
	meta := metav1.TypeMeta{}
	if err := yaml.Unmarshal([]byte(document), &meta); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if diff := cmp.Diff(kind, meta.APIVersion+" "+meta.Kind); diff != "" {
		t.Fatalf("%s: -want, +got:\n%s", file, diff)
	}
	if err := yaml.UnmarshalStrict([]byte(document), into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// ruleFiles are those that one installs, with and without the webhook.
var ruleFiles = []string{"monitoring/rules.yaml", "monitoring/webhook/rules.yaml"}

// groups of rules of a file, as the operator writes them for Prometheus, and as it refuses
// them at admission: by Prometheus' own reading.
func groups(t *testing.T, file string) *rulefmt.RuleGroups {
	t.Helper()
	all := documents(t, file)
	if len(all) != 1 {
		t.Fatalf("%s: %d documents, want one", file, len(all))
	}
	m := monitoringv1.PrometheusRule{}
	strict(t, file, all[0], "monitoring.coreos.com/v1 PrometheusRule", &m)
	b, err := yaml.Marshal(m.Spec)
	if err != nil {
		t.Fatal(err)
	}
	read, errs := rulefmt.Parse(b, false, model.UTF8Validation, promQL, promslog.NewNopLogger())
	if len(errs) > 0 {
		t.Fatalf("%s: Prometheus refuses it: %v", file, errs)
	}
	return read
}

// alerts of all files, by their names.
func alerts(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	all := map[string]rulefmt.Rule{}
	for _, file := range ruleFiles {
		for _, g := range groups(t, file).Groups {
			for _, r := range g.Rules {
				if _, twice := all[r.Alert]; twice || r.Alert == "" {
					t.Fatalf("%s: rule %q is no alert with a name of its own", file, r.Alert)
				}
				all[r.Alert] = r
			}
		}
	}
	return all
}

// podMonitors of all files.
func podMonitors(t *testing.T) []monitoringv1.PodMonitor {
	t.Helper()
	var all []monitoringv1.PodMonitor
	for _, file := range []string{"monitoring/podmonitors.yaml", "monitoring/webhook/podmonitor.yaml"} {
		for _, d := range documents(t, file) {
			m := monitoringv1.PodMonitor{}
			strict(t, file, d, "monitoring.coreos.com/v1 PodMonitor", &m)
			all = append(all, m)
		}
	}
	return all
}

// A target is what the operator makes a scrape of.
type target struct {
	Namespaces  []string
	Pods        map[string]string
	Ports       []string
	HonorLabels bool
}

// TestPodMonitors holds that there is one for each of what serves metrics, and that it finds
// its pods.
func TestPodMonitors(t *testing.T) {
	t.Parallel()

	exporter, webhook, function := &appsv1.Deployment{}, &appsv1.Deployment{}, &policyv1.PodDisruptionBudget{}
	strict(t, "monitoring/runtime.yaml", documents(t, "monitoring/runtime.yaml")[0], "apps/v1 Deployment", exporter)
	strict(t, "webhook/runtime.yaml", documents(t, "webhook/runtime.yaml")[0], "apps/v1 Deployment", webhook)
	strict(t, "install/base/runtime.yaml", documents(t, "install/base/runtime.yaml")[1], "policy/v1 PodDisruptionBudget", function)

	ports := func(d *appsv1.Deployment) []string {
		var names []string
		for _, p := range d.Spec.Template.Spec.Containers[0].Ports {
			if p.ContainerPort == 8080 {
				names = append(names, p.Name)
			}
		}
		return names
	}
	want := map[string]target{
		"service-connections-monitoring/service-connections-exporter": {
			Namespaces: []string{exporter.Namespace}, Pods: exporter.Spec.Template.Labels, Ports: ports(exporter),
			// Its series are about other namespaces than its own.
			HonorLabels: true,
		},
		"service-connections-monitoring/service-connections-function": {
			Namespaces: []string{function.Namespace}, Pods: function.Spec.Selector.MatchLabels,
			// Crossplane names it.
			Ports: []string{"metrics"},
		},
		"service-connections-monitoring/service-connections-webhook": {
			Namespaces: []string{webhook.Namespace}, Pods: webhook.Spec.Template.Labels, Ports: ports(webhook),
		},
	}
	got := map[string]target{}
	for _, m := range podMonitors(t) {
		found := target{Namespaces: m.Spec.NamespaceSelector.MatchNames, Pods: m.Spec.Selector.MatchLabels}
		if len(found.Namespaces) == 0 {
			found.Namespaces = []string{m.Namespace}
		}
		for _, e := range m.Spec.PodMetricsEndpoints {
			if e.Port == nil {
				t.Fatalf("PodMonitor %s collects no port by its name", m.Name)
			}
			found.Ports = append(found.Ports, *e.Port)
			found.HonorLabels = e.HonorLabels
		}
		got[m.Namespace+"/"+m.Name] = found
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("PodMonitors: -want, +got:\n%s", diff)
	}
}

// TestStrict holds that what is misspelt is found, by the types and by Prometheus.
func TestStrict(t *testing.T) {
	t.Parallel()

	const good = `groups: [{name: a, rules: [{alert: A, expr: "up == 0", for: 5m, annotations: {summary: "{{ $labels.pod }}"}}]}]`
	cases := map[string]struct {
		reason    string
		old, new  string
		operators bool
	}{
		"Field":      {reason: "the API server would drop it, and the alert fire at once", old: "for:", new: "four:", operators: true},
		"Group":      {reason: "the API server would drop the rules", old: "rules:", new: "rule:", operators: true},
		"Expression": {reason: "the operator refuses what Prometheus can't read", old: "up == 0", new: "up == "},
		"Duration":   {reason: "the operator refuses a time that is none", old: "5m", new: "5min"},
		"Template":   {reason: "an alert whose text can't be written says so instead of what is wrong", old: "$labels.pod", new: "$label.pod"},
		"Function":   {reason: "nobody would be told", old: "up == 0", new: "ratee(up[5m])"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for text, wrong := range map[string]bool{good: false, strings.Replace(good, c.old, c.new, 1): true} {
				spec := monitoringv1.PrometheusRuleSpec{}
				err := yaml.UnmarshalStrict([]byte(text), &spec)
				if (err != nil) != (wrong && c.operators) {
					t.Errorf("%s: the operator's types say %v of %s", c.reason, err, text)
				}
				if c.operators {
					continue
				}
				b, err := yaml.Marshal(spec)
				if err != nil {
					t.Fatal(err)
				}
				if _, errs := rulefmt.Parse(b, false, model.UTF8Validation, promQL, promslog.NewNopLogger()); (len(errs) > 0) != wrong {
					t.Errorf("%s: Prometheus says %v of %s", c.reason, errs, text)
				}
			}
		})
	}
}
