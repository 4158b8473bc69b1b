package connection

import (
	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// Drawn is what a picture of a connection is made from: what a claim asks for, and
// what is known of it, which may be nothing.
type Drawn struct {
	claim.Connection

	// Identity of the connection, as the status has it.
	Identity string

	// Injection of the connection's service, nil where none is published.
	Injection *claim.Injection

	// Composed says whether the connection has an object of a kind.
	Composed func(kind string) bool
}

// identity that the status names, or else what the claim asks for.
func (d Drawn) identity(asked string) string {
	if d.Identity != "" {
		return d.Identity
	}
	return asked
}

// injects says whether the pods get a variable.
func (d Drawn) injects(variable string) bool {
	if d.Injection == nil {
		return false
	}
	for _, e := range d.Injection.Env {
		if e.Name == variable {
			return true
		}
	}
	return false
}

// A Route is what a connection goes by, and what that leads to.
type Route struct {
	// Credential that the ServiceAccount has, by the kind of the object that
	// grants it or else in words. Empty where the pods need none.
	Credential string

	// Steps from there to what the connection is for.
	Steps []Step
}

// A Step on a route: what it is, in a word or two, and its name. Object is the kind
// of the composed object that stands for it, where there is one.
type Step struct{ Kind, Name, Object string }
