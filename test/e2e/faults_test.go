package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/serviceconnections/function-service-connections/test/e2e/cloud"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/e2e/fleet"
)

var (
	faultClaims = flag.Int("faults.claims", 20, "claims that TestFaults has at work")
	faultTime   = flag.Duration("faults.time", 15*time.Second, "how long each fault of TestFaults lasts")
	faultSeed   = flag.Uint64("faults.seed", 1, "seed of the edits that TestFaults makes during each fault")
)

// fleetDeadline until a fleet has converged: Crossplane steps back for up to a
// minute after an error, and a call of a function that doesn't answer costs two.
const fleetDeadline = 8 * time.Minute

// TestFaults holds that a full cluster whose claims are edited, made and deleted
// while a part of it fails has lost nothing once that is over: each object is
// there that must be, none else, and what nobody asked to change is the same.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := load(t, mode)
			for _, fault := range []fault{
				{"None", "edits alone", false, func(context.Context, *faulty) error { return nil }},
				{"FunctionKilled", "it has no state", false, killFunction},
				{"ReplicaSlow", "calls that one replica doesn't answer are made again", false, slowReplica},
				{"CrossplaneRestarted", "what it has applied without writing it down is found again by name", false, restartCrossplane},
				{"APIServerRestarted", "requests are lost midway", false, restartAPIServer},
				{"EtcdStalled", "writes take longer than anybody waits", false, stallEtcd},
				{"ProvidersFail", "a cloud that doesn't answer changes nothing", false, failProviders},
				{"SettingsEdited", "an edit that says the same changes nothing; what is refused for a while is revoked, and comes back", true, func(context.Context, *faulty) error { return nil }},
				{"ProvidersDown", "what is edited, deleted and revoked while they are down, and whatever they have forgotten, is so in the cloud afterwards", true, stopProviders},
				{"ProvidersKilled", "one that dies between the cloud's answer and its write finds what it made", true, killProviders},
				{"Restored", "a backup has no statuses, which the providers and the function write anew", false, restore},
			} {
				// Where Kubernetes' garbage collector has lost its watch, it takes a
				// claim for the one that had its name before, and leaves what that had.
				f.newNames = fault.name == "APIServerRestarted"
				if !t.Run(fault.name, func(t *testing.T) { f.during(t, fault) }) {
					return // The next would only find what this one left.
				}
			}
		})
	}
}

// A fault of a cluster.
type fault struct {
	name, reason string

	// settings are edited meanwhile, which revokes.
	settings bool

	// disturb the cluster until the context is done, and leave it running.
	disturb func(context.Context, *faulty) error
}

// faulty is a fleet whose cluster has faults.
type faulty struct {
	*fleet.Fleet

	cluster *cluster
	random  *rand.Rand
	made    int

	// newNames says that no claim is made anew under its own name.
	newNames bool
}

// load a cluster with claims, which are gone in the end.
func load(t *testing.T, mode controlplane.Mode) *faulty {
	t.Helper()
	c := disturbedCluster(t, mode)
	f := &faulty{Fleet: fleet.New(c.ControlPlane, c.cloud, mode), cluster: c, random: rand.New(rand.NewPCG(*faultSeed, 0))} //nolint:gosec // Which edits are made is no secret.
	f.Replicas = 1
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), fleetDeadline)
		defer cancel()
		if err := errors.Join(f.Clear(ctx), f.pace(pollInterval), c.ApplyYAML(ctx, settings)); err != nil {
			t.Errorf("cannot clear the fleet: %v", err)
		}
	})
	begin := time.Now()
	err := errors.Join(f.pace(max(pollInterval, time.Duration(*faultClaims)*pollInterval/20)), f.Settings(t.Context(), "", ""))
	for range *faultClaims {
		err = errors.Join(err, f.add(t.Context()))
	}
	if err != nil {
		t.Fatal(err)
	}
	f.await(t, "without a fault")
	t.Logf("%d claims were ready in %.0f s", *faultClaims, time.Since(begin).Seconds())
	return f
}

// pollInterval of the providers, but for that of many claims.
const pollInterval = controlplane.ProviderPoll

// pace of the providers.
func (f *faulty) pace(interval time.Duration) error {
	f.cluster.poll = interval
	return errors.Join(f.cluster.StopProviders(controlplane.AllProviders()...), f.cluster.runProviders(controlplane.AllProviders()...))
}

func (f *faulty) draw(_ string, n int) int { return f.random.IntN(n) }

// add a claim in a namespace of its own.
func (f *faulty) add(ctx context.Context) error {
	f.made++
	namespace := fmt.Sprintf("fleet-%d-%d", *faultSeed, f.made)
	return errors.Join(f.Namespace(ctx, namespace), f.Put(ctx, fleet.NewClaim(namespace, "shop", f.draw)))
}

// edit something.
func (f *faulty) edit(ctx context.Context) error {
	claims := f.Claims()
	c := claims[f.random.IntN(len(claims))]
	switch n := f.random.IntN(10); {
	case n == 0 || n == 1 && f.newNames:
		return errors.Join(f.Remove(ctx, c), f.add(ctx))
	case n == 1:
		return errors.Join(f.Remove(ctx, c), f.Put(ctx, fleet.NewClaim(c.Namespace, c.Name, f.draw)))
	default:
		return f.Put(ctx, c.Edited(f.draw))
	}
}

