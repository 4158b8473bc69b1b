package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// alone runs a test in both modes with a team that has the shared cluster to
// itself: it may change the settings, and hold or fail what the cloud does. The
// next test finds them as they were.
func alone(t *testing.T, test func(*team)) {
	t.Helper()
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(withSettings(t, mode))
		})
	}
}

// withSettings of its own: a team that no other test runs beside.
func withSettings(t *testing.T, mode controlplane.Mode) *team {
	t.Helper()
	c, err := clusters[mode]()
	if err != nil {
		t.Fatal(err)
	}
	c.settings.Lock()
	t.Cleanup(c.settings.Unlock)
	return lonely(t, c, "")
}

// disturbed are clusters whose tests stop and uninstall parts of them, one after
// another.
var disturbed = map[controlplane.Mode]func() (*cluster, error){
	controlplane.Namespaced: sync.OnceValues(func() (*cluster, error) { return startCluster(controlplane.Namespaced) }),
	controlplane.Claims:     sync.OnceValues(func() (*cluster, error) { return startCluster(controlplane.Claims) }),
}

// disturb runs a test in both modes with a team in the disturbed cluster, which
// it has to itself. It must leave everything running and installed.
func disturb(t *testing.T, test func(*team)) {
	t.Helper()
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tm := lonely(t, disturbedCluster(t, mode), "")
			tm.deadline = disturbedDeadline
			test(tm)
		})
	}
}

func disturbedCluster(t *testing.T, mode controlplane.Mode) *cluster {
	t.Helper()
	long(t)
	c, err := disturbed[mode]()
	if err != nil {
		t.Fatal(err)
	}
	c.settings.Lock()
	t.Cleanup(c.settings.Unlock)
	return c
}

// long tests are left out with -short: they wait until Crossplane, which steps
// back for up to a minute, has tried again, or count what a machine that is busy
// with other tests does more of, or go all the way to a login.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes minutes: make e2e runs it")
	}
}

// lonely team in a cluster that is locked for it. Its claim is deleted in the
// end, so that it costs nothing while others disturb the cluster, and everything
// is as it was.
func lonely(t *testing.T, c *cluster, namespace string) *team {
	t.Helper()
	tm := &team{cluster: c, t: t, namespace: newNamespace(t, c, namespace), deadline: deadline}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeoutCause(context.Background(), tm.deadline, fmt.Errorf("not within %s", tm.deadline))
		defer cancel()
		for _, kind := range []string{"PodIdentityAssociation", "Role", "UserAssignedIdentity", "FederatedIdentityCredential", "ServiceAccountIAMMember", "Object"} {
			c.cloud.Release(kind)
			c.cloud.Allow(kind)
		}
		if err := c.ApplyYAML(ctx, settings); err != nil {
			t.Errorf("cannot restore the settings: %v", err)
		}
		if err := tm.deleteClaim(ctx); err != nil {
			t.Errorf("cannot delete the claim: %v", err)
		}
	})
	return tm
}
