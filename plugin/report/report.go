// Package report says how live ServiceConnections stand: which connections work,
// what keeps the others, and which pods run without. A report is a value for
// machines; its text is a tree for readers.
package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/workload"
	"github.com/serviceconnections/function-service-connections/plugin/live"
)

// A Report on what a cluster has.
type Report struct {
	// Connected says that all of them are, and no pod lacks its injection.
	Connected          bool                `json:"connected"`
	ServiceConnections []ServiceConnection `json:"serviceConnections"`

	// Unread says what could not be read and why, a sentence each.
	Unread []string `json:"unread,omitempty"`
}

// A ServiceConnection and how it stands.
type ServiceConnection struct {
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	Created   *time.Time `json:"created,omitempty"`
	Connected bool       `json:"connected"`

	// Problems of the whole.
	Problems []claim.Note `json:"problems,omitempty"`
	Services []Service    `json:"services"`

	// Objects that are composed, and belong to none of the services.
	Objects []Object `json:"objects,omitempty"`
}

// A Service and how it stands.
type Service struct {
	Name               string         `json:"name"`
	Connected          bool           `json:"connected"`
	Workload           claim.Workload `json:"workload"`
	ServiceAccountName string         `json:"serviceAccountName"`
	Connections        []Connection   `json:"connections"`

	// Objects that the service itself needs.
	Objects []Object `json:"objects,omitempty"`

	// Pods of the workload; absent where they can't be read.
	Pods *Pods `json:"pods,omitempty"`

	// Problems and Notes of the service as a whole.
	Problems []claim.Note `json:"problems,omitempty"`
	Notes    []claim.Note `json:"notes,omitempty"`

	// Rivals name the same workload.
	Rivals []live.Rival `json:"rivals,omitempty"`

	// Restart is the command, or the advice, that gives running pods their
	// injection.
	Restart string `json:"restart,omitempty"`
}

// A State of a connection.
type State string

// The states of a connection.
const (
	Connected State = "Connected"
	Waiting   State = "Waiting"
	Blocked   State = "Blocked"
)

// A Connection and how it stands.
type Connection struct {
	Type     claim.ConnectionType `json:"type"`
	Name     string               `json:"name,omitempty"`
	State    State                `json:"state"`
	Reason   string               `json:"reason"`
	Message  string               `json:"message,omitempty"`
	Identity string               `json:"identity,omitempty"`
	Zone     string               `json:"zone,omitempty"`
	Warnings []claim.Note         `json:"warnings,omitempty"`

	// Objects that are composed for it.
	Objects []Object `json:"objects,omitempty"`
}

// id of the connection in its service.
func (c *Connection) id() claim.ConnectionID {
	return claim.ConnectionID{Type: c.Type, Name: c.Name}
}

// An Object that is composed.
type Object struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	Namespace  string     `json:"namespace,omitempty"`
	Name       string     `json:"name"`
	Ready      bool       `json:"ready"`
	Reason     string     `json:"reason,omitempty"`
	Message    string     `json:"message,omitempty"`
	Created    *time.Time `json:"created,omitempty"`

	// Since it has been as it is.
	Since *time.Time `json:"since,omitempty"`
}

// Pods of a workload that run or are about to, by what they have.
type Pods struct {
	Total int `json:"total"`

	// Injected pods have what is published now.
	Injected int `json:"injected"`

	// Outdated pods pre-date it, Without have none, OfOthers have that of another
	// ServiceConnection. Names.
	Outdated []string `json:"outdated,omitempty"`
	Without  []string `json:"without,omitempty"`
	OfOthers []string `json:"ofOthers,omitempty"`
}

// reasons of problems that are seen from here, and not by the function.
const (
	reasonPending    = "Pending"
	reasonDeleting   = "Deleting"
	reasonRivals     = "WorkloadConflict"
	reasonUninjected = "PodsNotInjected"
)

// Of a view.
func Of(v *live.View) *Report {
	r := &Report{Connected: true, ServiceConnections: make([]ServiceConnection, 0, len(v.ServiceConnections)), Unread: v.Unread}
	for _, s := range v.ServiceConnections {
		sc := serviceConnection(s)
		r.Connected = r.Connected && sc.Connected
		r.ServiceConnections = append(r.ServiceConnections, sc)
	}
	return r
}

func serviceConnection(s *live.ServiceConnection) ServiceConnection {
	sc := ServiceConnection{
		Namespace: s.Namespace, Name: s.Name, Created: at(s.Created),
		Problems: problems(s), Services: make([]Service, 0, len(s.Services)), Objects: objects(s.Others),
	}
	sc.Connected = len(sc.Problems) == 0
	for i := range s.Services {
		svc := service(s, &s.Services[i])
		sc.Connected = sc.Connected && svc.Connected
		sc.Services = append(sc.Services, svc)
	}
	return sc
}

