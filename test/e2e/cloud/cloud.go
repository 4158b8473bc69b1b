// Package cloud is a cloud of which the tests know all: AWS, Azure and Google
// Cloud as far as the function composes something in them, in memory. Their
// providers are crossplane-runtime's own managed resource reconciler, with which
// every provider is built, over clients of this cloud. Several clusters may share
// one cloud.
package cloud

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// AccountID of the cloud's AWS account.
const AccountID = "123456789012"

// A Cloud holds what exists, and how it misbehaves.
type Cloud struct {
	// PollInterval at which providers look for what changed in the cloud; those
	// of a full cluster would do nothing else at that of a test. Failures are
	// tried again within half of it. It holds for providers that are run later.
	PollInterval time.Duration

	mu sync.Mutex

	// roles of IAM by name, policies' documents by their ARN, and what is attached
	// to which.
	roles       map[string]role
	policies    map[string]string
	attachments map[attachment]bool

	// associations of EKS by their id.
	associations map[string]association

	// identities of Azure by their resource id, in lower case.
	identities map[string]*identity

	// accounts of Google by e-mail, each with its members of
	// roles/iam.workloadIdentityUser.
	accounts map[string]map[string]bool

	// calls that have changed something, by what they did.
	writes []string

	ids    int
	held   map[string]bool
	failed map[string]error
}

type association struct{ cluster, namespace, serviceAccount, roleARN, targetRoleARN string }

type identity struct {
	id, tenantID, clientID, principalID string

	// credentials by name.
	credentials map[string]credential
}

type credential struct{ issuer, subject, audience string }

// New returns a Cloud in which nothing exists.
func New() *Cloud {
	return &Cloud{
		PollInterval: pollInterval,
		roles:        map[string]role{},
		policies:     map[string]string{},
		attachments:  map[attachment]bool{},
		associations: map[string]association{},
		identities:   map[string]*identity{},
		accounts:     map[string]map[string]bool{},
		held:         map[string]bool{},
		failed:       map[string]error{},
	}
}

// AddRole of a name, with a path such as /apps/. It trusts EKS Pod Identity, as
// the EKS user guide has it, until SetTrust.
func (c *Cloud) AddRole(path, name string) {
	c.do(func() {
		c.roles[name] = role{arn: iamARN("role", path, name), trust: trustsPods, byHand: true}
	})
}

// SetTrust policy of a role.
func (c *Cloud) SetTrust(name, policy string) {
	c.do(func() {
		r := c.roles[name]
		r.trust = policy
		c.roles[name] = r
	})
}

// RemoveRole of a name.
func (c *Cloud) RemoveRole(name string) { c.do(func() { delete(c.roles, name) }) }

// AddAssociation that somebody made by hand.
func (c *Cloud) AddAssociation(cluster, namespace, serviceAccount, roleARN string) {
	c.do(func() {
		c.associations[c.id("a-byhand")] = association{cluster, namespace, serviceAccount, roleARN, ""}
	})
}

// AddIdentity of Azure by its resource id, in a tenant.
func (c *Cloud) AddIdentity(id, tenantID string) {
	c.do(func() {
		n := c.id("")
		c.identities[fold(id)] = &identity{
			id: id, tenantID: tenantID, clientID: "c0000000-0000-0000-0000-" + pad(n), principalID: "p0000000-0000-0000-0000-" + pad(n),
			credentials: map[string]credential{},
		}
	})
}

// AddCredential that somebody made by hand on an identity.
func (c *Cloud) AddCredential(id, name, issuer, subject string) {
	c.do(func() {
		c.identities[fold(id)].credentials[name] = credential{issuer, subject, "api://AzureADTokenExchange"}
	})
}

// AddGoogleAccount by its e-mail.
func (c *Cloud) AddGoogleAccount(email string) {
	c.do(func() { c.accounts[email] = map[string]bool{} })
}

// Hold new resources of a kind: they exist, but don't become ready until Release.
func (c *Cloud) Hold(kind string) { c.do(func() { c.held[kind] = true }) }

// Release what Hold held.
func (c *Cloud) Release(kind string) { c.do(func() { delete(c.held, kind) }) }

// HoldIn a namespace, as Hold does, what its claims ask for.
func (c *Cloud) HoldIn(namespace, kind string) { c.Hold(namespace + "/" + kind) }

// ReleaseIn a namespace what HoldIn held.
func (c *Cloud) ReleaseIn(namespace, kind string) { c.Release(namespace + "/" + kind) }

// holds a managed resource back from being ready.
func (c *Cloud) holds(m *managedResource, kind string) bool {
	return c.held[kind] || c.held[m.claimNamespace()+"/"+kind]
}

// Fail every call about a kind, until it is failed with nil.
func (c *Cloud) Fail(kind string, err error) {
	c.do(func() {
		c.failed[kind] = err
		if err == nil {
			delete(c.failed, kind)
		}
	})
}

// FailAll calls of all providers, until they are failed with nil.
func (c *Cloud) FailAll(err error) {
	for _, kinds := range providers {
		for _, k := range kinds {
			c.Fail(k.kind, err)
		}
	}
}

// Contents is what clusters have put into the cloud, one line each, sorted.
func (c *Cloud) Contents() []string {
	var lines []string
	c.do(func() {
		lines = c.iamContents()
		for _, a := range c.associations {
			lines = append(lines, fmt.Sprintf("association %s %s/%s -> %s", a.cluster, a.namespace, a.serviceAccount, a.roleARN))
		}
		for _, i := range c.identities {
			for name, cr := range i.credentials {
				lines = append(lines, fmt.Sprintf("credential %s on %s: %s %s %s", name, i.id, cr.issuer, cr.subject, cr.audience))
			}
		}
		for email, members := range c.accounts {
			for m := range members {
				lines = append(lines, fmt.Sprintf("member %s of %s", m, email))
			}
		}
	})
	slices.Sort(lines)
	return lines
}

// Writes are the calls that have changed something, in their order.
func (c *Cloud) Writes() []string {
	var w []string
	c.do(func() { w = slices.Clone(c.writes) })
	return w
}

func (c *Cloud) do(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// id that is new.
func (c *Cloud) id(prefix string) string {
	c.ids++
	return fmt.Sprintf("%s%d", prefix, c.ids)
}

func (c *Cloud) wrotef(format string, a ...any) {
	c.writes = append(c.writes, fmt.Sprintf(format, a...))
}

func pad(n string) string { return fmt.Sprintf("%012s", n) }

// sortedKeys of a map.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
