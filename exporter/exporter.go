// Package exporter tells Prometheus how the ServiceConnections of a cluster stand. It
// reads them, and changes nothing.
package exporter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/serviceconnections/function-service-connections/follow"
	"github.com/serviceconnections/function-service-connections/server"
)

// resources of ours.
var resources = schema.GroupVersion{Group: "serviceconnections.io", Version: "v1alpha1"}

// lookAgain so long after a kind wasn't there.
const lookAgain = 20 * time.Second

// Options of the exporter. All are required.
type Options struct {
	// Config of a client with the rights in package/monitoring/rbac.yaml.
	Config *rest.Config

	// Address to serve /metrics, /readyz and /livez at over plain HTTP.
	Address string
}

// Run the exporter until the context is done. It returns an error when it can't go on.
func Run(ctx context.Context, o Options, log logging.Logger) error {
	client, err := dynamic.NewForConfig(o.Config)
	if err != nil {
		return fmt.Errorf("cannot make client of ServiceConnections: %w", err)
	}
	all := newCollector(client, time.Now)
	registry := prometheus.NewRegistry()
	registry.MustRegister(all, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s, err := server.ListenMetrics(ctx, o.Address, registry, all.ready, log)
	if err != nil {
		return err
	}
	// What ends first ends the others.
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Serve(running) })
	group.Go(func() error { all.run(running); return nil })
	return group.Wait() //nolint:wrapcheck // They say what they can't do.
}

// newCollector of ServiceConnections, and of what Crossplane makes of them where they are
// claims.
func newCollector(client dynamic.Interface, now func() time.Time) *collector {
	return &collector{stores: []*store{
		newStore(client, "ServiceConnection", "serviceconnections", read, now),
		newStore(client, "XServiceConnection", "xserviceconnections", readComposite, now),
	}}
}

func newStore(client dynamic.Interface, kind, resource string, read func(map[string]any) *standing, now func() time.Time) *store {
	s := &store{kind: kind, resource: resources.WithResource(resource), client: client, all: map[types.NamespacedName]*standing{}, now: now}
	s.watch = follow.All(follow.Options[*standing]{Client: client, Resource: s.resource, Read: read, Store: s, Asked: s.asked})
	return s
}

// run what keeps the standings, until the context is done.
func (c *collector) run(ctx context.Context) {
	var all sync.WaitGroup
	for _, s := range c.stores {
		all.Go(func() { s.run(ctx) })
	}
	all.Wait()
}

// run the watch once the kind is there: until then it would ask, and log that it isn't,
// twice a minute.
func (s *store) run(ctx context.Context) {
	err := wait.PollUntilContextCancel(ctx, lookAgain, true, func(ctx context.Context) (bool, error) {
		_, err := s.client.Resource(s.resource).List(ctx, metav1.ListOptions{Limit: 1})
		s.asked(err)
		return !kerrors.IsNotFound(err), nil
	})
	if err == nil {
		s.watch.RunWithContext(ctx)
	}
}

// ready says whether what is told is what is there.
func (c *collector) ready() error {
	errs := make([]error, 0, len(c.stores))
	for _, s := range c.stores {
		errs = append(errs, s.fresh())
	}
	return errors.Join(errs...)
}