// problems of the whole: those of its connections stand there.
func problems(s *live.ServiceConnection) []claim.Note {
	var ps []claim.Note
	if s.Deleting {
		ps = append(ps, claim.Note{Reason: reasonDeleting, Message: "it is being deleted, with all that is composed for it"})
	}
	for _, typ := range []string{"Synced", "SettingsResolved", "Valid"} {
		if c := s.Condition(typ); c.Status == "False" {
			ps = append(ps, claim.Note{Reason: c.Reason, Message: typ + " is False: " + c.Message})
		}
	}
	switch {
	case len(ps) > 0:
	case s.Condition("Connected").Status == "":
		ps = append(ps, claim.Note{Reason: reasonPending, Message: "it has no status yet; Crossplane writes one within seconds, unless it or the Composition's function does not run"})
	case !s.Answered:
		ps = append(ps, claim.Note{Reason: reasonPending, Message: "its status is not yet about its spec as it is now"})
	case s.Condition("Connected").Status == "Unknown":
		c := s.Condition("Connected")
		ps = append(ps, claim.Note{Reason: c.Reason, Message: "Connected is Unknown, since Crossplane could not ask the function: " + c.Message})
	}
	return ps
}

func service(sc *live.ServiceConnection, s *live.Service) Service {
	svc := Service{
		Name: s.Name, Workload: s.Workload, ServiceAccountName: s.ServiceAccount, Rivals: s.Rivals,
		Connections: make([]Connection, 0, len(s.Connections)), Objects: objects(s.Objects), Notes: s.Notes,
	}
	connected := true
	for i := range s.Connections {
		c := connectionOf(&s.Connections[i])
		connected = connected && c.State == Connected
		svc.Connections = append(svc.Connections, c)
	}
	if s.PodsRead {
		svc.Pods = podsOf(s.Pods)
	}
	for _, r := range s.Rivals {
		svc.Problems = append(svc.Problems, claim.Note{Reason: reasonRivals, Message: fmt.Sprintf(
			"%s %q is also the workload of service %q of ServiceConnection %q, and a pod gets the injection of one of them; join the two services, or name another workload in one",
			s.Workload.Kind, s.Workload.Name, r.Service, r.ServiceConnection)})
	}
	lacking := svc.Pods.lacking()
	if lacking != "" {
		svc.Problems = append(svc.Problems, claim.Note{Reason: reasonUninjected, Message: fmt.Sprintf("pods of %s %q: %s", s.Workload.Kind, s.Workload.Name, lacking)})
	}
	svc.Restart = svc.restartOf(sc.Namespace, s.Restart, s.Replacing)
	svc.Connected = connected && len(svc.Problems) == 0
	return svc
}

// restartOf the workload, by what the status says where it does: it has read the
// workload. That pods may pre-date the injection is no reason where we have seen
// that none does, or where they are being replaced. Those that have another
// ServiceConnection's would get that again.
func (s *Service) restartOf(namespace, status string, replacing bool) string {
	switch {
	case s.Pods == nil:
		return status
	case len(s.Pods.Outdated)+len(s.Pods.Without) == 0, replacing:
		return ""
	case status != "":
		return status
	}
	k, ok := workload.KindOf(s.Workload.APIVersion, s.Workload.Kind)
	if !ok {
		return ""
	}
	return k.Restart(namespace, s.Workload.Name, nil)
}

func podsOf(pods []live.Pod) *Pods {
	p := &Pods{Total: len(pods)}
	for _, pod := range pods {
		switch pod.State {
		case live.PodCurrent:
			p.Injected++
		case live.PodOutdated:
			p.Outdated = append(p.Outdated, pod.Name)
		case live.PodWithout:
			p.Without = append(p.Without, pod.Name)
		case live.PodOfAnother:
			p.OfOthers = append(p.OfOthers, pod.Name)
		case live.PodUnknown:
		}
	}
	return p
}

// lacking says which pods lack the published injection, empty where none does.
func (p *Pods) lacking() string {
	if p == nil {
		return ""
	}
	var parts []string
	for _, part := range []struct {
		names []string
		lack  string
	}{
		{p.Outdated, "with an earlier injection"},
		{p.Without, "without injection"},
		{p.OfOthers, "with that of another ServiceConnection"},
	} {
		if len(part.names) > 0 {
			parts = append(parts, fmt.Sprintf("%d of %d %s", len(part.names), p.Total, part.lack))
		}
	}
	return strings.Join(parts, ", ")
}

func connectionOf(c *live.Connection) Connection {
	out := Connection{Type: c.Type, Name: c.Name, State: Waiting, Reason: reasonPending, Message: "the status says nothing of it yet", Objects: objects(c.Objects)}
	if c.Status == nil {
		return out
	}
	s := c.Status
	out.Reason, out.Message, out.Identity, out.Zone, out.Warnings = s.Reason, s.Message, s.Identity, s.Zone, s.Warnings
	switch {
	case s.Ready:
		out.State = Connected
	case s.Reason == string(connection.Creating):
	default:
		out.State = Blocked
	}
	return out
}

func objects(in []live.Object) []Object {
	out := make([]Object, 0, len(in))
	for _, o := range in {
		r := Object{
			APIVersion: o.APIVersion, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Ready: o.Ready,
			Reason: o.Reason, Message: o.Message, Created: at(o.Created), Since: at(o.Since),
		}
		if !o.Exists {
			r.Reason, r.Message = "NotFound", "Crossplane lists it, and it does not exist; it is being created or deleted"
		}
		out = append(out, r)
	}
	return out
}

// at a time, nil where it isn't known.
func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
