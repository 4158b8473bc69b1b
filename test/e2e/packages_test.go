package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/registry"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/modules"
	"github.com/serviceconnections/function-service-connections/test/process"
)

// Objects that the packages' manifests name.
const (
	packagesVersion = "pkg.crossplane.io/v1"
	configuration   = "serviceconnections-configuration-service-connections"
	plural          = "serviceconnections.serviceconnections.io"
)

// A platform installs releases from a registry, and runs what the documentation
// tells it to.
type platform struct {
	*team

	// dir has a folder for each release, as make package writes it.
	dir string
}

// newPlatform with Crossplane's package manager, all providers and the cluster
// settings, and a registry in place of the one that the manifests name. Nothing
// of ours is installed.
func newPlatform(t *testing.T, mode controlplane.Mode) *platform {
	t.Helper()
	root, err := modules.Root()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Build(t.Context(), root, "package-tool"); err != nil {
		t.Fatal(err)
	}
	cp, err := controlplane.Start(t.Context(), controlplane.Options{Root: root, Dir: t.TempDir(), Packages: true, Subscription: subscriptionID})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cp.Stop)
	c := &cluster{ControlPlane: cp, mode: mode, cloud: newCloud()}
	if err := cp.InstallProviders(t.Context(), controlplane.AllProviders()...); err != nil {
		t.Fatal(err)
	}
	if err := c.runProviders(controlplane.AllProviders()...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.StopProviders(controlplane.AllProviders()...); err != nil {
			t.Error(err)
		}
	})
	if err := cp.ApplyYAML(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	p := &platform{team: &team{cluster: c, t: t, namespace: newNamespace(t, c, ""), deadline: deadline}, dir: t.TempDir()}
	p.mirror(previousRelease, thisRelease)
	return p
}

// Releases by their version: the one of this tree, and one that is the same but
// for its version, to upgrade from.
const (
	thisRelease     = ""
	previousRelease = "v0.0.9"
)

// mirror builds releases, publishes them to a registry, and tells Crossplane to
// pull from there what the manifests name. It is how a cluster without access to
// the internet is served.
func (p *platform) mirror(versions ...string) {
	p.t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	p.t.Cleanup(server.Close)
	path := strings.TrimPrefix(server.URL, "http://") + "/serviceconnections"
	for _, v := range versions {
		p.packages("-out", p.release(v), "-version", v, "-platforms", runtime.GOOS+"/"+runtime.GOARCH)
		p.packages("-out", p.release(v), "-push", path)
	}
	if err := p.ApplyYAML(p.t.Context(), `
apiVersion: pkg.crossplane.io/v1beta1
kind: ImageConfig
metadata: {name: mirror}
spec:
  matchImages: [{type: Prefix, prefix: ghcr.io/serviceconnections/}]
  rewriteImage: {prefix: `+path+`/}
`); err != nil {
		p.t.Fatal(err)
	}
}

func (p *platform) release(version string) string {
	return filepath.Join(p.dir, "release-"+version)
}

// packages runs the tool behind make package and make push.
func (p *platform) packages(args ...string) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), filepath.Join(p.Root, ".cache", "bin", "package"), append([]string{"-root", p.Root}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("cannot package: %v: %s", err, out)
	}
}

