package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/test/modules"
)

// The names that Crossplane's Helm chart uses.
const (
	rootCASecret = "crossplane-root-ca"
	clientSecret = "crossplane-tls-client"

	// crossplaneRole has all of Crossplane's rights, by aggregation.
	crossplaneRole = "crossplane"
)

// installCrossplane as its Helm chart does, and start it.
func (c *ControlPlane) installCrossplane(ctx context.Context) error {
	dirs, err := modules.Dirs(ctx, "crossplane", crossplaneModule)
	if err != nil {
		return err
	}
	c.crossplaneDir = dirs[crossplaneModule]
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}}
	if err := c.Client.Create(ctx, ns); err != nil {
		return fmt.Errorf("cannot create namespace: %w", err)
	}
	if err := c.applyChart(ctx); err != nil {
		return err
	}
	if err := c.initCrossplane(ctx); err != nil {
		return err
	}
	if c.Packages {
		if err := c.startKubelet(ctx); err != nil {
			return err
		}
	}
	return c.StartCrossplane(ctx)
}

const crossplaneModule = "github.com/crossplane/crossplane/v2"

// applyChart applies Crossplane's Helm chart without its Deployments, which are
// processes here.
func (c *ControlPlane) applyChart(ctx context.Context) error {
	chart, err := loader.Load(filepath.Join(c.crossplaneDir, "cluster", "charts", "crossplane"))
	if err != nil {
		return fmt.Errorf("cannot load Crossplane's chart: %w", err)
	}
	values, err := chartutil.ToRenderValues(chart, nil, chartutil.ReleaseOptions{Name: "crossplane", Namespace: Namespace, Revision: 1, IsInstall: true}, nil)
	if err != nil {
		return fmt.Errorf("cannot prepare Crossplane's chart: %w", err)
	}
	files, err := engine.Render(chart, values)
	if err != nil {
		return fmt.Errorf("cannot render Crossplane's chart: %w", err)
	}
	for name, content := range files {
		if base := filepath.Base(name); !strings.HasSuffix(base, ".yaml") || strings.HasSuffix(base, "deployment.yaml") || base == "service.yaml" {
			continue
		}
		if err := c.ApplyYAML(ctx, content); err != nil {
			return fmt.Errorf("cannot apply %s: %w", name, err)
		}
	}
	return nil
}

// initCrossplane runs Crossplane's init container. It fails while the API server
// establishes the CRDs that it has just applied, and is run again, as the kubelet
// would.
func (c *ControlPlane) initCrossplane(ctx context.Context) error {
	return Poll(ctx, func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, c.tool("crossplane-core"), "core", "init",
			"--cr-ds-path="+filepath.Join(c.crossplaneDir, "cluster", "crds"), "--enable-webhooks=false")
		cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig, "POD_NAMESPACE="+Namespace,
			"TLS_CA_SECRET_NAME="+rootCASecret, "TLS_SERVER_SECRET_NAME=crossplane-tls-server", "TLS_CLIENT_SECRET_NAME="+clientSecret)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("cannot init Crossplane: %w: %s", err, out)
		}
		return nil
	})
}

// StartCrossplane core. It runs as its own service account, with no more rights
// than the chart, the RBAC manager and the function's package give to that.
func (c *ControlPlane) StartCrossplane(ctx context.Context) error {
	secret := &corev1.Secret{}
	if err := c.Client.Get(ctx, types.NamespacedName{Namespace: Namespace, Name: clientSecret}, secret); err != nil {
		return fmt.Errorf("cannot get Crossplane's certificate: %w", err)
	}
	certificates := c.path("crossplane-certificates")
	if err := writeSecret(certificates, secret); err != nil {
		return err
	}
	kubeconfig, err := c.writeKubeconfig(crossplane)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.path("packages"), 0o700); err != nil {
		return fmt.Errorf("cannot make folder for packages: %w", err)
	}
	packageRuntime, env := "External", []string{"KUBECONFIG=" + kubeconfig, "POD_NAMESPACE=" + Namespace}
	if c.Packages {
		packageRuntime, env = "Deployment", append(env, "HTTPS_PROXY=http://"+c.proxy)
	}
	args := []string{
		"core", "start",
		"--package-runtime=" + packageRuntime, "--enable-webhooks=false",
		"--tls-client-certs-dir=" + certificates,
		"--cache-dir=" + c.path("packages"), "--xfn-cache-dir=" + c.path("responses"),
		fmt.Sprintf("--metrics-port=%d", c.ports.crossplaneMetrics), fmt.Sprintf("--health-probe-port=%d", c.ports.crossplaneHealth),
	}
	if !c.Plain {
		args = append(args,
			"--debug",
			// By default Crossplane pauses a composite resource for minutes after
			// 100 events that come faster than one a second. What the clouds take
			// minutes for, which spreads the events, takes a second here.
			"--circuit-breaker-burst=10000", "--circuit-breaker-refill-rate=100")
	}
	c.crossplane, err = start(c.Dir, program{
		name: "crossplane", path: c.tool("crossplane-core"), env: env,
		args: args,
	})
	if err != nil {
		return err
	}
	return c.crossplane.await(ctx, func(ctx context.Context) error {
		return get(ctx, fmt.Sprintf("http://127.0.0.1:%d/readyz", c.ports.crossplaneHealth))
	})
}

