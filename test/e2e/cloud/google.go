package cloud

import (
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
)

// An account of Google, with members of roles on it. Its policy has another etag
// after each write.
type account struct {
	members map[string]map[string]bool
	version int
}

// AddGoogleAccount by its e-mail.
func (c *Cloud) AddGoogleAccount(email string) {
	c.do(func() { c.accounts[email] = &account{members: map[string]map[string]bool{}} })
}

// RemoveMembers of a namespace, as somebody does by hand.
func (c *Cloud) RemoveMembers(namespace string) {
	c.do(func() {
		for _, a := range c.accounts {
			for _, members := range a.members {
				maps.DeleteFunc(members, func(m string, _ bool) bool { return strings.Contains(m, "["+namespace+"/") })
			}
			a.version++
		}
	})
}

func (c *Cloud) memberContents() []string {
	var lines []string
	for email, a := range c.accounts {
		for _, members := range a.members {
			for m := range members {
				lines = append(lines, fmt.Sprintf("member %s of %s", m, email))
			}
		}
	}
	return lines
}

// describeGoogle says for whom a call is by the member that it adds.
func (x *call) describeGoogle() {
	p := in[cloudapi.IAMPolicy](x)
	x.kind, x.scope = "ServiceAccountIAMMember", p.Resource
	if x.action != cloudapi.SetIAMPolicy {
		return
	}
	x.creates = true
	x.do(func() {
		a := x.accounts[path.Base(p.Resource)]
		for _, b := range p.Bindings {
			for _, m := range b.Members {
				if a != nil && !a.members[b.Role][m] {
					_, account, _ := strings.Cut(m, "[")
					x.namespace, _, _ = strings.Cut(account, "/")
				}
			}
		}
	})
}

func (x *call) account() (*account, *cloudapi.Error) {
	a := x.accounts[path.Base(in[cloudapi.IAMPolicy](x).Resource)]
	if a == nil {
		return nil, &cloudapi.Error{Status: http.StatusNotFound, Code: "notFound", Message: "Unknown service account"}
	}
	return a, nil
}

func (a *account) etag() string { return fmt.Sprintf("BwY%08dI=", a.version) }

func (a *account) bindings() []cloudapi.Binding {
	var all []cloudapi.Binding
	for _, role := range sortedKeys(a.members) {
		if len(a.members[role]) > 0 {
			all = append(all, cloudapi.Binding{Role: role, Members: sortedKeys(a.members[role])})
		}
	}
	return all
}

func googleAnswers() map[string]answer {
	return map[string]answer{
		cloudapi.GetIAMPolicy: func(x *call) (any, *cloudapi.Error) {
			a, failed := x.account()
			if failed != nil {
				return nil, failed
			}
			return cloudapi.IAMPolicy{Resource: x.scope, Etag: a.etag(), Bindings: a.bindings()}, nil
		},
		cloudapi.SetIAMPolicy: setIAMPolicy,
	}
}

// setIAMPolicy unless it was set since it was read (IAM API reference, Policy,
// etag).
func setIAMPolicy(x *call) (any, *cloudapi.Error) {
	a, failed := x.account()
	if failed != nil {
		return nil, failed
	}
	p := in[cloudapi.IAMPolicy](x)
	if p.Etag != a.etag() {
		return nil, &cloudapi.Error{Status: http.StatusConflict, Code: "aborted", Message: "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff."}
	}
	was := a.members
	a.members = map[string]map[string]bool{}
	for _, b := range p.Bindings {
		a.members[b.Role] = map[string]bool{}
		for _, m := range b.Members {
			a.members[b.Role][m] = true
		}
	}
	a.version++
	x.wroteMembers(was, a.members)
	return cloudapi.IAMPolicy{Resource: x.scope, Etag: a.etag(), Bindings: a.bindings()}, nil
}

// wroteMembers tells what differs from what was there.
func (x *call) wroteMembers(was, now map[string]map[string]bool) {
	for _, change := range []struct {
		verb     string
		from, to map[string]map[string]bool
	}{{"create", was, now}, {"delete", now, was}} {
		for _, role := range slices.Sorted(maps.Keys(change.to)) {
			for _, m := range sortedKeys(change.to[role]) {
				if !change.from[role][m] {
					x.wrotef("%s member %s", change.verb, m)
				}
			}
		}
	}
}
