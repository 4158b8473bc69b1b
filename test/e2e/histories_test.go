package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/serviceconnections/function-service-connections/test/e2e/cloud"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/e2e/fleet"
)

// TestHistories holds that claims which are made, edited and removed in any
// order, each before what came of the last edit, end as they would if each had
// been made once. A history that fails is made shorter, each try in namespaces of
// its own.
//
// The flags of pgregory.net/rapid say how many histories there are, how long each
// is, and which: -rapid.checks, -rapid.steps, -rapid.seed, -rapid.shrinktime.
func TestHistories(t *testing.T) {
	t.Parallel()
	if !testing.Short() {
		t.Skip("TestDisturbedHistories tells more of them")
	}
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tm := newTeam(t, mode)
			rapid.Check(t, func(rt *rapid.T) { tell(t.Context(), rt, tm.cluster, nil) })
		})
	}
}

// TestDisturbedHistories holds the same of a control plane of which parts fail,
// and whose settings are edited, in between.
func TestDisturbedHistories(t *testing.T) {
	t.Parallel()
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := disturbedCluster(t, mode)
			t.Cleanup(func() {
				if err := c.ApplyYAML(context.Background(), settings); err != nil {
					t.Errorf("cannot restore the settings: %v", err)
				}
			})
			rapid.Check(t, func(rt *rapid.T) { tell(t.Context(), rt, c, (*history).faults) })
		})
	}
}

// rapidDefaults of a test on a control plane, on which each history takes half a
// minute. With -short a fifth of the checks is done.
func rapidDefaults() error {
	var errs []error
	for name, value := range map[string]string{"rapid.checks": "5", "rapid.steps": "20", "rapid.shrinktime": "5m"} {
		errs = append(errs, flag.Set(name, value))
	}
	return errors.Join(errs...)
}

// histories that were told; each has namespaces of its own.
var histories atomic.Int64

// A history of some claims.
type history struct {
	*fleet.Fleet

	rt       *rapid.T
	ctx      context.Context // of the test, since actions have none
	number   int64
	made     int
	deadline time.Duration
}

// tell a history: random actions, and now and then all must be as it must be.
func tell(ctx context.Context, rt *rapid.T, c *cluster, more func(*history) map[string]func(*rapid.T)) {
	h := &history{Fleet: fleet.New(c.ControlPlane, c.cloud, c.mode), rt: rt, ctx: ctx, number: histories.Add(1), deadline: deadline}
	h.Replicas = 1
	actions := map[string]func(*rapid.T){
		"add":        func(*rapid.T) { h.add() },
		"edit":       func(*rapid.T) { h.edit() },
		"edit more":  func(*rapid.T) { h.edit(); h.edit(); h.edit() },
		"make again": func(*rapid.T) { h.makeAgain() },
		"remove":     func(*rapid.T) { h.remove() },
		"settle":     func(*rapid.T) { h.settle() },
	}
	if more != nil {
		h.deadline = disturbedDeadline
		maps.Copy(actions, more(h))
		// A history that failed has left its faults.
		h.Cloud.FailAll(nil)
		h.do(h.Settings(ctx, "", ""))
	}
	defer h.clear()
	h.add()
	rt.Repeat(actions)
	h.calm()
	h.settle()
}

// faults that a history may have.
func (h *history) faults() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"kill the function": func(*rapid.T) { h.do(h.KillFunction(controlplane.FunctionName)) },
		"restart Crossplane": func(*rapid.T) {
			h.StopCrossplane()
			h.do(h.StartCrossplane(h.ctx))
		},
		"stall etcd":      func(*rapid.T) { h.do(h.StallEtcd(h.ctx, 2*time.Second)) },
		"providers fail":  func(*rapid.T) { h.Cloud.FailAll(cloud.Unavailable()) },
		"providers work":  func(*rapid.T) { h.Cloud.FailAll(nil) },
		"settings":        func(rt *rapid.T) { h.do(h.Settings(h.ctx, "", fmt.Sprint(rapid.IntRange(0, 1000).Draw(rt, "note")))) },
		"settings refuse": func(rt *rapid.T) { h.do(h.Settings(h.ctx, rapid.SampledFrom(fleet.Roles).Draw(rt, "refused"), "")) },
	}
}

func (h *history) do(err error) {
	if err != nil {
		h.rt.Fatal(err)
	}
}

func (h *history) draw(what string, n int) int { return rapid.IntRange(0, n-1).Draw(h.rt, what) }

// claim of those that there are.
func (h *history) claim() (fleet.Claim, bool) {
	claims := h.Claims()
	if len(claims) == 0 {
		return fleet.Claim{}, false
	}
	return claims[h.draw("claim", len(claims))], true
}

func (h *history) add() {
	h.made++
	namespace := fmt.Sprintf("history-%d-%d", h.number, h.made)
	h.do(h.Namespace(h.ctx, namespace))
	h.put(fleet.NewClaim(namespace, "shop", h.draw))
}

func (h *history) put(c fleet.Claim) {
	h.rt.Logf("put %+v", c)
	h.do(h.Put(h.ctx, c))
}

func (h *history) edit() {
	if c, ok := h.claim(); ok {
		h.put(c.Edited(h.draw))
	}
}

func (h *history) remove() {
	if c, ok := h.claim(); ok {
		h.do(h.Remove(h.ctx, c))
	}
}

func (h *history) makeAgain() {
	if c, ok := h.claim(); ok {
		h.do(h.Remove(h.ctx, c))
		h.put(fleet.NewClaim(c.Namespace, c.Name, h.draw))
	}
}

// calm after all faults.
func (h *history) calm() {
	h.Cloud.FailAll(nil)
	if h.Refused() != "" {
		h.do(h.Settings(h.ctx, "", ""))
	}
}

// settle: whatever was done has come to its end. No provider fails then.
func (h *history) settle() {
	h.Cloud.FailAll(nil)
	ctx, cancel := context.WithTimeoutCause(h.ctx, h.deadline, fmt.Errorf("not within %s", h.deadline))
	defer cancel()
	h.do(h.Await(ctx))
}

// clear what is left, also after a failure, which may be the reason why it can't.
func (h *history) clear() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.ctx), h.deadline)
	defer cancel()
	if err := h.Clear(ctx); err != nil && !h.rt.Failed() {
		h.rt.Errorf("cannot clear the history: %v", err)
	}
}
