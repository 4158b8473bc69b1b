// Package watched tells tests when a change can't be missed any more.
package watched

import (
	"slices"

	"k8s.io/client-go/dynamic/fake"
	kubetesting "k8s.io/client-go/testing"
)

// Is a resource watched by users of the client? The API server sends a watch all that
// happened since the list before it. The client for tests sends what happens after its
// begin, so a test that changes something after the list, and before that, waits forever.
func Is(client *fake.FakeDynamicClient, resource string) bool {
	return slices.ContainsFunc(client.Actions(), func(a kubetesting.Action) bool {
		return a.Matches("watch", resource)
	})
}