// installRelease, or upgrade to it, by one of its manifests.
func (p *platform) installRelease(version, manifest string) {
	p.t.Helper()
	p.kubectl("kubectl apply -f " + filepath.Join(p.release(version), manifest+".yaml"))
	p.awaitHealthy("Function", controlplane.FunctionName)
	p.awaitHealthy("Configuration", p.configuration())
	resources := []string{plural}
	if p.mode == controlplane.Claims {
		resources = append(resources, "x"+plural)
	}
	if err := p.GrantRoles(p.t.Context(), resources...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *platform) configuration() string {
	if p.mode == controlplane.Claims {
		return configuration + "-claims"
	}
	return configuration
}

// awaitHealthy package of the version that it names, not of the one before.
func (p *platform) awaitHealthy(kind, name string) {
	p.t.Helper()
	p.eventually(kind+" "+name+" is healthy", func(ctx context.Context) error {
		pkg, err := p.Get(ctx, packagesVersion, kind, "", name)
		if err != nil || pkg == nil {
			return errors.Join(fmt.Errorf("there is no %s %q", kind, name), err)
		}
		spec, _, _ := unstructured.NestedString(pkg.Object, "spec", "package")
		current, _, _ := unstructured.NestedString(pkg.Object, "status", "currentIdentifier")
		if current != spec {
			return fmt.Errorf("%s %q is at %q, not yet at %q: %v", kind, name, current, spec, pkg.Object["status"])
		}
		for _, condition := range []string{"Installed", "Healthy"} {
			if err := p.HasCondition(ctx, packagesVersion, kind, "", name, condition); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestPackages installs the packages of this tree with Crossplane's own package
// manager, upgrades them, and uninstalls them, as the documentation says.
func TestPackages(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, controlplane.Namespaced)

	p.installRelease(previousRelease, "install")
	p.runsAsWritten()
	p.connect(everything)
	p.awaitReady()
	p.apply(deployment("api"))
	before, contents := p.objects(), p.contents()

	// The upgrade changes no object of those that the claim has.
	p.shell(p.commands("docs/install.md", "## The packages")[0])
	p.awaitHealthy("Function", controlplane.FunctionName)
	p.awaitHealthy("Configuration", configuration)
	p.awaitReconcile()
	p.awaitReady()
	for _, o := range before {
		p.untouched("an upgrade changes nothing of what is there", o)
	}
	p.awaitContents("what was there before the upgrade", contents...)
	p.awaitPod("api")

	p.refusesOther()
	p.refusesRemoval()
	for _, o := range before {
		p.untouched("a removal that is refused changes nothing", o)
	}

	uninstall := p.commands("docs/operate.md", "## Uninstall")
	p.shell(uninstall[0])
	p.eventually("the claim is gone", p.noClaim)
	p.awaitContents("nothing")
	p.shell(uninstall[1])
	p.uninstalled()
}

// TestSwitch from one configuration to the other, as the documentation says, leaves
// what is in the clouds as it is, and running pods their ServiceAccount.
func TestSwitch(t *testing.T) {
	t.Parallel()
	long(t)
	p := newPlatform(t, controlplane.Namespaced)
	p.installRelease(thisRelease, "install")
	p.connect(everything)
	p.awaitReady()
	contents, writes := p.contents(), len(p.cloud.Writes())
	account := p.the("ServiceAccount")

	keep, change := p.commands("docs/operate.md", "## Keep what was granted"), p.commands("docs/operate.md", "## Switch between the two configurations")
	p.shell(keep[0])
	p.shell(change[0])
	p.mode = controlplane.Claims
	p.installRelease(thisRelease, "install-claims")
	p.connect(everything)
	p.awaitReason("api", claim.TypeAWSRole, "ServiceAccountTaken")
	p.shell(change[1])
	p.awaitReason("api", claim.TypeAWSRole, "AssociationExists")
	p.shell(change[2])
	p.awaitReady()
	p.shell(change[3])
	p.awaitReconcile()
	p.awaitReady()

	if now := p.get("v1", "ServiceAccount", account.GetName()); now == nil || now.GetUID() != account.GetUID() {
		t.Errorf("the ServiceAccount of the pods was made anew: %v", now)
	}
	p.awaitContents("what was there before the switch", contents...)
	if now := p.cloud.Writes()[writes:]; len(now) > 0 {
		t.Errorf("the switch wrote to the clouds: %q", now)
	}

	// And claims are orphaned as the documentation says.
	p.shell(keep[1])
	p.eventually("the claim is gone", p.noClaim)
	p.awaitContents("what was there before the claim was orphaned", contents...)
}

// commands in the blocks of a section of the documentation.
func (t *team) commands(file, heading string) []string {
	t.t.Helper()
	text, err := os.ReadFile(filepath.Join(t.Root, file))
	if err != nil {
		t.t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n"+heading+"\n")
	if !ok {
		t.t.Fatalf("%s has no section %q", file, heading)
	}
	level, _, _ := strings.Cut(heading, " ")
	section, _, _ = strings.Cut(section, "\n"+level+" ")
	var blocks []string
	for {
		_, rest, ok := strings.Cut(section, "```shell\n")
		if !ok {
			return blocks
		}
		block, rest, ok := strings.Cut(rest, "```\n")
		if !ok {
			t.t.Fatalf("%s: section %q has a block without an end", file, heading)
		}
		blocks, section = append(blocks, block), rest
	}
}

// shell runs commands as somebody does who has the release in the folder, and all
// rights.
func (p *platform) shell(commands string) {
	p.t.Helper()
	p.t.Logf("%s%s", commands, p.shellIn(p.release(thisRelease), commands))
}

// shellIn a folder runs commands as somebody does who has all rights, and returns what
// they print.
func (t *team) shellIn(dir, commands string) string {
	t.t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.t.Context(), t.deadline, fmt.Errorf("not within %s", t.deadline))
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-euc", commands)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "KUBECONFIG="+t.Kubeconfig, "PATH="+filepath.Join(t.Root, ".cache", "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.t.Fatalf("%s: %v: %s", commands, err, out)
	}
	return string(out)
}

// uninstalled leaves nothing of what was installed.
func (p *platform) uninstalled() {
	p.t.Helper()
	p.eventually("everything is uninstalled", func(ctx context.Context) error {
		for _, o := range []struct{ apiVersion, kind, namespace, name string }{
			{packagesVersion, "Function", "", controlplane.FunctionName},
			{packagesVersion, "Configuration", "", p.configuration()},
			{"apiextensions.crossplane.io/v2", "CompositeResourceDefinition", "", plural},
			{"apiextensions.crossplane.io/v1", "Composition", "", "serviceconnections"},
			{"apiextensions.k8s.io/v1", "CustomResourceDefinition", "", plural},
			{"admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "", "service-connections-removal"},
			{"rbac.authorization.k8s.io/v1", "ClusterRole", "", "crossplane:function-service-connections"},
		} {
			u, err := p.Get(ctx, o.apiVersion, o.kind, o.namespace, o.name)
			if err != nil || u != nil {
				return errors.Join(fmt.Errorf("%s %q is there: %v", o.kind, o.name, u), err)
			}
		}
		pods := &corev1.PodList{}
		if err := p.Client.List(ctx, pods, client.InNamespace(controlplane.Namespace)); err != nil || len(pods.Items) > 0 {
			return errors.Join(fmt.Errorf("%d pods of the function run", len(pods.Items)), err)
		}
		return nil
	})
}

// runsAsWritten holds the function's Deployment to the runtime configuration.
func (p *platform) runsAsWritten() {
	p.t.Helper()
	deployments := &appsv1.DeploymentList{}
	if err := p.Client.List(p.t.Context(), deployments, client.InNamespace(controlplane.Namespace)); err != nil {
		p.t.Fatal(err)
	}
	// The providers have theirs.
	of := slices.DeleteFunc(deployments.Items, func(d appsv1.Deployment) bool { return !strings.HasPrefix(d.Name, controlplane.FunctionName) })
	if len(of) != 1 {
		p.t.Fatalf("want the Deployment of the function, got %d", len(of))
	}
	d := of[0]
	container := d.Spec.Template.Spec.Containers[0]
	got := map[string]any{
		"replicas available": d.Status.AvailableReplicas,
		"read-only":          container.SecurityContext.ReadOnlyRootFilesystem,
		"escalation":         container.SecurityContext.AllowPrivilegeEscalation,
		"dropped":            container.SecurityContext.Capabilities.Drop,
		"user":               container.SecurityContext.RunAsUser,
		"memory":             container.Resources.Limits.Memory().String(),
		"token":              d.Spec.Template.Spec.AutomountServiceAccountToken,
	}
	yes, no, user := true, false, int64(65532)
	want := map[string]any{
		"replicas available": int32(2), "read-only": &yes, "escalation": &no, "dropped": []corev1.Capability{"ALL"},
		"user": &user, "memory": "256Mi", "token": &no,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		p.t.Errorf("Deployment of the function: -want, +got:\n%s", diff)
	}
}

// refusesOther configuration beside the one that is installed.
func (p *platform) refusesOther() {
	p.t.Helper()
	const other = configuration + "-claims"
	p.kubectl("kubectl apply -f " + filepath.Join(p.Root, "package", "install", "claims", "configuration.yaml"))
	p.eventually("the second configuration is refused", func(ctx context.Context) error {
		c, err := p.Get(ctx, packagesVersion, "Configuration", "", other)
		if err != nil {
			return err
		}
		return hasCondition(c, "Healthy", "False", "", "serviceconnections is already controlled by ConfigurationRevision")
	})
	if xrd, err := p.Get(p.t.Context(), "apiextensions.crossplane.io/v2", "CompositeResourceDefinition", "", "x"+plural); err != nil || xrd != nil {
		p.t.Errorf("the second configuration has defined %v (%v)", xrd, err)
	}
	p.kubectl("kubectl delete configuration.pkg.crossplane.io " + other)
	p.awaitHealthy("Configuration", configuration)
}

// refusesRemoval of what defines ServiceConnections, also the second time that
// all that was installed is deleted.
func (p *platform) refusesRemoval() {
	p.t.Helper()
	manifest := filepath.Join(p.release(thisRelease), "install.yaml")
	for range 2 {
		out := p.refused("delete --wait=false --ignore-not-found -f " + manifest)
		if !strings.Contains(out, `with Configuration "`+configuration+`" go all ServiceConnections`) {
			p.t.Errorf("kubectl delete says: %s", out)
		}
	}
	for _, kind := range []string{"crd", "compositeresourcedefinition"} {
		p.refused("delete " + kind + " " + plural)
	}
	p.refused("delete composition serviceconnections")
	p.refused("delete compositions --all")
	p.installRelease(thisRelease, "install")
}

// refused command of kubectl, and what it prints.
func (p *platform) refused(args string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), filepath.Join(p.Root, ".cache", "bin", "kubectl"), strings.Fields(args)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+p.Kubeconfig)
	out, err := cmd.CombinedOutput()
	if err == nil {
		p.t.Errorf("kubectl %s was not refused: %s", args, out)
	}
	return string(out)
}
