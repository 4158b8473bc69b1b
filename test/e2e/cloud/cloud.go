// Package cloud is a cloud of which the tests know all: AWS, Azure and Google
// Cloud as far as the function composes something in them, in memory. The providers
// (test/providers) call it over HTTP on loopback, so that it outlives them, and
// several clusters may share one.
package cloud

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
)

// AccountID of the cloud's AWS account.
const AccountID = "123456789012"

const (
	// latency of each write. Azure refuses a second one on an identity meanwhile.
	latency = 20 * time.Millisecond

	// propagation is how long IAM needs until a new role or policy is known
	// everywhere (IAM user guide, "Changes that I make are not always immediately
	// visible").
	propagation = 200 * time.Millisecond
)

// A Cloud holds what exists, and how it misbehaves.
type Cloud struct {
	mu sync.Mutex

	// roles of IAM by name, policies by their ARN, and what is attached to which.
	roles       map[string]*role
	policies    map[string]*policy
	attachments map[attachment]bool

	// foreignRoles of other accounts: trust policies by ARN.
	foreignRoles map[string]string

	// oidcProviders of IAM: the audience that each takes, by issuer.
	oidcProviders map[string]string

	// stores that applications read, by their hosts' names.
	stores map[string]store

	// associations of EKS by their id.
	associations map[string]*cloudapi.Association

	// identities of Azure by their resource id, in lower case.
	identities map[string]*identity

	// accounts of Google by e-mail.
	accounts map[string]*account

	// projectRoles of Google service accounts, by e-mail.
	projectRoles map[string][]string

	// calls by their action, and those that have changed something, by what they
	// did.
	calls  map[string]int
	writes []string

	// asked of AWS: each action with the ARN of the resource that it was about.
	asked map[string]bool

	ids     int
	held    map[string]chan struct{}
	denied  map[string]bool
	failure *cloudapi.Error

	server server
}

// New returns a Cloud in which nothing exists.
func New() *Cloud {
	return &Cloud{
		roles:        map[string]*role{},
		policies:     map[string]*policy{},
		attachments:  map[attachment]bool{},
		foreignRoles: map[string]string{}, oidcProviders: map[string]string{}, projectRoles: map[string][]string{}, stores: map[string]store{},
		associations: map[string]*cloudapi.Association{},
		identities:   map[string]*identity{},
		accounts:     map[string]*account{},
		calls:        map[string]int{},
		asked:        map[string]bool{},
		held:         map[string]chan struct{}{},
		denied:       map[string]bool{},
	}
}

// Hold what creates resources of a kind, such as FederatedIdentityCredential: it is
// done, but the cloud doesn't answer until Release. What reads a
// UserAssignedIdentity is held as well.
func (c *Cloud) Hold(kind string) {
	c.do(func() {
		if c.held[kind] == nil {
			c.held[kind] = make(chan struct{})
		}
	})
}

// Release what Hold held.
func (c *Cloud) Release(kind string) {
	c.do(func() {
		if c.held[kind] != nil {
			close(c.held[kind])
		}
		delete(c.held, kind)
	})
}

// HoldIn a namespace, as Hold does, what its claims ask for.
func (c *Cloud) HoldIn(namespace, kind string) { c.Hold(namespace + "/" + kind) }

// ReleaseIn a namespace what HoldIn held.
func (c *Cloud) ReleaseIn(namespace, kind string) { c.Release(namespace + "/" + kind) }

// Deny every call about a kind, or one action such as iam:DetachRolePolicy, until
// Allow.
func (c *Cloud) Deny(what string) { c.do(func() { c.denied[what] = true }) }

// Allow what Deny denied.
func (c *Cloud) Allow(what string) { c.do(func() { delete(c.denied, what) }) }

// FailAll calls until they are failed with nil.
func (c *Cloud) FailAll(err *cloudapi.Error) { c.do(func() { c.failure = err }) }

// Calls of an action that were made.
func (c *Cloud) Calls(action string) int {
	var n int
	c.do(func() { n = c.calls[action] })
	return n
}

// Actions that were called, sorted: the rights that the providers have used.
func (c *Cloud) Actions() []string {
	var actions []string
	c.do(func() { actions = sortedKeys(c.calls) })
	return actions
}

// Asked are the actions of AWS that were called, each with a space and the ARN of the
// resource that IAM judges it by, sorted.
func (c *Cloud) Asked() []string {
	var asked []string
	c.do(func() { asked = sortedKeys(c.asked) })
	return asked
}

// Contents is what clusters have put into the cloud, one line each, sorted.
func (c *Cloud) Contents() []string {
	var lines []string
	c.do(func() {
		lines = slices.Concat(c.iamContents(), c.associationContents(), c.credentialContents(), c.memberContents())
	})
	slices.Sort(lines)
	return lines
}

// Writes are the calls that have changed something, in their order. Tags, of which
// the providers write the name of the managed resource, are left out.
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
func (c *Cloud) id() string {
	c.ids++
	return strconv.Itoa(c.ids)
}

func (c *Cloud) wrotef(format string, a ...any) {
	c.writes = append(c.writes, fmt.Sprintf(format, a...))
}

func pad(n string) string { return fmt.Sprintf("%012s", n) }

// sortedKeys of a map.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
