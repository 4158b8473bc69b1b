package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

var update = flag.Bool("update", false, "write the recorded sessions of docs/plugin anew")

// A terminal of somebody who uses the plugin.
type terminal struct {
	team       *team
	kubeconfig string
	home       string

	// said is the session so far.
	said strings.Builder
}

// terminal of a client, whose kubeconfig names the team's namespace.
func (t *team) terminal(c *rest.Config) *terminal {
	t.t.Helper()
	home := t.t.TempDir()
	k := clientcmdapi.NewConfig()
	k.Clusters["one"] = &clientcmdapi.Cluster{Server: c.Host, CertificateAuthorityData: c.CAData}
	k.AuthInfos["me"] = &clientcmdapi.AuthInfo{Token: c.BearerToken}
	k.Contexts["one"] = &clientcmdapi.Context{Cluster: "one", AuthInfo: "me", Namespace: t.namespace}
	k.CurrentContext = "one"
	path := filepath.Join(home, "kubeconfig")
	if err := clientcmd.WriteToFile(*k, path); err != nil {
		t.t.Fatal(err)
	}
	return &terminal{team: t, kubeconfig: path, home: home}
}

// A said is what a command has printed, and its exit code.
type said struct {
	out, err string
	code     int
}

// run the plugin as kubectl does.
func (t *terminal) run(args ...string) said {
	t.team.t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.team.t.Context(), t.team.deadline, fmt.Errorf("not within %s", t.team.deadline))
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(t.team.Root, ".cache", "bin", "kubectl-serviceconnections"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+t.kubeconfig, "HOME="+t.home)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.team.t.Fatalf("cannot run %s, which make build builds: %v", cmd, err)
	}
	s := said{out: out.String(), err: errs.String(), code: cmd.ProcessState.ExitCode()}
	fmt.Fprintf(&t.said, "$ kubectl serviceconnections %s\n%s%s", strings.Join(args, " "), s.err, s.out)
	if s.code != 0 {
		fmt.Fprintf(&t.said, "# exit code %d\n", s.code)
	}
	t.said.WriteByte('\n')
	return s
}

// want what a command says: its exit code, and texts that must be in what it has
// printed, or with ! before them must not.
func (t *terminal) want(s said, code int, texts ...string) {
	t.team.t.Helper()
	if s.code != code {
		t.team.t.Errorf("exit code %d, want %d", s.code, code)
	}
	for _, text := range texts {
		text, absent := strings.CutPrefix(text, "!")
		if strings.Contains(s.out+s.err, text) == absent {
			t.team.t.Errorf("it says %q: %t, want %t", text, !absent, absent)
		}
	}
	if t.team.t.Failed() {
		t.team.t.Fatalf("exit code %d\n%s%s", s.code, s.err, s.out)
	}
}

// recorded is what differs from one run to the next.
var recorded = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`\bteam-[a-z0-9]{5}\b`), "team-a"},
	{regexp.MustCompile(`, [0-9]+[smh]([0-9]+s)?\b`), ", 5s"},
	{regexp.MustCompile(` for [0-9]+[smh]([0-9]+s)?\b`), " for 5s"},
	{regexp.MustCompile(`(?m)^ *[0-9]+s  `), "   5s  "},
	{regexp.MustCompile(`\b[0-9a-f]{16}\b`), "0123456789abcdef"},
}

// record the session in the documentation, which must not tell anything else than
// what happens.
func (t *terminal) record(name string) {
	t.team.t.Helper()
	got := t.said.String()
	for _, r := range recorded {
		got = r.pattern.ReplaceAllString(got, r.with)
	}
	path := filepath.Join(t.team.Root, "docs", "plugin", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.team.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.team.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.team.t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.team.t.Errorf("the session differs from %s, which go test -update writes anew\n-recorded +seen:\n%s", path, diff)
	}
}

// recreated is a Deployment whose pods go before new ones come: without nodes, a
// new pod never becomes ready, and an old one would stay.
func recreated(name string) string {
	return strings.Replace(deployment(name), "spec:\n", "spec:\n  strategy: {type: Recreate}\n", 1)
}

