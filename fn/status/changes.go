package status

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/excerpt"
)

const (
	// maxChanges are told of one run, the last of which says how many more there are.
	// Kubernetes' recorder joins what has a reason in common from the tenth on, and drops
	// all but 25 of an object (EventCorrelator in client-go's tools/record).
	maxChanges = 8

	// maxChange is the length of a change's message in bytes. Newer events hold 1024
	// (NoteLengthLimit in Kubernetes' pkg/apis/core/validation), of which Crossplane takes
	// some to say which step of the pipeline speaks.
	maxChange = 900

	// reasonMoreChanges is that of the last of too many changes.
	reasonMoreChanges = "MoreChanges"
)

// A Change of the reason of a connection.
type Change struct {
	Reason  string
	Message string

	// Warning says that somebody has to do something.
	Warning bool
}

// Changes of reasons from one status to the next: those that somebody has to do
// something for, and then the others, each in the order of the claim. A connection that
// the status before doesn't have has changed. There are none where the reasons are the
// same, whatever the messages say, so a status that is written once tells of itself once.
func Changes(before, after claim.Status) []Change {
	type key struct {
		service string
		id      claim.ConnectionID
	}
	was := make(map[key]string)
	for i := range before.Services {
		s := &before.Services[i]
		for j := range s.Connections {
			was[key{s.Name, s.Connections[j].ID()}] = s.Connections[j].Reason
		}
	}
	var changes []Change
	for i := range after.Services {
		s := &after.Services[i]
		for j := range s.Connections {
			if c := &s.Connections[j]; was[key{s.Name, c.ID()}] != c.Reason {
				changes = append(changes, changeOf(s.Name, c))
			}
		}
	}
	slices.SortStableFunc(changes, func(a, b Change) int {
		switch {
		case a.Warning == b.Warning:
			return 0
		case a.Warning:
			return -1
		default:
			return 1
		}
	})
	if len(changes) <= maxChanges {
		return changes
	}
	rest := changes[maxChanges-1:]
	warning := slices.ContainsFunc(rest, func(c Change) bool { return c.Warning })
	return append(changes[:maxChanges-1:maxChanges-1], Change{
		Reason: reasonMoreChanges, Warning: warning,
		Message: fmt.Sprintf("%d more connections have other reasons than before; the status has all of them", len(rest)),
	})
}

func changeOf(service string, c *claim.ConnectionStatus) Change {
	r := connection.Reason(c.Reason)
	return Change{
		Reason:  c.Reason,
		Message: excerpt.Of(fmt.Sprintf("%s/%s: %s", service, c.ID(), cmp.Or(c.Message, c.Reason)), maxChange),
		Warning: !c.Ready && r.Severity() == connection.Blocks && !r.Passes(),
	}
}
