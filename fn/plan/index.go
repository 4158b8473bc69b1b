package plan

import (
	"maps"
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
)

// An index of what many connections and many observed objects ask about. Without
// it a plan takes time that grows with their product.
type index struct {
	// owned are the observed composed resources of ours, and keys their keys
	// in order.
	owned map[string]connection.Granted
	keys  []string

	// identities are those of them that grant one, by whom they grant it to.
	identities map[claimant][]connection.Granted

	// installed kinds, as an object of theirs is observed.
	installed map[kind]bool

	// previous status by the service's name.
	previous map[string][]*claim.ServiceStatus

	// services of the plan by their names.
	services map[string]*Service

	// needing connections by what an object says that it is needed by. A service
	// is there as a need without a type, and has none.
	needing map[connection.Need]*Connection

	// templates are the hashes of the workloads' pod templates.
	templates map[claim.Workload]string
}

// A claimant is a ServiceAccount that may have one identity of a family.
type claimant struct {
	serviceAccount string
	family         *connection.Family
}

type kind struct{ apiVersion, kind any }

// indexed input. The needing connections come with the expansion.
func indexed(in *Input) index {
	services := len(in.Claim.Services)
	x := index{
		owned:      make(map[string]connection.Granted, len(in.Observed.Composed)),
		identities: map[claimant][]connection.Granted{},
		installed:  map[kind]bool{},
		previous:   make(map[string][]*claim.ServiceStatus, services),
		services:   make(map[string]*Service, services),
		needing:    make(map[connection.Need]*Connection, 2*services),
		templates:  make(map[claim.Workload]string, services),
	}
	for key, o := range in.Observed.Composed {
		if g, ok := connection.GrantedBy(in.Settings, in.Claim.Namespace, key, o.Object); ok {
			x.owned[key] = g
			x.installed[kind{o.Object["apiVersion"], o.Object["kind"]}] = true
		}
	}
	x.keys = slices.Sorted(maps.Keys(x.owned))
	for _, key := range x.keys {
		if g := x.owned[key]; g.Identity {
			by := claimant{g.ServiceAccount, g.Family}
			x.identities[by] = append(x.identities[by], g)
		}
	}
	for i := range in.Previous.Services {
		s := &in.Previous.Services[i]
		x.previous[s.Name] = append(x.previous[s.Name], s)
	}
	return x
}

// has the claim a connection, valid or not? A need without a type is the service.
func (x *index) has(n connection.Need) bool {
	_, ok := x.needing[n]
	return ok
}
