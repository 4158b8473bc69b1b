// Package terraform is what the tests' providers of Terraform have in common.
package terraform

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"time"
)

// Haste divides how long Terraform's providers wait for their clouds, since a
// test can't wait for minutes. It is set once, by main.
var Haste = 1 //nolint:gochecknoglobals // Each provider of Terraform is one for its process, too.

// Wait for a time, divided by Haste, or until the context is done.
func Wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d / time.Duration(Haste)):
	}
}

// Retry a call while its error is one that passes by itself, for a time that is
// divided by Haste (terraform-provider-aws, internal/tfresource).
func Retry[T any](ctx context.Context, timeout time.Duration, call func() (T, error), passes func(error) bool) (T, error) {
	end := time.Now().Add(timeout / time.Duration(Haste))
	for delay := time.Second / 2; ; delay = min(2*delay, 10*time.Second) {
		out, err := call()
		if err == nil || !passes(err) || time.Now().After(end) || ctx.Err() != nil {
			return out, err
		}
		Wait(ctx, delay)
	}
}

// Locks by name: what Terraform's providers of Azure and Google do not do at once
// within one process.
type Locks struct{ byName sync.Map }

// Lock a name, until the returned function is called.
func (l *Locks) Lock(name string) (unlock func()) {
	v, _ := l.byName.LoadOrStore(strings.ToLower(name), &sync.Mutex{})
	mu, _ := v.(*sync.Mutex)
	mu.Lock()
	return mu.Unlock
}

// Equivalent says whether two JSON documents say the same.
func Equivalent(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return a == b
	}
	return reflect.DeepEqual(x, y)
}
