package report

import (
	"fmt"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/tree"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/plugin/style"
)

// A safe text holds nothing that others wrote.
type safe string

// line of text. All of its values but the safe ones are escaped, since anybody may
// have written them.
func line(format string, values ...any) string {
	for i, v := range values {
		switch v := v.(type) {
		case safe, int:
		default:
			values[i] = style.Escape(fmt.Sprint(v))
		}
	}
	return fmt.Sprintf(format, values...)
}

// The marks of what is well and what isn't.
var (
	good    = mark(style.Good, "✓")
	waiting = mark(style.Waiting, "…")
	bad     = mark(style.Bad, "✗")
	warning = mark(style.Waiting, "!")
)

func mark(s lipgloss.Style, sign string) safe { return safe(s.Render(sign)) }

// strong text that others wrote.
func strong(s string) safe { return safe(style.Strong.Render(style.Escape(s))) }

// Text of the report for a reader, in colour, with ages as of now.
func (r *Report) Text(now time.Time) string {
	b := &strings.Builder{}
	for i := range r.ServiceConnections {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(r.ServiceConnections[i].tree(now).String() + "\n")
	}
	if len(r.Unread) > 0 {
		b.WriteByte('\n')
	}
	for _, u := range r.Unread {
		b.WriteString(line("%s %s", warning, u) + "\n")
	}
	return b.String()
}

func (s *ServiceConnection) tree(now time.Time) *tree.Tree {
	sign, ready, all := bad, 0, 0
	if s.Connected {
		sign = good
	} else if s.waits() {
		sign = waiting
	}
	for _, svc := range s.Services {
		for _, c := range svc.Connections {
			all++
			if c.State == Connected {
				ready++
			}
		}
	}
	t := style.Tree(line("%s ServiceConnection %s in namespace %s: %d/%d connected%s", sign, strong(s.Name), s.Namespace, ready, all, age(now, s.Created)))
	children(t, s.Problems, bad)
	for i := range s.Services {
		t.Child(s.Services[i].tree(now))
	}
	for i := range s.Objects {
		t.Child(s.Objects[i].line(now))
	}
	return t
}

// waits says whether nothing is wrong, and something isn't there yet.
func (s *ServiceConnection) waits() bool {
	for _, p := range s.Problems {
		if p.Reason != reasonPending {
			return false
		}
	}
	for _, svc := range s.Services {
		if len(svc.Problems) > 0 {
			return false
		}
		for _, c := range svc.Connections {
			if c.State == Blocked {
				return false
			}
		}
	}
	return true
}

// children that are notes.
func children(t *tree.Tree, notes []claim.Note, sign safe) {
	for _, n := range notes {
		t.Child(line("%s %s: %s", sign, strong(n.Reason), n.Message))
	}
}

func (s *Service) tree(now time.Time) *tree.Tree {
	sign := bad
	switch {
	case s.Connected:
		sign = good
	case s.waits():
		sign = waiting
	}
	t := style.Tree(line("%s service %s: %s %s as ServiceAccount %s", sign, strong(s.Name), s.Workload.Kind, s.Workload.Name, s.ServiceAccountName))
	for i := range s.Connections {
		t.Child(s.Connections[i].tree(now))
	}
	for i := range s.Objects {
		t.Child(s.Objects[i].line(now))
	}
	if p := s.Pods; p != nil && p.Total > 0 && p.Injected == p.Total {
		t.Child(line("%s pods: %d of %d have their injection", good, p.Injected, p.Total))
	}
	children(t, s.Problems, bad)
	if s.Restart != "" {
		t.Child(s.restart())
	}
	children(t, s.Notes, safe(style.Quiet.Render("i")))
	return t
}

func (s *Service) waits() bool {
	for _, c := range s.Connections {
		if c.State == Blocked {
			return false
		}
	}
	return len(s.Problems) == 0
}

// restart is a command, or advice where there is none.
func (s *Service) restart() string {
	says := "to give them their injection"
	if s.Pods == nil {
		says = "pods may pre-date the injection; to renew them"
	}
	if strings.HasPrefix(s.Restart, "kubectl ") {
		says += ", run"
	}
	return line("%s %s: %s", warning, safe(says), strong(s.Restart))
}

func (c *Connection) tree(now time.Time) *tree.Tree {
	sign, says := map[State]safe{Connected: good, Waiting: waiting, Blocked: bad}[c.State], ""
	if c.State != Connected {
		says = line(" %s: %s", strong(c.Reason), c.Message)
	} else if c.Identity != "" {
		says = line(" %s", c.Identity)
	}
	if c.State == Connected && c.Zone != "" {
		says += line(", in zone %s", c.Zone)
	}
	t := style.Tree(line("%s %s%s", sign, c.id(), safe(says)))
	children(t, c.Warnings, warning)
	for i := range c.Objects {
		t.Child(c.Objects[i].line(now))
	}
	return t
}

func (o *Object) line(now time.Time) string {
	sign := bad
	switch {
	case o.Ready:
		return line("%s %s %s%s", good, o.Kind, o.Name, age(now, o.Created))
	case o.Reason == "" || o.Reason == string(connection.Creating):
		sign = waiting
	}
	s := line("%s %s %s%s", sign, o.Kind, o.Name, age(now, o.Created))
	if o.Reason != "" {
		s += line(": %s", strong(o.Reason))
	}
	if o.Since != nil {
		s += line(" for %s", duration.HumanDuration(now.Sub(*o.Since)))
	}
	if o.Message != "" {
		s += line(": %s", o.Message)
	}
	return s
}

// age of something, with a comma before it; empty where it isn't known.
func age(now time.Time, created *time.Time) safe {
	if created == nil {
		return ""
	}
	return safe(style.Quiet.Render(", " + duration.HumanDuration(now.Sub(*created))))
}

// Progress is a line on how far it is, without ages, for whoever waits.
func (r *Report) Progress() string {
	ready := 0
	first := ""
	for i := range r.ServiceConnections {
		s := &r.ServiceConnections[i]
		if s.Connected {
			ready++
			continue
		}
		if first == "" {
			first = line("%s/%s: %s", s.Namespace, s.Name, safe(s.first()))
		}
	}
	return strings.TrimSuffix(fmt.Sprintf("%d/%d connected; %s", ready, len(r.ServiceConnections), first), "; ")
}

// first thing that is wrong.
func (s *ServiceConnection) first() string {
	for _, p := range s.Problems {
		return line("%s: %s", p.Reason, p.Message)
	}
	for _, svc := range s.Services {
		for _, c := range svc.Connections {
			if c.State != Connected {
				return line("%s/%s: %s: %s", svc.Name, c.id(), c.Reason, c.Message)
			}
		}
		for _, p := range svc.Problems {
			text := line("%s: %s: %s", svc.Name, p.Reason, p.Message)
			if svc.Restart != "" {
				text += line("; %s", svc.Restart)
			}
			return text
		}
	}
	return ""
}
