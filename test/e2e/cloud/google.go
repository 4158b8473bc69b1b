package cloud

import (
	"fmt"
	"path"
	"strings"
)

// members of Google service accounts. They are only a line in a policy: there is
// one of each, whoever added it.
type members struct{ *Cloud }

func (c members) observe(m *managedResource) (observation, error) {
	account, ok := c.accounts[path.Base(m.text("serviceAccountId"))]
	if !ok {
		return observation{}, fmt.Errorf("failed to observe the resource: [{0 Error retrieving IAM policy for service account %q: googleapi: Error 404: Unknown service account, notFound  []}]", m.text("serviceAccountId"))
	}
	if !account[m.text("member")] {
		return observation{}, nil
	}
	return observation{exists: true, upToDate: true, at: map[string]any{
		"id": m.text("serviceAccountId") + "/" + m.text("role") + "/" + m.text("member"),
	}}, nil
}

func (c members) create(m *managedResource) error {
	c.accounts[path.Base(m.text("serviceAccountId"))][m.text("member")] = true
	c.wrotef("create member %s", m.text("member"))
	return nil
}

func (members) update(m *managedResource) error {
	return fmt.Errorf("cannot update %s %q: a member has nothing to update", m.Kind, m.Name)
}

func (c members) remove(m *managedResource) error {
	delete(c.accounts[path.Base(m.text("serviceAccountId"))], m.text("member"))
	c.wrotef("delete member %s", m.text("member"))
	return nil
}

// RemoveMembers of a namespace, as somebody does by hand.
func (c *Cloud) RemoveMembers(namespace string) {
	c.do(func() {
		for _, members := range c.accounts {
			for m := range members {
				if strings.Contains(m, "["+namespace+"/") {
					delete(members, m)
				}
			}
		}
	})
}
