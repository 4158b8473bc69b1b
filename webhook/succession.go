package webhook

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

const (
	authorityName = "service-connections-webhook-ca"

	// authorityKey of the Secret's data, as cert-controller has it.
	authorityKey = "ca.crt"
)

// succession is a manager whose client hands an authority over to the next one. cert-controller
// writes a new authority and a certificate of it at once, and has the API server trust
// that authority only, while the kubelet takes a minute or two until it has mounted the
// certificate. In that time no replica could show one that the API server trusts. So the
// one that goes stays beside the new one, as long as it is valid.
type succession struct {
	manager.Manager

	secret types.NamespacedName
}

// GetClient by which cert-controller writes.
func (s succession) GetClient() client.Client {
	return heir{s.Manager.GetClient(), s.GetAPIReader(), s.secret}
}

// An heir leaves the former authority in the Secret.
type heir struct {
	client.Client

	live   client.Reader
	secret types.NamespacedName
}

// Update an object. If that is the Secret with another authority, the one that it has
// stays beside it. Should the Secret change after it was read here, the API server
// refuses to update it.
func (h heir) Update(ctx context.Context, o client.Object, options ...client.UpdateOption) error {
	if next, ok := o.(*corev1.Secret); ok && client.ObjectKeyFromObject(next) == h.secret && next.Data != nil {
		now := &corev1.Secret{}
		if err := h.live.Get(ctx, h.secret, now); err != nil {
			return fmt.Errorf("cannot get Secret %q: %w", h.secret, err)
		}
		next.Data[authorityKey] = withFormer(next.Data[authorityKey], now.Data[authorityKey], time.Now())
	}
	return h.Client.Update(ctx, o, options...) //nolint:wrapcheck // A conflict is told by its type.
}

// withFormer authority beside the next one, both in PEM, if it is another one and still
// valid. The first of several is the one that signs.
func withFormer(next, former []byte, now time.Time) []byte {
	signs, _ := pem.Decode(next)
	signed, _ := pem.Decode(former)
	if signs == nil || signed == nil || bytes.Equal(signs.Bytes, signed.Bytes) {
		return next
	}
	c, err := x509.ParseCertificate(signed.Bytes)
	if err != nil || now.After(c.NotAfter) {
		return next
	}
	return slices.Concat(pem.EncodeToMemory(signs), pem.EncodeToMemory(signed))
}
