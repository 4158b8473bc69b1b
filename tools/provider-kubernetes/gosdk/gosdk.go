// Package gosdk stands in for github.com/nebius/gosdk, which the Go module proxy
// doesn't have. provider-kubernetes needs it for the credentials of one cloud, of
// which the tests have none: what it declares is what that provider's
// pkg/kube/client/nebius calls.
package gosdk

import (
	"context"
	"errors"

	"github.com/nebius/gosdk/auth"
)

var errStandIn = errors.New("this provider-kubernetes is built without the credentials of Nebius")

// An SDK can't be made.
type SDK struct{}

// New fails.
func New(context.Context, ...Option) (*SDK, error) { return nil, errStandIn }

// BearerToken fails.
func (*SDK) BearerToken(context.Context) (auth.BearerToken, error) {
	return auth.BearerToken{}, errStandIn
}

// An Option of an SDK.
type Option struct{}

// Credentials of an SDK.
type Credentials struct{}

// WithCredentials does nothing.
func WithCredentials(Credentials) Option { return Option{} }

// ServiceAccountReader reads nothing.
func ServiceAccountReader(auth.PrivateKeyParser) Credentials { return Credentials{} }
