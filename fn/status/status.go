// Package status tells the team how its claim stands: the status of each
// connection, and the conditions of the whole.
package status

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/plan"
)

// A Condition of the composite resource and its claim. Conditions stay as they
// were where a run doesn't emit them, so every run emits all of them.
type Condition struct {
	Type    string
	Status  Truth
	Reason  string
	Message string
}

// Truth of a condition.
type Truth int

// The values of a condition's status.
const (
	Unknown Truth = iota
	True
	False
)

// The types of conditions.
const (
	SettingsResolved = "SettingsResolved"
	Valid            = "Valid"
	Connected        = "Connected"

	// Stalled is true where nothing goes on until somebody does something. Its name
	// and polarity are those that kstatus, and so Flux, looks for.
	Stalled = "Stalled"
)

// The reasons of conditions that aren't a connection's.
const (
	reasonResolved = "Resolved"
	reasonPending  = "Pending"
	reasonInvalid  = "Invalid"
	reasonUnread   = "Unread"

	// reasonProceeding is always the same, so that nothing is written for it.
	reasonProceeding = "Proceeding"
)

// Of a plan: the status to write.
func Of(p *plan.Plan) claim.Status {
	s := claim.Status{}
	ready, all := 0, 0
	for _, svc := range p.Services {
		s.Services = append(s.Services, service(svc))
		for _, c := range svc.Connections {
			all++
			if c.Ready() {
				ready++
			}
		}
	}
	for _, held := range p.Held {
		s.Services = append(s.Services, held)
		all += len(held.Connections)
		for _, c := range held.Connections {
			if c.Ready {
				ready++
			}
		}
	}
	s.Connected = strconv.Itoa(ready) + "/" + strconv.Itoa(all)
	return s
}

func service(svc plan.Service) claim.ServiceStatus {
	delivery := claim.DeliveryAdmission
	if svc.Rendered {
		delivery = claim.DeliveryDesired
	}
	s := claim.ServiceStatus{
		Name:               svc.Name,
		ServiceAccountName: svc.ServiceAccount,
		Workload:           svc.Workload,
		Delivery:           delivery,
		Connections:        make([]claim.ConnectionStatus, 0, len(svc.Connections)),
		Restart:            svc.Restart,
		Notes:              notes(svc.Notes),
		Injection:          svc.Injection,
		Rollout:            svc.Rollout,
	}
	for _, c := range svc.Connections {
		s.Connections = append(s.Connections, claim.ConnectionStatus{
			Type:     c.ID.Type,
			Name:     c.ID.Name,
			Ready:    c.Ready(),
			Reason:   string(c.Verdict.Reason),
			Message:  c.Verdict.Message,
			Identity: c.Identity,
			Zone:     c.Zone,
			Env:      c.Env,
			Warnings: notes(c.Warnings),
		})
	}
	return s
}

func notes(vs []connection.Verdict) []claim.Note {
	ns := make([]claim.Note, 0, len(vs))
	for _, v := range vs {
		ns = append(ns, claim.Note{Reason: string(v.Reason), Message: v.Message})
	}
	return ns
}

// Ready says whether every connection is, and every mistake is mended.
func Ready(c *claim.Claim, p *plan.Plan) bool {
	for _, svc := range p.Services {
		for _, conn := range svc.Connections {
			if !conn.Ready() {
				return false
			}
		}
	}
	return len(c.Errors) == 0
}

// Conditions of a claim whose settings are resolved.
func Conditions(c *claim.Claim, p *plan.Plan) []Condition {
	return []Condition{
		{Type: SettingsResolved, Status: True, Reason: reasonResolved},
		valid(c),
		connected(c, p),
		stalled(c, p),
	}
}

// maxTold mistakes are told at once.
const maxTold = 50