// TestPluginStatus follows a team from a pod that is older than its connection to
// one that has it, by what the plugin tells.
func TestPluginStatus(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		me := team.terminal(team.Config)
		me.want(me.run("status"), 0, "There is no ServiceConnection in namespace")
		me.want(me.run("status", "shop"), 2, `cannot read ServiceConnection "shop" in namespace "`+team.namespace+`"`, "kubectl get serviceconnections")

		team.apply(recreated("api"))
		old := team.awaitPod("api")
		team.connect(`
- name: api
  connections:
  - {type: awsRole, role: my-app-s3-access}
  - {type: disk, config: {diskName: cache-storage}}
`)
		team.awaitReason("api", "awsRole", "Connected")
		team.awaitReason("api", "disk", "VolumeClaimNotFound")
		team.awaitTold()
		restart := "kubectl -n " + team.namespace + " rollout restart deployment/api"
		me.want(me.run("status", "shop"), 1,
			"1/2 connected",
			"✓ awsRole arn:aws:iam::123456789012:role/my-app-s3-access",
			"✓ PodIdentityAssociation shop-api-association-",
			"✓ Role shop-api-role-",
			"✓ ServiceAccount shop-api",
			"✗ disk VolumeClaimNotFound: PersistentVolumeClaim",
			"PodsNotInjected: pods of Deployment \"api\": 1 of 1 without injection",
			"to give them their injection, run: "+restart,
			"!you may not read")

		team.apply(volumeClaim("cache-storage"))
		team.awaitReady()
		// The connections are ready, and yet the pod has none of them.
		me.want(me.run("status", "shop", "--watch", "--timeout", "5s"), 1,
			"0/1 connected; "+team.namespace+"/shop: api: PodsNotInjected", "not connected after 5s", "2/2 connected", restart)

		team.awaitInjecting("shop", "api")
		if err := team.Client.Delete(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		team.eventually("a new pod", func(context.Context) error {
			if team.awaitPod("api").UID == old.UID {
				return errors.New("it is the old one")
			}
			return nil
		})
		s := me.run("status", "--watch", "--timeout", "60s")
		me.want(s, 0, "pods: 1 of 1 have their injection", "✓ ServiceConnection shop", "1/1 connected", "!rollout restart")
		if strings.Contains(s.out, "1/1 connected\n") {
			t.Errorf("progress is not for standard output:\n%s", s.out)
		}

		// A second claim for the same workload.
		team.apply(strings.Replace(claimOf("- {name: web, workload: {name: api}, connections: [{type: awsRole, role: my-app-other}]}"), "name: shop", "name: other", 1))
		team.awaitReadyOf("other")
		me.want(me.run("status", "shop"), 1, `WorkloadConflict: Deployment "api" is also the workload of service "web" of ServiceConnection "other"`)
		me.want(me.run("status", "other"), 1, "1 of 1 with that of another ServiceConnection", "!rollout restart")
		if team.mode == controlplane.Namespaced {
			me.record("status.txt")
		}
	})
}

// TestPluginStatusMachine reads what the plugin prints for machines.
func TestPluginStatusMachine(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.connect("- {name: api, connections: [{type: awsRole, role: my-app-s3-access}]}")
		me := team.terminal(team.Config)
		// It waits from before there is any status.
		s := me.run("status", "shop", "--watch", "-o", "json")
		me.want(s, 0)
		var r struct {
			Connected          bool
			ServiceConnections []struct {
				Services []struct {
					Connections []struct {
						Type, State, Identity string
						Objects               []struct{ Kind string }
					}
				}
			}
		}
		if err := json.Unmarshal([]byte(s.out), &r); err != nil {
			t.Fatalf("%v\n%s", err, s.out)
		}
		if len(r.ServiceConnections) != 1 || !r.Connected {
			t.Fatalf("it says %+v", r)
		}
		got := r.ServiceConnections[0].Services[0].Connections[0]
		if len(got.Objects) != 2 || got.State != "Connected" || got.Identity != "arn:aws:iam::123456789012:role/my-app-s3-access" {
			t.Errorf("the connection is %+v", got)
		}
		me.want(me.run("status", "-A", "-o", "yaml"), me.run("status", "-A").code, "namespace: "+team.namespace)
	})
}

