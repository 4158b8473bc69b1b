package webhook

import (
	"context"
	"fmt"
	"net/http"
	"path"

	"github.com/crossplane/function-sdk-go/logging"
	"github.com/go-logr/logr"
	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
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
	m, err := manager.New(narrowed(o.Config), manager.Options{
		LeaderElection:          false,
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		GracefulShutdownTimeout: &o.DrainTimeout,
	})
	if err != nil {
		return fmt.Errorf("cannot make manager of certificates: %w", err)
	}
	ready := make(chan struct{})
	secret := types.NamespacedName{Namespace: o.Namespace, Name: certificatesSecret}
	if err := rotator.AddRotator(succession{m, secret}, &rotator.CertRotator{
		SecretKey:      secret,
		CertDir:        o.CertificateDir,
		CAName:         authorityName,
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

// narrowed configuration of a client that watches whole kinds, as cert-controller does:
// it sees of each the one object that it is for, and needs the right to no other. RBAC
// lets one object be listed and watched by its name where a field selector says it.
func narrowed(c *rest.Config) *rest.Config {
	c = rest.CopyConfig(c)
	c.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return byName{next, map[string]string{
			"secrets":                         certificatesSecret,
			"mutatingwebhookconfigurations":   injectName,
			"validatingwebhookconfigurations": requireName,
		}}
	})
	return c
}

// byName asks of some resources for the object of a name only.
type byName struct {
	next  http.RoundTripper
	names map[string]string
}

// RoundTrip of a request. The path of one that lists or watches ends in the resource.
func (b byName) RoundTrip(r *http.Request) (*http.Response, error) {
	name, ok := b.names[path.Base(r.URL.Path)]
	if !ok || r.Method != http.MethodGet {
		return b.next.RoundTrip(r) //nolint:wrapcheck // The caller knows it as its own.
	}
	r = r.Clone(r.Context())
	q := r.URL.Query()
	q.Set("fieldSelector", "metadata.name="+name)
	r.URL.RawQuery = q.Encode()
	return b.next.RoundTrip(r) //nolint:wrapcheck // The caller knows it as its own.
}
