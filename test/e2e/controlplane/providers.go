package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// providersBinary has all providers but provider-kubernetes (test/providers).
const providersBinary = "providers"

// ProviderPoll is the interval at which providers look for what has changed, in
// tests that say nothing else. The real ones' is 10 minutes.
const ProviderPoll = 2 * time.Second

// ProviderOptions of providers that run.
type ProviderOptions struct {
	// Cloud is the address of the cloud.
	Cloud string

	// PollInterval, if it isn't ProviderPoll.
	PollInterval time.Duration

	// Patience says that they wait as long as the real ones: 30 seconds for what
	// was created and isn't there, up to a minute before they try again.
	Patience bool
}

// StartProviders by their names. Those that run are left alone.
func (c *ControlPlane) StartProviders(ctx context.Context, o ProviderOptions, names ...string) error {
	if o.PollInterval == 0 {
		o.PollInterval = ProviderPoll
	}
	for _, name := range names {
		if c.ProviderRuns(name) {
			continue
		}
		kubeconfig, err := c.writeKubeconfig(provider(name))
		if err != nil {
			return err
		}
		program := c.provider(name, kubeconfig, o)
		if name == ProviderKubernetes {
			if program, err = c.kubernetesProvider(ctx, kubeconfig, o); err != nil {
				return err
			}
		}
		p, err := start(c.Dir, program)
		if err != nil {
			return err
		}
		c.setProvider(name, p)
	}
	return nil
}

func (c *ControlPlane) provider(name, kubeconfig string, o ProviderOptions) program {
	args := []string{
		"--provider=" + name, "--cloud=" + o.Cloud, "--kubeconfig=" + kubeconfig, "--poll=" + o.PollInterval.String(),
	}
	if !o.Patience {
		args = append(args, "--creation-grace=2s", "--min-retry=50ms", "--max-retry="+max(o.PollInterval/2, time.Second).String(), "--haste=20")
	}
	return program{name: name, path: c.tool(providersBinary), args: args}
}

// kubernetesProvider is the real provider-kubernetes. Its webhook, which nobody
// calls, and its metrics have ports of their own.
func (c *ControlPlane) kubernetesProvider(ctx context.Context, kubeconfig string, o ProviderOptions) (program, error) {
	secret, err := c.serverCertificate(ctx, "localhost")
	if err != nil {
		return program{}, err
	}
	certificates := c.path(ProviderKubernetes + "-certificates")
	if err := writeSecret(certificates, secret); err != nil {
		return program{}, err
	}
	free, err := freePorts(ctx, 1)
	if err != nil {
		return program{}, err
	}
	return program{name: ProviderKubernetes, path: c.tool(ProviderKubernetes), args: []string{
		"--poll=" + o.PollInterval.String(), fmt.Sprintf("--webhook-port=%d", free[0]), "--metrics-bind-address=0", "--health-probe-bind-addr=0",
	}, env: []string{"KUBECONFIG=" + kubeconfig, "TLS_SERVER_CERTS_DIR=" + certificates}}, nil
}

// ProviderRuns says whether one was started and hasn't ended.
func (c *ControlPlane) ProviderRuns(name string) bool {
	c.running.Lock()
	defer c.running.Unlock()
	return c.providers[name] != nil && !c.providers[name].ended()
}

func (c *ControlPlane) setProvider(name string, p *process) {
	c.running.Lock()
	defer c.running.Unlock()
	c.providers[name] = p
}

// take a provider's process off those that run, if it is there.
func (c *ControlPlane) takeProvider(name string) *process {
	c.running.Lock()
	defer c.running.Unlock()
	p := c.providers[name]
	delete(c.providers, name)
	return p
}

// StopProviders by their names, where they run. What they knew of what they had
// begun is lost.
func (c *ControlPlane) StopProviders(names ...string) error {
	var errs []error
	for _, name := range names {
		p := c.takeProvider(name)
		if p != nil && p.ended() {
			errs = append(errs, fmt.Errorf("%s ended by itself: %w; the end of %s:\n%s", name, p.err, p.log, tail(p.log)))
		}
		p.stop()
	}
	return errors.Join(errs...)
}

// KillProvider without warning.
func (c *ControlPlane) KillProvider(name string) {
	if p := c.takeProvider(name); p != nil {
		p.kill()
	}
}

// configureProvider as package/providers says, in the subscription of Azure that
// the tests have. provider-kubernetes has no pod here whose token it would find, so it
// reads a kubeconfig of its ServiceAccount, which has the rights that are shipped for it.
func (c *ControlPlane) configureProvider(ctx context.Context, name string) error {
	folder := map[string]string{ProviderAWS: "aws", ProviderAzure: "azure", ProviderGCP: "gcp", ProviderKubernetes: "kubernetes"}[name]
	config, err := os.ReadFile(filepath.Join(c.Root, "package", "providers", folder, "config.yaml"))
	if err != nil {
		return fmt.Errorf("cannot read ProviderConfig: %w", err)
	}
	yaml := string(config)
	if c.Subscription != "" {
		yaml = strings.ReplaceAll(yaml, "subscriptionID: 00000000-0000-0000-0000-000000000000", "subscriptionID: "+c.Subscription)
	}
	if name == ProviderKubernetes {
		if err := c.grantDisks(ctx, folder); err != nil {
			return err
		}
		path, err := c.writeKubeconfig(provider(name))
		if err != nil {
			return err
		}
		kubeconfig, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("cannot read kubeconfig: %w", err)
		}
		secret := object("v1", "Secret", ProviderKubernetes)
		secret.SetNamespace(Namespace)
		secret.Object["stringData"] = map[string]any{"kubeconfig": string(kubeconfig)}
		if err := c.Apply(ctx, secret); err != nil {
			return err
		}
		yaml = strings.ReplaceAll(yaml, "{source: InjectedIdentity}", fmt.Sprintf("{source: Secret, secretRef: {namespace: %s, name: %s, key: kubeconfig}}", Namespace, ProviderKubernetes))
	}
	// Discovery knows a kind a moment after it is established.
	return inTime(ctx, func(ctx context.Context) error {
		return Poll(ctx, func(ctx context.Context) error { return c.ApplyYAML(ctx, yaml) })
	})
}

// grantDisks to provider-kubernetes, as its manifest does, whose packages nobody installs
// here.
func (c *ControlPlane) grantDisks(ctx context.Context, folder string) error {
	manifest, err := os.ReadFile(filepath.Join(c.Root, "package", "providers", folder, "provider.yaml"))
	if err != nil {
		return fmt.Errorf("cannot read provider's manifest: %w", err)
	}
	objects, err := Parse(string(manifest))
	if err != nil {
		return err
	}
	for _, o := range objects {
		if o.GroupVersionKind().Group != rbacv1.GroupName {
			continue
		}
		if err := c.Apply(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func ofProvider(all map[string][]*apiextensionsv1.CustomResourceDefinition, name string) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	for module, crds := range all {
		if strings.HasSuffix(strings.TrimSuffix(module, "/v2"), "/"+name) {
			return crds, nil
		}
	}
	return nil, fmt.Errorf("cannot install provider %q, which the function composes nothing of", name)
}
