// Package webhook runs the admission webhook: it keeps an index of the
// ServiceConnections of a cluster, answers the API server by it, and looks after the
// certificate that the API server knows it by. It is for Kubernetes before 1.36, which
// lacks the admission policies, and for namespaces with so many ServiceConnections that
// these would cost each pod too much.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/fn/admit"
	"github.com/serviceconnections/function-service-connections/fn/workload"
	"github.com/serviceconnections/function-service-connections/server"
)

// Options of the webhook. All are required unless they say otherwise.
type Options struct {
	// Config of a client with the rights in package/webhook/rbac.yaml.
	Config *rest.Config

	// Forms that an injection must be of.
	Forms workload.Forms

	// Address to listen on over TCP, and that of the metrics, which may be empty.
	Address        string
	MetricsAddress string

	// CertificateDir has tls.crt and tls.key, as they are mounted from a Secret.
	CertificateDir string

	// Rotate says that the webhook makes its certificate itself, and renews it in time.
	// Otherwise whoever writes the Secret also writes the caBundle of the webhook's
	// configurations, as cert-manager does.
	Rotate bool

	// Namespace of the webhook and its Secrets.
	Namespace string

	// Host by whose name the API server calls the webhook, such as
	// service-connections-webhook.service-connections.svc.
	Host string

	// DrainTimeout is how long reviews may go on once the webhook is told to stop.
	DrainTimeout time.Duration
}

// Run the webhook until the context is done. It returns an error when it can't go on.
func Run(ctx context.Context, o Options, log logging.Logger) error {
	reader, err := dynamic.NewForConfig(o.Config)
	if err != nil {
		return fmt.Errorf("cannot make client of ServiceConnections: %w", err)
	}
	writer, err := client.New(o.Config, client.Options{})
	if err != nil {
		return fmt.Errorf("cannot make client of Secrets and configurations: %w", err)
	}
	index := admit.NewIndex()
	connections := newWatch(reader, index, o.Forms)
	path := &secretPath{client: writer, namespace: o.Namespace, log: log}
	s, err := server.ListenReviews(ctx, server.ReviewOptions{
		Address:        o.Address,
		TLS:            server.TLS(o.CertificateDir, log),
		Reviews:        map[string]server.Review{"inject": index.Inject, "require": index.Require},
		Secret:         path.get,
		MetricsAddress: o.MetricsAddress,
		DrainTimeout:   o.DrainTimeout,
		Ready: func() error {
			if !connections.HasSynced() {
				return errors.New("the ServiceConnections aren't read yet")
			}
			if path.get() == "" {
				return errors.New("the path isn't known yet")
			}
			_, err := server.Certificate(o.CertificateDir)
			return err
		},
	}, log)
	if err != nil {
		return err
	}

	// What ends first ends the others. The server goes on while the watch does.
	group, all := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Serve(all) })
	group.Go(func() error { connections.RunWithContext(all); return nil })
	group.Go(func() error { path.keep(all); return nil })
	if o.Rotate {
		group.Go(func() error { return rotate(all, o, log) })
	}
	return group.Wait() //nolint:wrapcheck // They say what they can't do.
}