// TestPluginRights plays those who may not read all that belongs to a claim.
func TestPluginRights(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		viewer, stranger := team.terminal(team.userConfig("viewer", "view")), team.terminal(team.userConfig("stranger"))
		team.apply(recreated("api"))
		team.awaitPod("api")
		team.connect("- {name: api, connections: [{type: awsRole, role: my-app-s3-access}]}")
		team.awaitReady()
		hidden := `you may not read podidentityassociations.eks.aws.m.upbound.io and roles.iam.aws.m.upbound.io in namespace "` + team.namespace + `", so their own state is not shown`
		if team.mode == controlplane.Claims {
			xr, err := team.composite(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			hidden = `you may not read XServiceConnection "` + xr.GetName() + `" in the whole cluster, so the objects that are composed for the ServiceConnection are not shown`
		}
		team.eventually("the roles are aggregated", team.may(team.namespace+"/viewer", true, authorizationv1.ResourceAttributes{
			Verb: "list", Group: "serviceconnections.io", Resource: "serviceconnections",
		}))
		s := viewer.run("status")
		viewer.want(s, 1, hidden, "✓ awsRole", "1 of 1 without injection", "rollout restart deployment/api", "!PodIdentityAssociation shop", "!✗ awsRole")
		viewer.want(viewer.run("graph", "shop"), 0, "flowchart LR", hidden, ":::blocked", "<b>restart</b>", "✓ my-app-s3-access")
		if team.mode == controlplane.Namespaced {
			viewer.record("status-viewer.txt")
		}
		for _, args := range [][]string{{"status"}, {"status", "shop"}, {"status", "-A"}, {"status", "-w"}, {"graph", "shop"}} {
			s := stranger.run(args...)
			stranger.want(s, 2, "is forbidden", "ask whoever administers the cluster for the role view")
			if strings.Count(s.err, "\n") != 1 || s.out != "" {
				t.Errorf("that is one sentence, on standard error:\n%s%s", s.err, s.out)
			}
		}

		// Who may read claims alone learns what these say.
		if err := team.ApplyYAML(t.Context(), fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: claims, namespace: %[1]s}
rules: [{apiGroups: [serviceconnections.io], resources: [serviceconnections], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: claims, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: claims}
subjects: [{kind: ServiceAccount, name: reader, namespace: %[1]s}]
`, team.namespace)); err != nil {
			t.Fatal(err)
		}
		reader := team.terminal(team.userConfig("reader"))
		team.eventually("the reader has the rights", team.may(team.namespace+"/reader", true, authorizationv1.ResourceAttributes{
			Verb: "get", Group: "serviceconnections.io", Resource: "serviceconnections",
		}))
		reader.want(reader.run("status", "shop"), 0, "✓ awsRole", "you may not read pods in namespace", "you may not read other ServiceConnections in namespace")
		reader.want(reader.run("status"), 2, "is forbidden")
	})
}

// TestPluginGraph draws what a cluster has.
func TestPluginGraph(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.connect(everything)
		team.awaitReady()
		me := team.terminal(team.Config)
		s := me.run("graph", "shop", "-o", "mermaid")
		me.want(s, 0, "!:::blocked", "!:::unknown", "!:::waiting",
			"<small>PodIdentityAssociation</small><br>✓ awsRole",
			"<small>FederatedIdentityCredential</small><br>✓ azureManagedIdentity",
			"<small>ServiceAccountIAMMember</small><br>✓ cloudSql, gcpServiceAccount",
			"✓ my-project-123456:europe-west1:shop", "✓ uploads", "✓ rg-shop/shop", "✓ my-app-s3-access")
		for _, format := range []string{"dot", "svg", "html"} {
			me.want(me.run("graph", "shop", "-o", format), 0, "PodIdentityAssociation")
		}
	})
}

// TestPluginPods tells the pods of each kind of workload from others, by what the
// controllers make of them.
func TestPluginPods(t *testing.T) {
	t.Parallel()
	team := newTeam(t, controlplane.Namespaced)
	pod := func(name string) string {
		return fmt.Sprintf("metadata: {labels: {app: %[1]s}}\n    spec: {containers: [{name: %[1]s, image: registry.example.org/%[1]s:1}], restartPolicy: %%s}", name)
	}
	kinds := map[string]string{
		"deploy":  deployment("deploy"),
		"set":     "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: set}\nspec:\n  serviceName: set\n  selector: {matchLabels: {app: set}}\n  template:\n    " + fmt.Sprintf(pod("set"), "Always"),
		"replica": "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: replica}\nspec:\n  replicas: 1\n  selector: {matchLabels: {app: replica}}\n  template:\n    " + fmt.Sprintf(pod("replica"), "Always"),
		"job":     "apiVersion: batch/v1\nkind: Job\nmetadata: {name: job}\nspec:\n  template:\n    " + fmt.Sprintf(pod("job"), "Never"),
	}
	services := ""
	for name, y := range kinds {
		team.apply(y)
		team.awaitPod(name)
		kind := regexp.MustCompile(`kind: (\w+)`).FindStringSubmatch(y)[1]
		version := regexp.MustCompile(`apiVersion: (\S+)`).FindStringSubmatch(y)[1]
		services += fmt.Sprintf("- {name: %s, workload: {apiVersion: %s, kind: %s, name: %s}, connections: [{type: awsRole, role: my-app-s3-access}]}\n", name, version, kind, name)
	}
	bare := team.barePod("bare")
	bare.Labels = map[string]string{"app": "bare"}
	labelled := team.barePod("labelled")
	labelled.Labels = map[string]string{labelClaim: "shop", labelService: "knative"}
	for _, p := range []*corev1.Pod{bare, labelled} {
		p.Namespace = team.namespace
		if err := team.Client.Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	services += "- {name: bare, workload: {apiVersion: v1, kind: Pod, name: bare}, connections: [{type: awsRole, role: my-app-s3-access}]}\n"
	services += "- {name: knative, workload: {name: nobody}, connections: [{type: awsRole, role: my-app-s3-access}]}\n"
	team.connect(services)
	team.awaitReady()
	me := team.terminal(team.Config)
	s := me.run("status", "shop")
	me.want(s, 1)
	if got := strings.Count(s.out, "1 of 1 without injection"); got != len(kinds)+2 {
		t.Errorf("%d services have a pod without injection, want %d:\n%s", got, len(kinds)+2, s.out)
	}
}