func valid(c *claim.Claim) Condition {
	if len(c.Errors) == 0 {
		return Condition{Type: Valid, Status: True, Reason: Valid}
	}
	told := c.Errors[:min(len(c.Errors), maxTold)]
	msgs := make([]string, 0, len(told)+1)
	for _, err := range told {
		msgs = append(msgs, err.Error())
	}
	if more := len(c.Errors) - len(told); more > 0 {
		msgs = append(msgs, fmt.Sprintf("and %d more mistakes", more))
	}
	return Condition{Type: Valid, Status: False, Reason: string(connection.InvalidField), Message: strings.Join(msgs, "; ")}
}

// connected is led by the first connection that isn't ready, since that is what
// a wide listing shows.
func connected(c *claim.Claim, p *plan.Plan) Condition {
	v := blocking(c, p, func(connection.Reason) bool { return true })
	if v.Reason == "" {
		return Condition{Type: Connected, Status: True, Reason: Connected}
	}
	return Condition{Type: Connected, Status: False, Reason: string(v.Reason), Message: v.Message}
}

// stalled by the first thing that doesn't pass by itself.
func stalled(c *claim.Claim, p *plan.Plan) Condition {
	v := blocking(c, p, func(r connection.Reason) bool { return !r.Passes() })
	if v.Reason == "" {
		return proceeding()
	}
	return Condition{Type: Stalled, Status: True, Reason: string(v.Reason), Message: v.Message}
}

func proceeding() Condition {
	return Condition{Type: Stalled, Status: False, Reason: reasonProceeding}
}

// blocking is the first verdict, of those that count, that keeps a connection from being
// ready, and else the first mistake.
func blocking(c *claim.Claim, p *plan.Plan, counts func(connection.Reason) bool) connection.Verdict {
	for _, svc := range p.Services {
		for _, conn := range svc.Connections {
			if v := conn.Verdict; !conn.Ready() && counts(v.Reason) {
				return connection.Verdictf(v.Reason, "%s/%s: %s: %s", svc.Name, conn.ID, v.Reason, v.Message)
			}
		}
	}
	if len(c.Errors) > 0 {
		return connection.Verdict{Reason: connection.InvalidField, Message: c.Errors[0].Error()}
	}
	return connection.Verdict{}
}

// Unresolved are the conditions of a run whose settings can't be read.
func Unresolved(err error) []Condition {
	return withoutSettings(reasonInvalid, err, Condition{Type: Stalled, Status: True, Reason: reasonInvalid, Message: SettingsResolved + ": " + err.Error()})
}

// Pending are the conditions of a run that has no settings yet.
func Pending(err error) []Condition { return withoutSettings(reasonPending, err, proceeding()) }

func withoutSettings(reason string, err error, stalled Condition) []Condition {
	return []Condition{
		{Type: SettingsResolved, Status: False, Reason: reason, Message: err.Error()},
		{Type: Valid, Status: Unknown, Reason: reasonUnread, Message: "the settings come first"},
		{Type: Connected, Status: False, Reason: reason, Message: SettingsResolved + ": " + err.Error()},
		stalled,
	}
}

// Unclaimed are the conditions of a composite resource without a namespace.
func Unclaimed(err error) []Condition {
	return withoutClaim(string(connection.NotClaimed), err)
}

// Unreadable are the conditions of a composite resource that can't be read.
func Unreadable(err error) []Condition {
	return withoutClaim(string(connection.InvalidField), err)
}

// OutOfSight are the conditions of a composite resource of which Crossplane doesn't
// see all that it has composed.
func OutOfSight(err error) []Condition {
	return withoutClaim(string(connection.OutOfSight), err)
}

func withoutClaim(reason string, err error) []Condition {
	m := reason + ": " + err.Error()
	return []Condition{
		{Type: SettingsResolved, Status: Unknown, Reason: reasonUnread, Message: "the claim comes first"},
		{Type: Valid, Status: False, Reason: reason, Message: err.Error()},
		{Type: Connected, Status: False, Reason: reason, Message: m},
		{Type: Stalled, Status: True, Reason: reason, Message: m},
	}
}
