package plan

import (
	"github.com/serviceconnections/function-service-connections/fn/connection"
)

// verdicts are the last word on every connection.
type verdicts struct {
	*injections

	// on the connections, in their order.
	on []connection.Verdict
}

// conclude with the first of all that is to be said of each connection, from
// what the claim says to what the cloud says.
func conclude(is *injections) *verdicts {
	vs := &verdicts{injections: is, on: make([]connection.Verdict, len(is.all))}
	for i, c := range is.connections {
		vs.on[i] = connection.First(
			c.verdict,
			c.blocked,
			c.service.account.verdict,
			is.injected[c.service.index].refused,
			c.Verdict,
			awaitsAccount(c.service.account),
			notAnnotated(is.accounts, c),
			unpublished(c.wish),
			keepsAccount(is.held, c.service),
			connection.Verdict{Reason: connection.Connected},
		)
	}
	return vs
}

// awaitsAccount says that the ServiceAccount isn't there, or not for long.
func awaitsAccount(a account) connection.Verdict {
	switch {
	case connection.Ready(a.object):
		return connection.Verdict{}
	case a.object == nil:
		return connection.Verdictf(connection.Creating, "ServiceAccount %q is being created", a.name)
	}
	next := "it is made anew"
	if !a.composed {
		next = "create it again"
	}
	return connection.Verdictf(connection.Creating, "ServiceAccount %q is being deleted, and pods that run as it lose their access; %s once it is gone", a.name, next)
}

// keepsAccount says that the pods of a service keep their ServiceAccount until all
// that they have by it works with the one that the service asks for.
func keepsAccount(hs *held, s *service) connection.Verdict {
	if was := hs.former[s.index]; was.stays {
		return connection.Verdictf(connection.Creating, "pods of service %q keep ServiceAccount %q until all that was published for them works with %q", s.Name, was.account, s.account.name)
	}
	return connection.Verdict{}
}

// unpublished says that a value isn't known that pods need for the connection.
func unpublished(w wish) connection.Verdict {
	if w.Published {
		return connection.Verdict{}
	}
	return connection.Verdictf(connection.Creating, "the identity of %s is not known yet", w.id)
}