// StopCrossplane core. The rest goes on.
func (c *ControlPlane) StopCrossplane() { c.crossplane.stop() }

// granting is one at a time: each needs the same port.
var granting sync.Mutex

// GrantRoles runs Crossplane's RBAC manager until Crossplane's role has rights on
// the supplied resources, each as resource.group. The manager doesn't stay: it
// insists on port 8080 for its metrics, of which a machine has only one.
func (c *ControlPlane) GrantRoles(ctx context.Context, resources ...string) error {
	kubeconfig, err := c.writeKubeconfig(rbacManager)
	if err != nil {
		return err
	}
	granting.Lock()
	defer granting.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not done after %s", startTimeout))
	defer cancel()
	return Poll(ctx, func(ctx context.Context) error {
		manager, err := start(c.Dir, program{
			name: "rbac-manager", path: c.tool("crossplane-core"), env: []string{"KUBECONFIG=" + kubeconfig},
			args: []string{"rbac", "start", "--provider-clusterrole=crossplane:allowed-provider-permissions"},
		})
		if err != nil {
			return permanent{err}
		}
		defer manager.stop()
		err = manager.await(ctx, func(ctx context.Context) error { return c.granted(ctx, resources) })
		if err != nil && strings.Contains(tail(manager.log), "address already in use") {
			// That it has ended is no reason to give up.
			return fmt.Errorf("another control plane on this machine grants its roles: %s", strings.TrimSpace(err.Error()))
		}
		if err != nil {
			return permanent{err}
		}
		return nil
	})
}

// granted says which resources Crossplane's role doesn't have yet.
func (c *ControlPlane) granted(ctx context.Context, resources []string) error {
	role := &rbacv1.ClusterRole{}
	if err := c.Client.Get(ctx, client.ObjectKey{Name: crossplaneRole}, role); err != nil {
		return fmt.Errorf("cannot get Crossplane's role: %w", err)
	}
	has := map[string]bool{}
	for _, rule := range role.Rules {
		for _, g := range rule.APIGroups {
			for _, r := range rule.Resources {
				has[r+"."+g] = true
			}
		}
	}
	for _, r := range resources {
		if !has[r] {
			return fmt.Errorf("ClusterRole %q has no rights on %s", crossplaneRole, r)
		}
	}
	return c.bound(ctx)
}

// bound says which provider's ServiceAccount doesn't have its role yet.
func (c *ControlPlane) bound(ctx context.Context) error {
	revisions := &unstructured.UnstructuredList{}
	revisions.SetAPIVersion("pkg.crossplane.io/v1")
	revisions.SetKind("ProviderRevisionList")
	if err := c.Client.List(ctx, revisions); err != nil {
		return fmt.Errorf("cannot list providers: %w", err)
	}
	for _, r := range revisions.Items {
		role, binding := &rbacv1.ClusterRole{}, &rbacv1.ClusterRoleBinding{}
		key := client.ObjectKey{Name: "crossplane:provider:" + r.GetName() + ":system"}
		if err := errors.Join(c.Client.Get(ctx, key, role), c.Client.Get(ctx, key, binding)); err != nil {
			return fmt.Errorf("cannot get the role of provider %q and its binding: %w", r.GetName(), err)
		}
		if len(role.Rules) == 0 || len(binding.Subjects) == 0 {
			return fmt.Errorf("provider %q doesn't have its role yet", r.GetName())
		}
	}
	return nil
}

// writeSecret as the files of a folder.
func writeSecret(dir string, secret *corev1.Secret) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make folder for secret %s: %w", secret.Name, err)
	}
	for name, content := range secret.Data {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return fmt.Errorf("cannot write secret %s: %w", secret.Name, err)
		}
	}
	return nil
}
