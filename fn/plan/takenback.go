package plan

import (
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// takenBack is the status of a service that stays as it was, without what the settings
// revoke: what can't be read of a claim keeps nothing that is taken back, and calls
// nothing connected that isn't. It also says whether that lessens what is published. The
// status remembers it, since what told it is then gone.
func (f *facts) takenBack(ps claim.ServiceStatus) (left claim.ServiceStatus, lessened bool) {
	var parts []claim.Injection
	account := ps.ServiceAccountName
	if ps.Injection != nil {
		account = ps.Injection.ServiceAccountName
	}
	ps.Connections = slices.Clone(ps.Connections)
	for i := range ps.Connections {
		c := &ps.Connections[i]
		part, revoked := f.publishedOf(ps, c, account)
		switch {
		case revoked:
			v := connection.Verdictf(connection.NotAllowed, "namespace %q may not use %q any more by the cluster settings, and what granted it is taken back; ask the platform team to allow it, and mend the claim", f.Claim.Namespace, c.Identity)
			c.Ready, c.Reason, c.Message, lessened = false, string(v.Reason), v.Message, ps.Injection != nil
			continue
		case c.Ready && f.lacksGrant(c.Type, account):
			v := connection.Verdictf(connection.Creating, "what grants %q is not there any more, and is made anew once the claim is mended", c.Identity)
			c.Ready, c.Reason, c.Message = false, string(v.Reason), v.Message
		}
		if part != nil {
			parts = append(parts, *part)
		}
	}
	if lessened {
		ps.Injection = remaining(*ps.Injection, parts)
	}
	return ps, lessened
}

// publishedOf a connection is its part of what was published for a service, nil where it
// has none, and whether a list revokes what it gives.
func (f *facts) publishedOf(ps claim.ServiceStatus, c *claim.ConnectionStatus, account string) (part *claim.Injection, revoked bool) {
	if family := f.Types.FamilyOf(c.Type); family != nil {
		revoked = f.revoked(claimant{account, family}, f.serviceAccount(account))
	}
	if ps.Injection == nil {
		return nil, revoked
	}
	of, d, ok := f.Types.Published(f.Settings, f.Claim.Namespace, c, *ps.Injection)
	if !ok {
		return nil, revoked
	}
	return &of, revoked || d.Revokes()
}

// lacksGrant says whether nothing that is observed grants a ServiceAccount an identity of
// a connection's family, where something must.
func (f *facts) lacksGrant(typ claim.ConnectionType, account string) bool {
	family := f.Types.FamilyOf(typ)
	return family != nil && !family.AnnotationSuffices(f.Settings) && len(f.identities[claimant{account, family}]) == 0
}

// remaining injection of the parts that stay, nil where none does.
func remaining(was claim.Injection, parts []claim.Injection) *claim.Injection {
	if len(parts) == 0 {
		return nil
	}
	in, err := workload.Merge(parts...)
	if err != nil {
		return nil // They were one before, so they fit.
	}
	in.ServiceAccountName, in.Containers = was.ServiceAccountName, was.Containers
	in.Hash = workload.Hash(in, nil)
	return &in
}
