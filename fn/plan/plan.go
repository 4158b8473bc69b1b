// Package plan joins the expansions of a claim's connections into what is
// composed, and says of every connection how it stands. The rules that must
// never break stand here, once for all types: what is shared, who wins a
// conflict, what is kept, what is superseded, and what is revoked.
package plan

import (
	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/settings"
)

// Input of a plan.
type Input struct {
	// Types of connections that there are.
	Types *connection.Catalog

	Claim    *claim.Claim
	Settings *settings.Settings
	Observed connection.Observed

	// Desired are the composed resource keys of earlier steps of the pipeline.
	Desired map[string]bool

	// Rendered are the workloads among them that a service may name.
	Rendered Workloads

	// Previous is the status that the last run wrote. It is trusted for no
	// grant and no injection.
	Previous claim.Status
}

// Workloads that a pipeline renders.
type Workloads map[claim.Workload]Rendered

// Rendered is a workload that an earlier step desires, by its composed resource
// key. It has a pod template.
type Rendered struct {
	Key    string
	Object map[string]any

	// Observed is the workload as it runs, without an Object where it doesn't
	// yet.
	Observed connection.Composed
}

// A Plan is what one run of the function decides.
type Plan struct {
	// Composed resources that are desired, by key.
	Composed map[string]Composed

	// Requires are the objects that Crossplane must read and watch.
	Requires []connection.Requirement

	// Services in the order of the claim.
	Services []Service

	// Held services stay published as they are, because of a mistake in the claim.
	Held []claim.ServiceStatus

	// Workloads of earlier steps that this run changes, by composed resource
	// key. A nil one must not be created yet.
	Workloads map[string]map[string]any
}

// Composed is a desired composed resource.
type Composed struct {
	Object map[string]any

	// NeededBy is what its annotation connection.NeededBy says. Empty: what the object
	// has.
	NeededBy string

	// Resume are annotations for a provider that was interrupted, nil where none was.
	Resume map[string]string

	Ready bool
}

// A Service and what was decided for it.
type Service struct {
	*claim.ServiceEntry

	// ServiceAccount that the pods run as.
	ServiceAccount string

	// Connections in the order of the claim.
	Connections []Connection

	// Injection to publish, nil where there is none.
	Injection *claim.Injection

	// Rendered says that an earlier step renders the workload.
	Rendered bool

	// Rollout and Restart say whether pods may pre-date the injection.
	Rollout *claim.Rollout
	Restart string

	Notes []connection.Verdict
}

// A Connection and what was decided for it.
type Connection struct {
	ID claim.ConnectionID

	// Verdict is the last word on the connection.
	Verdict connection.Verdict

	// Warnings beside the verdict.
	Warnings []connection.Verdict

	// Identity and Zone to show in the status.
	Identity, Zone string

	// Env are the names that the claim gave to its variables in the injection.
	Env *claim.Variables
}

// Ready says whether pods with the injection can use the connection.
func (c Connection) Ready() bool { return !c.Verdict.Blocks() }

// Make a plan, stage by stage. Each stage is a function of the one before, whose
// value it holds and doesn't change; so the compiler keeps their order.
func Make(in Input) *Plan {
	facts := gather(in)
	wishes := wishFor(facts)
	grants := grantWishes(wishes)
	held := hold(grants)
	accounts := composeAccounts(held)
	injections := inject(accounts)
	verdicts := conclude(injections)
	deliveries := deliver(verdicts)
	rollouts := rollOut(deliveries)
	return report(retain(rollouts))
}

// KeepAll observed composed resources of ours, for a run that can't tell what
// is needed.
func KeepAll(types *connection.Catalog, observed connection.Observed) map[string]Composed {
	kept := map[string]Composed{}
	for key, o := range observed.Composed {
		if isOurs(types, key, o) {
			as := asApplied(o)
			types.Call(key, observed, "", as)
			kept[key] = Composed{Object: as, Resume: types.Resume(key, observed, ""), Ready: true}
		}
	}
	return kept
}

// HasOurs says whether any observed composed resource is ours.
func HasOurs(types *connection.Catalog, observed connection.Observed) bool {
	for key, o := range observed.Composed {
		if isOurs(types, key, o) {
			return true
		}
	}
	return false
}

func isOurs(types *connection.Catalog, key string, o connection.Composed) bool {
	// Whose it is doesn't depend on the settings.
	_, ok := types.GrantedBy(&settings.Settings{}, "", key, o.Object)
	return ok
}
