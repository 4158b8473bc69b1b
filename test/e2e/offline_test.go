package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/workload"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// save what kubectl prints of the cluster to a file of the terminal's home.
func (t *terminal) save(name string, args ...string) string {
	t.team.t.Helper()
	cmd := exec.CommandContext(t.team.t.Context(), filepath.Join(t.team.Root, ".cache", "bin", "kubectl"), append([]string{"get", "-o", "yaml"}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+t.kubeconfig)
	cmd.Stderr = t.team.t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.team.t.Fatalf("%s: %v", cmd, err)
	}
	path := filepath.Join(t.home, name)
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.team.t.Fatal(err)
	}
	return path
}

// TestPluginPreview holds a preview by what a cluster has, as kubectl prints it,
// to what the function publishes there.
func TestPluginPreview(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.apply(deployment("api"))
		team.connect(everything)
		team.awaitReady()
		me := team.terminal(team.Config)
		kinds := []string{"managed,objects.kubernetes.m.crossplane.io,serviceaccounts,persistentvolumeclaims"}
		args := []string{"preview", "-o", "json"}
		if team.mode == controlplane.Claims {
			kinds, args = []string{"managed,objects.kubernetes.crossplane.io,serviceaccounts,persistentvolumeclaims", "-A"}, append(args, "--claims")
		}
		args = append(args,
			"-f", me.save("claim.yaml", "serviceconnection", "shop"),
			"--settings", me.save("settings.yaml", "environmentconfig", "cluster-settings"),
			"--workload", me.save("workload.yaml", "deployment", "api"),
		)
		type result struct {
			Previews []struct {
				Outcome  string
				Services []struct {
					Connections []struct{ Type, Outcome, Reason, Message string }
					Injection   *claim.Injection
				}
			}
		}
		read := func(s said) (r result) {
			if err := json.Unmarshal([]byte(s.out), &r); err != nil {
				t.Fatalf("%v\n%s%s", err, s.out, s.err)
			}
			return r
		}
		published, err := team.service(t.Context(), "api")
		if err != nil {
			t.Fatal(err)
		}

		s := me.run(append(args, "--observed", me.save("observed.yaml", kinds...))...)
		me.want(s, 0)
		got := read(s).Previews[0]
		if got.Outcome != "Connected" {
			t.Errorf("by what the cluster has, it is %q: %+v", got.Outcome, got.Services[0].Connections)
		}
		if diff := cmp.Diff(published.Injection, got.Services[0].Injection); diff != "" {
			t.Errorf("injection: -published, +previewed:\n%s", diff)
		}

		// Before anything is there, the preview knows all but the hash.
		before := read(me.run(args...)).Previews[0]
		if before.Outcome != "Pending" {
			t.Errorf("before anything is there, it is %q: %+v", before.Outcome, before.Services[0].Connections)
		}
		before.Services[0].Injection.Hash = published.Injection.Hash
		if diff := cmp.Diff(published.Injection, before.Services[0].Injection); diff != "" {
			t.Errorf("injection: -published, +previewed before anything was there:\n%s", diff)
		}
	})
}

// TestPluginPatch patches a workload in the cluster by what the plugin writes, and
// has the plugin write it again.
func TestPluginPatch(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.apply(deployment("api"))
		team.connect(everything)
		team.awaitReady()
		published, err := team.service(t.Context(), "api")
		if err != nil {
			t.Fatal(err)
		}
		me := team.terminal(team.Config)
		component := me.run("patch", "shop", "--service", "api", "-o", "kustomize")
		me.want(component, 0, "kind: Component", "sc-cloud-sql-proxy", published.Injection.Hash)

		d := &appsv1.Deployment{}
		key := client.ObjectKey{Namespace: team.namespace, Name: "api"}
		if err := team.Client.Get(t.Context(), key, d); err != nil {
			t.Fatal(err)
		}
		// What the function makes of it, as the API server would have it.
		want := d.DeepCopy()
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&want.Spec.Template)
		if err != nil {
			t.Fatal(err)
		}
		workload.Inject(content, *published.Injection)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &want.Spec.Template); err != nil {
			t.Fatal(err)
		}
		if err := team.Client.Update(t.Context(), want, client.DryRunAll); err != nil {
			t.Fatal(err)
		}

		s := me.run("patch", "shop", "--service", "api", "-o", "strategic")
		me.want(s, 0)
		path := filepath.Join(me.home, "patch.yaml")
		if err := os.WriteFile(path, []byte(s.out), 0o600); err != nil {
			t.Fatal(err)
		}
		team.kubectl("kubectl patch deployment api -n " + team.namespace + " --patch-file " + path)
		if err := team.Client.Get(t.Context(), key, d); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.Spec.Template, d.Spec.Template); diff != "" {
			t.Errorf("the template: -what the function makes of it, +what the patch did:\n%s", diff)
		}

		// The function takes no offence at it, the pods count as new, and the file
		// can be written anew from the patched workload.
		team.awaitReady()
		team.awaitNoRestart("api")
		if diff := cmp.Diff(component.out, me.run("patch", "shop", "--service", "api", "-o", "kustomize").out); diff != "" {
			t.Errorf("the component: -before the patch, +after it:\n%s", diff)
		}

		// Who may read claims and no workloads names a file.
		stranger := team.terminal(team.userConfig("stranger"))
		stranger.want(stranger.run("patch", "shop", "-o", "kustomize"), 2, "is forbidden")
	})
}
