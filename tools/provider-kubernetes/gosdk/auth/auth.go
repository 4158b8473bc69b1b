// Package auth stands in for github.com/nebius/gosdk/auth.
package auth

// A BearerToken of Nebius.
type BearerToken struct{ Token string }

// A PrivateKeyParser parses nothing.
type PrivateKeyParser struct{}

// NewPrivateKeyParser that parses nothing.
func NewPrivateKeyParser([]byte, string, string) PrivateKeyParser { return PrivateKeyParser{} }
