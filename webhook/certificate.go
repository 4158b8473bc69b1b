package webhook

import (
	"context"
	"fmt"

	"github.com/crossplane/function-sdk-go/logging"
	"github.com/go-logr/logr"
	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// rotate the webhook's certificate in its Secret, and keep its authority in the
// configurations, until the context is done. The certificate lives a year and its
// authority ten, and each is renewed 90 days before it ends, so a certificate that is
// just being renewed, or that the kubelet has not mounted yet, works all the while.
// Every replica does so; of two that write at once the API server refuses one, which
// then finds what the other wrote.
func rotate(ctx context.Context, o Options, logger logging.Logger) error {
	log.SetLogger(logr.Discard())
	m, err := manager.New(o.Config, manager.Options{
		LeaderElection:          false,
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		GracefulShutdownTimeout: &o.DrainTimeout,
	})
	if err != nil {
		return fmt.Errorf("cannot make manager of certificates: %w", err)
	}
	ready := make(chan struct{})
	if err := rotator.AddRotator(m, &rotator.CertRotator{
		SecretKey:      types.NamespacedName{Namespace: o.Namespace, Name: certificatesSecret},
		CertDir:        o.CertificateDir,
		CAName:         "service-connections-webhook-ca",
		CAOrganization: "serviceconnections.io",
		DNSName:        o.Host,
		IsReady:        ready,
		Webhooks: []rotator.WebhookInfo{
			{Name: injectName, Type: rotator.Mutating},
			{Name: requireName, Type: rotator.Validating},
		},
		FieldOwner: "service-connections-webhook",
	}); err != nil {
		return fmt.Errorf("cannot keep certificate of %s: %w", o.Host, err)
	}
	go func() {
		select {
		case <-ready:
			logger.Info("The API server knows the certificate", "service", o.Host)
		case <-ctx.Done():
		}
	}()
	if err := m.Start(ctx); err != nil {
		return fmt.Errorf("cannot keep certificate of %s: %w", o.Host, err)
	}
	return nil
}
