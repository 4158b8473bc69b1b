package door

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A token of a ServiceAccount, as the API server signs it (Kubernetes, "Managing
// Service Accounts", "Bound service account tokens").
type token struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience []string `json:"aud"`

	// Expires and NotBefore are in seconds since 1970.
	Expires   int64 `json:"exp"`
	NotBefore int64 `json:"nbf"`

	// Kubernetes says whose it is.
	Kubernetes struct {
		Namespace      string `json:"namespace"`
		ServiceAccount struct {
			Name string `json:"name"`
		} `json:"serviceaccount"`
		Pod struct {
			Name string `json:"name"`
			UID  string `json:"uid"`
		} `json:"pod"`
	} `json:"kubernetes.io"`
}

// parse a token without verifying anything.
func parse(raw string) (token, error) {
	var t token
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return t, fmt.Errorf("token is malformed: token contains an invalid number of segments")
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return t, fmt.Errorf("token is malformed: %w", err)
	}
	if err := json.Unmarshal(b, &t); err != nil {
		return t, fmt.Errorf("token is malformed: %w", err)
	}
	return t, nil
}

// signed says whether the keys of the issuer that a token names have signed it.
func (d *Doors) signed(ctx context.Context, raw string, t token) error {
	keys, ok := d.issuers[t.Issuer]
	if !ok {
		return fmt.Errorf("no keys of issuer %q can be read", t.Issuer)
	}
	if _, err := keys.VerifySignature(ctx, raw); err != nil {
		return fmt.Errorf("cannot verify the signature: %w", err)
	}
	return nil
}

// expiry of the token.
func (t token) expiry() time.Time { return time.Unix(t.Expires, 0).UTC() }

// valid says whether a token is so at a time.
func (t token) valid(at time.Time) bool {
	return at.Before(t.expiry()) && !at.Before(time.Unix(t.NotBefore, 0))
}

// isFor says whether a token is for an audience.
func (t token) isFor(audience string) bool { return slices.Contains(t.Audience, audience) }
