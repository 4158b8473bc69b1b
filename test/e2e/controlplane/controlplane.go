// Package controlplane runs a real Kubernetes control plane with Crossplane and
// the function on loopback: etcd, kube-apiserver, kube-controller-manager,
// Crossplane core and the function over mTLS, as processes that are built from
// their Go modules (make controlplane-tools). There are no nodes: pods are
// created and stay Pending.
package controlplane

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// startTimeout bounds each step of the start. Crossplane waits up to a minute
// before it tries again what has failed often.
const startTimeout = 2 * time.Minute

// Options of a ControlPlane.
type Options struct {
	// Root of the repository.
	Root string

	// Dir for data, logs and the kubeconfig. It must exist.
	Dir string

	// Packages are installed by Crossplane's package manager, which runs
	// functions in pods. Otherwise InstallConfiguration and StartFunction do
	// what it would.
	Packages bool

	// Plain says that Crossplane runs with its own defaults, as users have it,
	// instead of with those that suit tests.
	Plain bool

	// Audit says that the API server logs each write, with what came of it, to the file
	// audit.log in Dir.
	Audit bool

	// Subscription of Azure that the ProviderConfigs name.
	Subscription string

	// Kubernetes is the minor version to run, such as 1.34, for which make
	// older-kubernetes builds the tools. Empty: that of all tests.
	Kubernetes string

	// Progress is told each step. May be nil.
	Progress func(format string, a ...any)
}

// A ControlPlane that runs.
type ControlPlane struct {
	Options

	// Config of a client that may do everything.
	Config *rest.Config

	// Client that may do everything. It reads from the API server, not from a
	// cache.
	Client client.Client

	// Crossplane is a client with the name and rights of Crossplane, which alone
	// may write the status of a ServiceConnection.
	Crossplane client.Client

	// Kubeconfig is the file of the client that may do everything, for kubectl.
	Kubeconfig string

	credentials credentials

	// crossplaneDir is Crossplane's own source, which has its CRDs and its chart.
	crossplaneDir string

	ports      ports
	etcd       *process
	apiServer  *process
	controller *process
	crossplane *process
	functions  map[string]*process

	// providers that run, by name.
	providers map[string]*process
	running   sync.Mutex

	// kubelet runs the pods of functions, and proxy is its address for those who
	// connect to their Services. Only with Options.Packages.
	kubelet *kubelet
	proxy   string
}

// ports on loopback.
type ports struct {
	etcd, etcdPeer, apiServer, controller, crossplaneMetrics, crossplaneHealth int
}

// Start a control plane with Crossplane, but without any function or XRD. When
// it fails, nothing is left running.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	// What controller-runtime's clients log says nothing that a test doesn't.
	log.SetLogger(logr.Discard())
	if o.Progress == nil {
		o.Progress = func(string, ...any) {}
	}
	c := &ControlPlane{Options: o, functions: map[string]*process{}, providers: map[string]*process{}}
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"credentials", c.prepare},
		{"etcd", c.startEtcd},
		{"kube-apiserver", c.startAPIServer},
		{"kube-controller-manager", c.startControllerManager},
		{"Crossplane", c.installCrossplane},
	} {
		begin := time.Now()
		if err := inTime(ctx, step.run); err != nil {
			c.Stop()
			return nil, fmt.Errorf("cannot start control plane: %s: %w", step.name, err)
		}
		o.Progress("%-24s %5.1f s", step.name, time.Since(begin).Seconds())
	}
	return c, nil
}

// Stop everything that was started, in reverse order, and wait until it has
// ended.
func (c *ControlPlane) Stop() {
	for _, p := range c.providers {
		p.stop()
	}
	for _, f := range c.functions {
		f.stop()
	}
	c.crossplane.stop()
	c.kubelet.stop()
	c.controller.stop()
	c.apiServer.stop()
	c.etcd.stop()
}

// inTime or not at all.
func inTime(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not done after %s", startTimeout))
	defer cancel()
	return f(ctx)
}

// tool that make controlplane-tools has built.
func (c *ControlPlane) tool(name string) string {
	return filepath.Join(c.Root, ".cache", "bin", name)
}

// kubernetes tool of the version to run.
func (c *ControlPlane) kubernetes(name string) string {
	if c.Kubernetes != "" {
		name += "-" + c.Kubernetes
	}
	return c.tool(name)
}

func (c *ControlPlane) path(name string) string { return filepath.Join(c.Dir, name) }
