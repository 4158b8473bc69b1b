package fleet

import (
	"fmt"
	"slices"
)

// A Draw is a number from 0 to n-1 for what is chosen.
type Draw func(what string, n int) int

func (d Draw) of(what string, from []string) string { return from[d(what, len(from))] }

// names of a claim's services.
var names = []string{"api", "web", "worker"}

// NewClaim of a name for a namespace that no other claim is in.
func NewClaim(namespace, name string, draw Draw) Claim {
	c := Claim{Namespace: namespace, Name: name}
	for i := range 1 + draw("services", len(names)) {
		s := Service{Name: names[i], Account: draw.of("account", Accounts)}
		for range 2 {
			s.toggle(draw)
		}
		s.notEmpty(draw)
		c.Services = append(c.Services, s)
	}
	return c
}

const (
	// credentialsPerIdentity is how many Azure allows.
	credentialsPerIdentity = 20

	// fixedIdentities of a namespace are enough for a thousand claims.
	fixedIdentities = 50
)

// fixedIdentity of a FixedClaim.
func fixedIdentity(i int) string { return fmt.Sprintf("fixed-%d", i/credentialsPerIdentity) }

// FixedClaim has three services of two connections each, and may share its
// namespace with others.
func FixedClaim(namespace string, i int) Claim {
	return Claim{Namespace: namespace, Name: fmt.Sprintf("shop-%d", i), Services: []Service{
		{Name: "api", Role: Roles[0], Account: Accounts[0], Google: true},
		{Name: "web", Role: Roles[1], Disk: CacheStorage},
		{Name: "worker", Identity: fixedIdentity(i), Account: Accounts[1], Proxy: true},
	}}
}

// WideClaim of a number of services that are all alike, each with two connections.
func WideClaim(namespace string, i, services int) Claim {
	c := Claim{Namespace: namespace, Name: fmt.Sprintf("shop-%d", i)}
	for n := range services {
		c.Services = append(c.Services, Service{Name: fmt.Sprintf("api-%d", n), Role: Roles[0], Account: Accounts[0], Google: true})
	}
	return c
}

// Edited claim, in one place.
func (c Claim) Edited(draw Draw) Claim {
	c.Services = slices.Clone(c.Services)
	i := draw("service", len(names))
	if i >= len(c.Services) {
		// Services are added and removed at the end.
		s := Service{Name: names[len(c.Services)], Account: draw.of("account", Accounts)}
		s.notEmpty(draw)
		c.Services = append(c.Services, s)
		return c
	}
	s := &c.Services[i]
	switch draw("edit", 6) {
	case 0:
		if len(c.Services) > 1 {
			c.Services = c.Services[:len(c.Services)-1]
		}
	case 1, 2:
		s.toggle(draw)
		s.notEmpty(draw)
	default:
		s.change(draw)
	}
	return c
}

// toggle a connection: it joins the service, or leaves it.
func (s *Service) toggle(draw Draw) {
	flip := func(v *string, what string, from []string) {
		if *v != "" {
			*v = ""
		} else {
			*v = draw.of(what, from)
		}
	}
	switch draw("connection", 5) {
	case 0:
		flip(&s.Role, "role", Roles)
	case 1:
		flip(&s.Identity, "identity", Identities)
	case 2:
		flip(&s.Disk, "disk", Disks)
	case 3:
		s.Google = !s.Google
	default:
		s.Proxy = !s.Proxy
	}
}

// change what a service connects to, where it has such a connection.
func (s *Service) change(draw Draw) {
	switch draw("change", 4) {
	case 0:
		if s.Role != "" {
			s.Role = draw.of("role", Roles)
		}
	case 1:
		if s.Identity != "" {
			s.Identity = draw.of("identity", Identities)
		}
	case 2:
		if s.Disk != "" {
			s.Disk = draw.of("disk", Disks)
		}
	default:
		s.Account = draw.of("account", Accounts)
	}
}

// notEmpty service: it has a connection, since a claim without any isn't one.
func (s *Service) notEmpty(draw Draw) {
	if s.Role == "" && s.Identity == "" && s.Disk == "" && !s.Google && !s.Proxy {
		s.Role = draw.of("role", Roles)
	}
}
