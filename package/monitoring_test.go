package package_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// TestExporter holds that the exporter's parts find each other, that it may only read, and
// that it is as hard to break out of as the function.
func TestExporter(t *testing.T) {
	t.Parallel()

	namespace, deployment, network := &corev1.Namespace{}, &appsv1.Deployment{}, &networkingv1.NetworkPolicy{}
	strict(t, "monitoring/namespace.yaml", 0, namespace)
	strict(t, "monitoring/runtime.yaml", 0, deployment)
	strict(t, "monitoring/networkpolicy.yaml", 0, network)
	account, role, binding := &corev1.ServiceAccount{}, &rbacv1.ClusterRole{}, &rbacv1.ClusterRoleBinding{}
	strict(t, "monitoring/rbac.yaml", 0, account)
	strict(t, "monitoring/rbac.yaml", 1, role)
	strict(t, "monitoring/rbac.yaml", 2, binding)

	for what, selector := range map[string]map[string]string{
		"the Deployment": deployment.Spec.Selector.MatchLabels, "the NetworkPolicy": network.Spec.PodSelector.MatchLabels,
	} {
		if diff := cmp.Diff(deployment.Spec.Template.Labels, selector); diff != "" {
			t.Errorf("%s doesn't select the exporter's pods: -labels, +selector:\n%s", what, diff)
		}
	}
	for what, in := range map[string]string{"the Deployment": deployment.Namespace, "the NetworkPolicy": network.Namespace, "the ServiceAccount": account.Namespace} {
		if in != namespace.Name {
			t.Errorf("%s is in namespace %q, want %q", what, in, namespace.Name)
		}
	}
	if diff := cmp.Diff([]rbacv1.PolicyRule{
		{APIGroups: []string{"serviceconnections.io"}, Resources: []string{"serviceconnections", "xserviceconnections"}, Verbs: []string{"list", "watch"}},
	}, role.Rules); diff != "" {
		t.Errorf("ClusterRole: -want, +got:\n%s", diff)
	}
	if diff := cmp.Diff([]rbacv1.Subject{{Kind: "ServiceAccount", Name: account.Name, Namespace: account.Namespace}}, binding.Subjects); diff != "" || binding.RoleRef.Name != role.Name {
		t.Errorf("ClusterRoleBinding of %s: -want, +got:\n%s", binding.RoleRef.Name, diff)
	}
	pod := deployment.Spec.Template.Spec
	container := pod.Containers[0]
	if s := container.SecurityContext; *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !*pod.SecurityContext.RunAsNonRoot || s.Capabilities.Drop[0] != "ALL" {
		t.Errorf("security context %+v of %+v", s, pod.SecurityContext)
	}
	if pod.ServiceAccountName != account.Name || len(container.Args) != 1 || container.Args[0] != "exporter" {
		t.Errorf("pod of %s with %q: want the exporter as %s", pod.ServiceAccountName, container.Args, account.Name)
	}
	// Two at once would count each connection twice.
	if *deployment.Spec.Replicas != 1 || deployment.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		t.Errorf("%d replicas, replaced by %s", *deployment.Spec.Replicas, deployment.Spec.Strategy.Type)
	}
}

// An alert as Prometheus reads it.
type alert struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

// alerts of all manifests, by their names.
func alerts(t *testing.T) map[string]alert {
	t.Helper()
	all := map[string]alert{}
	for _, file := range []string{"monitoring/rules.yaml", "monitoring/webhook/rules.yaml"} {
		m := struct {
			APIVersion, Kind string
			Metadata         map[string]any
			Spec             struct {
				Groups []struct {
					Name  string
					Rules []alert
				}
			}
		}{}
		strict(t, file, 0, &m)
		for _, g := range m.Spec.Groups {
			for _, a := range g.Rules {
				if _, twice := all[a.Alert]; twice || a.Alert == "" || a.Expr == "" {
					t.Fatalf("%s: alert %q has no name of its own, or no expression", file, a.Alert)
				}
				all[a.Alert] = a
			}
		}
	}
	return all
}

// monitoringPage is docs/monitoring.md, which the tests of the server and of the exporter
// hold to the metrics that these serve.
func monitoringPage(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// missing metrics, of those of ours that an expression names.
func missing(t *testing.T, expression string) (none, used []string) {
	t.Helper()
	page := monitoringPage(t)
	for _, name := range regexp.MustCompile(`\b(?:serviceconnections|function|webhook|grpc_server)_[a-z_]+`).FindAllString(expression, -1) {
		used = append(used, name)
		histogram := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if !strings.Contains(page, "\n| `"+name+"` | ") && !strings.Contains(page, "\n| `"+histogram+"` | histogram | ") {
			none = append(none, name)
		}
	}
	return none, used
}

// TestAlerts holds that an alert is about what there is, and leads to its own section of
// the page.
func TestAlerts(t *testing.T) {
	t.Parallel()

	if none, _ := missing(t, `function_panic_total + serviceconnections_watched_bucket + webhook_review_seconds_bucket`); len(none) != 2 {
		t.Fatalf("of two metrics that aren't there, these are missed: %q", none)
	}
	_, page, _ := strings.Cut(monitoringPage(t), "\n## Alerts\n")
	documented, names := map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^### (\w+)$`).FindAllStringSubmatch(page, -1) {
		documented[m[1]] = true
	}
	for name, a := range alerts(t) {
		names[name] = true
		none, used := missing(t, a.Expr)
		if len(none) > 0 {
			t.Errorf("%s: nothing serves %q", name, none)
		}
		if len(used) == 0 && !strings.HasPrefix(a.Expr, "up{") {
			t.Errorf("%s is about nothing of ours: %s", name, a.Expr)
		}
		if got, want := a.Annotations["runbook_url"], "https://github.com/serviceconnections/function-service-connections/blob/main/docs/monitoring.md#"+strings.ToLower(name); got != want {
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

// TestDashboard holds that each panel shows what there is, that all of the exporter's
// metrics are shown, and that no panel lies on another.
func TestDashboard(t *testing.T) {
	t.Parallel()

	b, err := os.ReadFile("monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	d := struct {
		Panels []struct {
			ID          int
			Type, Title string
			GridPos     struct{ X, Y, W, H int }
			Targets     []struct{ Expr string }
		}
	}{}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	shown, ids, at := map[string]bool{}, map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || len(p.Targets) == 0 && p.Type != "row" {
			t.Errorf("panel %q shows nothing, or has the id of another", p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := at[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies on %q, or beside the dashboard", p.Title, other)
				}
				at[[2]int{x, y}] = p.Title
			}
		}
		for _, target := range p.Targets {
			none, used := missing(t, target.Expr)
			if len(none) > 0 || len(used) == 0 {
				t.Errorf("panel %q: nothing serves %q of %q", p.Title, none, target.Expr)
			}
			for _, name := range used {
				shown[name] = true
			}
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(serviceconnections_[a-z_]+)` ").FindAllStringSubmatch(monitoringPage(t), -1) {
		if !shown[m[1]] {
			t.Errorf("no panel shows %s", m[1])
		}
	}
}
