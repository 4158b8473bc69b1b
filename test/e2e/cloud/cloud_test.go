package cloud

import (
	"errors"
	"testing"
)

// TestFailAll is what tests rest on that stop providers while nothing may be created.
func TestFailAll(t *testing.T) {
	t.Parallel()
	down := errors.New("the cloud is down")
	c := New()
	for name, kinds := range providers {
		for _, k := range kinds {
			call := func() error {
				return connector{cloud: c, kind: k.kind}.call(&namespaced{}, func(*managedResource) error { return nil })
			}
			c.FailAll(down)
			if err := call(); !errors.Is(err, down) {
				t.Errorf("a call of %s about a %s must fail while all fail, got: %v", name, k.kind, err)
			}
			c.FailAll(nil)
			if err := call(); err != nil {
				t.Errorf("a call of %s about a %s must work again, got: %v", name, k.kind, err)
			}
		}
	}
}