// during a fault, edit. Afterwards all must be as it must be.
func (f *faulty) during(t *testing.T, fault fault) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), *faultTime)
	defer cancel()
	reason, failed := fault.reason, make(chan error, 1)
	go func() { failed <- fault.disturb(ctx, f) }()
	begin, edits := time.Now(), 0
	for ctx.Err() == nil {
		// Not ctx: what is begun is done, also when the fault is over.
		err := f.edit(t.Context())
		if fault.settings {
			err = errors.Join(err, f.editSettings(t.Context(), edits))
		}
		if err != nil {
			t.Fatalf("%s: %v", reason, err)
		}
		edits++
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
	if err := <-failed; err != nil {
		t.Fatalf("%s: %v", reason, err)
	}
	over := time.Now()
	f.await(t, reason)
	f.RestartPlain = false
	if f.Refused() != "" {
		if err := f.Settings(t.Context(), "", ""); err != nil {
			t.Fatal(err)
		}
		f.await(t, reason+": what was refused is allowed again")
	}
	t.Logf("%d edits in %.0f s, converged %.0f s later", edits, over.Sub(begin).Seconds(), time.Since(over).Seconds())
}

func (f *faulty) await(t *testing.T, reason string) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), fleetDeadline, fmt.Errorf("not within %s", fleetDeadline))
	defer cancel()
	if err := f.Await(ctx); err != nil {
		t.Fatalf("%s: %v", reason, err)
	}
}

// every so often, until the context is done.
func every(ctx context.Context, interval time.Duration, f func() error) error {
	for {
		if err := f(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(interval):
		}
	}
}

func killFunction(ctx context.Context, f *faulty) error {
	return every(ctx, 3*time.Second, func() error { return f.KillFunction(controlplane.FunctionName) })
}

func slowReplica(ctx context.Context, f *faulty) error {
	r, err := f.StartReplicas(ctx, controlplane.FunctionName, controlplane.FunctionBinary, 2, "--metrics-address=", "--debug")
	if err != nil {
		return err
	}
	err = every(ctx, 100*time.Millisecond, func() error { return r.Stall(ctx, 1, 900*time.Millisecond) })
	return errors.Join(err, r.Stop(),
		f.StartFunction(context.WithoutCancel(ctx), controlplane.FunctionName, controlplane.FunctionBinary, "--metrics-address=", "--debug"))
}

func restartCrossplane(ctx context.Context, f *faulty) error {
	return every(ctx, 5*time.Second, func() error {
		f.StopCrossplane()
		return f.StartCrossplane(context.WithoutCancel(ctx))
	})
}

func restartAPIServer(ctx context.Context, f *faulty) error {
	f.RestartPlain = true
	return every(ctx, 8*time.Second, func() error {
		return f.RestartAPIServer(context.WithoutCancel(ctx))
	})
}

func stallEtcd(ctx context.Context, f *faulty) error {
	return every(ctx, 3*time.Second, func() error { return f.StallEtcd(ctx, 5*time.Second) })
}

func failProviders(ctx context.Context, f *faulty) error {
	f.Cloud.FailAll(cloud.Unavailable())
	<-ctx.Done()
	f.Cloud.FailAll(nil)
	return nil
}

// stopProviders until the fault is over. What they had begun, they have forgotten then.
func stopProviders(ctx context.Context, f *faulty) error {
	if err := f.StopProviders(controlplane.AllProviders()...); err != nil {
		return err
	}
	<-ctx.Done()
	return f.cluster.runProviders(controlplane.AllProviders()...)
}

// killProviders in the middle of whatever they do.
func killProviders(ctx context.Context, f *faulty) error {
	f.Killed = true
	return every(ctx, 2*time.Second, func() error {
		for _, name := range []string{controlplane.ProviderAWS, controlplane.ProviderAzure, controlplane.ProviderGCP} {
			f.KillProvider(name)
		}
		return f.cluster.runProviders(controlplane.AllProviders()...)
	})
}

// restore the composed resources as from a backup, in which no object has a status, with
// all providers and Crossplane stopped.
func restore(ctx context.Context, f *faulty) error {
	<-ctx.Done()
	ctx = context.WithoutCancel(ctx)
	if err := f.StopProviders(controlplane.AllProviders()...); err != nil {
		return err
	}
	f.StopCrossplane()
	return errors.Join(f.ForgetStatuses(ctx), f.StartCrossplane(ctx), f.cluster.runProviders(controlplane.AllProviders()...))
}

// editSettings so that they say the same, and now and then so that they refuse a
// role to everybody, and allow it again.
func (f *faulty) editSettings(ctx context.Context, n int) error {
	refused := ""
	if n%20 >= 10 {
		refused = fleet.Roles[0]
	}
	return f.Settings(ctx, refused, fmt.Sprint("edit-", n))
}
