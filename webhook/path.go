package webhook

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The objects that install-webhook.yaml has, and that the webhook fills in.
const (
	injectName         = "00-service-connections"
	requireName        = "service-connections-require-injection"
	pathSecretName     = "service-connections-webhook-path"
	certificatesSecret = "service-connections-webhook-certificates"

	// pathKey of the Secret's data.
	pathKey = "path"
)

// pathInterval is how soon a configuration that was installed anew has the path again.
const pathInterval = 20 * time.Second

// A secretPath is what only the API server is told: the end of the path at which it
// calls the webhook. It stands in a Secret, which all replicas share, and in the
// webhook's configurations, which only administrators read.
type secretPath struct {
	client    client.Client
	namespace string
	log       logging.Logger
	value     atomic.Pointer[string]
}

// get the path, empty while it isn't known.
func (p *secretPath) get() string {
	if v := p.value.Load(); v != nil {
		return *v
	}
	return ""
}

// keep the path in the configurations until the context is done.
func (p *secretPath) keep(ctx context.Context) {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		err := retry.OnError(retry.DefaultBackoff, isConflict, func() error { return p.reconcile(ctx) })
		if err != nil && ctx.Err() == nil {
			p.log.Info("Cannot tell the API server where to call; trying again", "error", err)
		}
	}, pathInterval)
}

// isConflict says whether another replica was faster, or who renews the certificate.
func isConflict(err error) bool {
	var status kerrors.APIStatus
	return errors.As(err, &status) && status.Status().Reason == metav1.StatusReasonConflict
}

// reconcile the Secret and the configurations.
func (p *secretPath) reconcile(ctx context.Context) error {
	secret := &corev1.Secret{}
	if err := p.client.Get(ctx, client.ObjectKey{Namespace: p.namespace, Name: pathSecretName}, secret); err != nil {
		return fmt.Errorf("cannot get Secret %q: %w", pathSecretName, err)
	}
	if len(secret.Data[pathKey]) == 0 {
		// 26 characters of 32: 130 bits.
		secret.Data = map[string][]byte{pathKey: []byte(rand.Text())}
		if err := p.client.Update(ctx, secret); err != nil {
			return err //nolint:wrapcheck // A conflict is told by its type.
		}
	}
	path := string(secret.Data[pathKey])
	p.value.Store(&path)

	return errors.Join(p.tellInjecting(ctx, "/inject/"+path), p.tellRequiring(ctx, "/require/"+path))
}

// tellInjecting configuration the path, if it is there.
func (p *secretPath) tellInjecting(ctx context.Context, path string) error {
	c := &admissionregistrationv1.MutatingWebhookConfiguration{}
	return p.tell(ctx, "MutatingWebhookConfiguration", injectName, c, func() (changed bool) {
		for i := range c.Webhooks {
			changed = setPath(&c.Webhooks[i].ClientConfig, path) || changed
		}
		return changed
	})
}

// tellRequiring configuration the path, if it is there: it is an option.
func (p *secretPath) tellRequiring(ctx context.Context, path string) error {
	c := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	return p.tell(ctx, "ValidatingWebhookConfiguration", requireName, c, func() (changed bool) {
		for i := range c.Webhooks {
			changed = setPath(&c.Webhooks[i].ClientConfig, path) || changed
		}
		return changed
	})
}

// tell the configuration of a kind and name something, once it is read, if it is there.
// The change says whether it made one.
func (p *secretPath) tell(ctx context.Context, kind, name string, c client.Object, change func() (changed bool)) error {
	err := p.client.Get(ctx, client.ObjectKey{Name: name}, c)
	if kerrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot get %s %q: %w", kind, name, err)
	}
	if change() {
		err = p.client.Update(ctx, c)
	}
	return err //nolint:wrapcheck // A conflict is told by its type.
}

// setPath of a configuration, where it says another one. One with a URL calls a webhook
// that runs outside of the cluster.
func setPath(c *admissionregistrationv1.WebhookClientConfig, path string) (changed bool) {
	switch {
	case c.Service != nil && (c.Service.Path == nil || *c.Service.Path != path):
		c.Service.Path = &path
		return true
	case c.URL != nil:
		u, err := url.Parse(*c.URL)
		if err != nil || u.Path == path {
			return false
		}
		u.Path = path
		c.URL = new(u.String())
		return true
	default:
		return false
	}
}
