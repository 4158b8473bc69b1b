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
	Services []*Service

	// Workloads of earlier steps that this run changes, by composed resource
	// key. A nil one must not be created yet.
	Workloads map[string]map[string]any
}

// Composed is a desired composed resource.
type Composed struct {
	Object map[string]any
	Ready  bool
}

// A Service and what was decided for it.
type Service struct {
	*claim.ServiceEntry

	// ServiceAccount that the pods run as.
	ServiceAccount string

	// Connections in the order of the claim.
	Connections []*Connection

	// Injection to publish, nil where there is none.
	Injection *claim.Injection

	// Rendered is the workload, where an earlier step renders it.
	Rendered *Rendered

	// Refused says why the service's pods would get nothing.
	Refused connection.Verdict

	// Rollout and Restart say whether pods may pre-date the injection.
	Rollout *claim.Rollout
	Restart string

	Notes []connection.Verdict

	composed bool
	observed map[string]any
	account  connection.Verdict
	workload workloadState

	// kept objects of earlier states that the service is told of, and the key of
	// the last.
	kept     int
	keptLast string
}

// A Connection and what was decided for it.
type Connection struct {
	claim.ConnectionEntry
	connection.Expansion

	// Verdict is the last word on the connection.
	Verdict connection.Verdict

	service *Service

	// active connections compose their grants, and injected ones are in the
	// injection.
	active, injected bool
}

// Ready says whether pods with the injection can use the connection.
func (c *Connection) Ready() bool { return !c.Verdict.Blocks() }

func (c *Connection) need() connection.Need {
	return connection.Need{Service: c.service.Name, Type: c.Type}
}

// refuse a connection: it grants nothing, and adds nothing to the injection.
func (c *Connection) refuse(v connection.Verdict) {
	c.active = false
	c.Verdict = connection.First(c.Verdict, v)
}

// Make a plan.
func Make(in Input) *Plan {
	p := &planner{
		Input: in,
		index: indexed(&in),
		plan:  &Plan{Composed: map[string]Composed{}, Workloads: map[string]map[string]any{}},
	}
	p.expand()
	p.judge()
	p.settleConflicts()
	p.findServiceAccounts()
	p.compose()
	p.composeServiceAccounts()
	p.inject()
	p.conclude()
	p.deliver()
	p.keepFixed()
	p.rollOut()
	p.keep()
	return p.plan
}

// A planner makes one plan.
type planner struct {
	Input
	index

	plan *Plan

	// could need an object of some types; the same for each of them.
	could []could
}

type could struct {
	types []claim.ConnectionType
	needs []connection.Need
}

// connections of all services, in the order of the claim.
func (p *planner) connections(yield func(*Connection) bool) {
	for _, s := range p.plan.Services {
		for _, c := range s.Connections {
			if !yield(c) {
				return
			}
		}
	}
}

// require an object, and look it up. It is nil where it doesn't exist; known is
// false until Crossplane has answered.
func (p *planner) require(r connection.Requirement) (object map[string]any, known bool) {
	p.plan.Requires = append(p.plan.Requires, r)
	return p.Observed.Lookup(r)
}
