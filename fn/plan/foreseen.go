package plan

import (
	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
)

// Foreseen are objects that the plan of a claim will ask for, as far as that is known
// before the settings are. The run that has the settings finds them answered, and asks
// for the rest: each time that it has to ask is one call more.
func Foreseen(types *connection.Catalog, c *claim.Claim, o connection.Observed) []connection.Requirement {
	var all []connection.Requirement
	installed := map[kind]bool{}
	for _, composed := range o.Composed {
		installed[kind{composed.Object["apiVersion"], composed.Object["kind"]}] = true
	}
	for i := range c.Services {
		s := &c.Services[i]
		account, _ := c.ServiceAccount(s.Service)
		if o.Object(connection.ServiceAccountKey(account)) == nil {
			all = append(all, connection.ServiceAccountRequirement(c.Namespace, account))
		}
		for _, e := range s.Entries {
			for _, k := range types.Foreseen(e.Type, c.Namespaced) {
				if !installed[kind{k.APIVersion, k.Kind}] {
					all = append(all, connection.CRDRequirement(k.CRD))
				}
			}
		}
	}
	return all
}
