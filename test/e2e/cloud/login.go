package cloud

import (
	"slices"
	"strings"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
)

// AssociationOf a ServiceAccount in a cluster, if there is one.
func (c *Cloud) AssociationOf(cluster, namespace, serviceAccount string) (cloudapi.Association, bool) {
	var found cloudapi.Association
	var ok bool
	c.do(func() {
		for _, a := range c.associations {
			if a.ClusterName == cluster && a.Namespace == namespace && a.ServiceAccount == serviceAccount {
				found, ok = *a, true
			}
		}
	})
	return found, ok
}

// TrustOfARN is the trust policy of a role of any account, empty where there is no such
// role.
func (c *Cloud) TrustOfARN(arn string) string {
	var trust string
	c.do(func() {
		trust = c.foreignRoles[arn]
		if r := c.roles[arn[strings.LastIndex(arn, "/")+1:]]; r != nil && r.ARN == arn {
			trust = r.AssumeRolePolicy
		}
	})
	return trust
}

// AddForeignRole of another account, with its trust policy. The account's providers
// don't see it.
func (c *Cloud) AddForeignRole(arn, trust string) { c.do(func() { c.foreignRoles[arn] = trust }) }

// AddOIDCProvider to IAM, by its issuer, for tokens of one audience.
func (c *Cloud) AddOIDCProvider(issuer, audience string) {
	c.do(func() { c.oidcProviders[issuer] = audience })
}

// OIDCProvider of an issuer, if there is one: its ARN, and the audience that it takes.
func (c *Cloud) OIDCProvider(issuer string) (arn, audience string, ok bool) {
	c.do(func() { audience, ok = c.oidcProviders[issuer] })
	return "arn:aws:iam::" + AccountID + ":oidc-provider/" + strings.TrimPrefix(issuer, "https://"), audience, ok
}

// IdentityOf a client id, with its credentials, if there is one.
func (c *Cloud) IdentityOf(clientID string) (i cloudapi.Identity, credentials []cloudapi.Credential, ok bool) {
	c.do(func() {
		for _, found := range c.identities {
			if found.ClientID != clientID {
				continue
			}
			i, ok = found.Identity, true
			for _, name := range sortedKeys(found.credentials) {
				credentials = append(credentials, found.credentials[name])
			}
		}
	})
	return i, credentials, ok
}

// ClientIDOf an identity by its resource id, empty where there is no such identity.
func (c *Cloud) ClientIDOf(id string) string {
	var clientID string
	c.do(func() {
		if i := c.identities[fold(id)]; i != nil {
			clientID = i.ClientID
		}
	})
	return clientID
}

// AddMember of a role on a Google service account, that somebody made by hand.
func (c *Cloud) AddMember(email, role, member string) {
	c.do(func() {
		a := c.accounts[email]
		if a.members[role] == nil {
			a.members[role] = map[string]bool{}
		}
		a.members[role][member] = true
		a.version++
	})
}

// IsMember says whether a member has a role on a Google service account.
func (c *Cloud) IsMember(email, role, member string) bool {
	var is bool
	c.do(func() {
		if a := c.accounts[email]; a != nil {
			is = a.members[role][member]
		}
	})
	return is
}

// GrantProject gives a Google service account a role in its project, such as
// roles/cloudsql.client, which is nobody's business here but an administrator's.
func (c *Cloud) GrantProject(email, role string) {
	c.do(func() { c.projectRoles[email] = append(c.projectRoles[email], role) })
}

// RevokeProject takes all its roles in the project from a Google service account.
func (c *Cloud) RevokeProject(email string) { c.do(func() { delete(c.projectRoles, email) }) }

// HasProjectRole says whether GrantProject was called.
func (c *Cloud) HasProjectRole(email, role string) bool {
	var has bool
	c.do(func() { has = slices.Contains(c.projectRoles[email], role) })
	return has
}
