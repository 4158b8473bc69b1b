// Package connection says what each type of connection expands into. A
// connection is a pure function of its Context: it reads no global that
// changes, does no I/O, and never sees protobuf. Package plan then joins the
// expansions of a whole claim.
package connection

import (
	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/settings"
)

// A Context is all that a connection is expanded from.
type Context struct {
	// Claim that the connection is in.
	Claim *claim.Claim

	// Service that the connection belongs to.
	Service *claim.ServiceEntry

	// Connection to expand. It is valid.
	Connection claim.Connection

	// ServiceAccount that the service's pods run as.
	ServiceAccount string

	// Settings of the cluster.
	Settings *settings.Settings

	// Observed objects.
	Observed Observed

	// Workload of the service as it runs, where it was read. May be nil.
	Workload map[string]any

	// Previous status of the service, as the last run wrote it. It is trusted for
	// no grant: only a disk asks, for a volume claim that a pod may use anyway.
	Previous []*claim.ServiceStatus
}

// An Expansion is what one connection needs.
type Expansion struct {
	// Decision of the cluster's allow-list over the target.
	Decision settings.Decision

	// Judged is what the decision is about. Empty where that is the identity.
	Judged string

	// Target that the connection grants: a role, an identity, an account. Two
	// connections of one ServiceAccount and family must agree on it. Empty
	// where nothing is granted.
	Target string

	// Family of targets that exclude each other on one ServiceAccount, that of the
	// connection's type.
	Family *Family

	// Grants that the connection needs, to be composed.
	Grants []Grant

	// Awaits are grants that come once something else is there, in which not all is
	// known yet. Whether they may be composed is asked ahead, so that the run which
	// finds the rest composes them, and isn't called again and again before that.
	Awaits []Grant

	// Requires are objects that the connection must see.
	Requires []Requirement

	// Injection into the service's pods.
	Injection claim.Injection

	// Annotations that the ServiceAccount needs.
	Annotations map[string]string

	// Sessions are what the pods may hold on to that isn't in the injection: when
	// they change, pods must restart before what they were for may go. Empty
	// where pods notice by themselves.
	Sessions string

	// Mounted says that pods have had the connection's volume before.
	Mounted bool

	// Published says that every value of the injection and the annotations is
	// known, so that the pods may have them.
	Published bool

	// Identity to show in the status.
	Identity string

	// Zone that the connection binds pods to, to show in the status.
	Zone string

	// Verdict on the connection as far as it can tell.
	Verdict Verdict

	// Warnings beside the verdict.
	Warnings []Verdict
}

// A Grant is one object that a connection needs to be composed.
type Grant struct {
	// Key of the composed resource: what is granted, not who asked.
	Key string

	// Former is what another claim may have the object as, which no object of this
	// name tells.
	Former Former

	// Kind of the object.
	Kind Kind

	// Object to compose.
	Object map[string]any

	// Data says that the object holds a user's data.
	Data bool
}

// Blocked is an expansion of nothing, with the reason.
func blocked(e Expansion, v Verdict) Expansion {
	e.Grants, e.Awaits, e.Annotations, e.Injection, e.Published = nil, nil, nil, claim.Injection{}, false
	e.Verdict = v
	return e
}
