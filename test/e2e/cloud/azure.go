package cloud

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
)

type identity struct {
	cloudapi.Identity

	// credentials by name.
	credentials map[string]cloudapi.Credential

	// busy says that a credential is being written.
	busy bool
}

// fold a resource id, which Azure compares without regard to case.
func fold(id string) string { return strings.ToLower(id) }

// maxCredentials on one identity (Microsoft Entra documentation, "Important
// considerations and restrictions for federated identity credentials").
const maxCredentials = 20

// AddIdentity of Azure by its resource id, in a tenant.
func (c *Cloud) AddIdentity(id, tenantID string) {
	c.do(func() {
		n := c.id()
		c.identities[fold(id)] = &identity{
			Identity: cloudapi.Identity{
				ID: id, Location: "westeurope", TenantID: tenantID,
				ClientID: "c0000000-0000-0000-0000-" + pad(n), PrincipalID: "p0000000-0000-0000-0000-" + pad(n),
			},
			credentials: map[string]cloudapi.Credential{},
		}
	})
}

// AddCredential that somebody made by hand on an identity.
func (c *Cloud) AddCredential(id, name, issuer, subject string) {
	c.do(func() {
		c.identities[fold(id)].credentials[name] = cloudapi.Credential{
			ID: id + credentialsPath + name, Issuer: issuer, Subject: subject, Audiences: []string{"api://AzureADTokenExchange"},
		}
	})
}

const credentialsPath = "/federatedIdentityCredentials/"

func (c *Cloud) credentialContents() []string {
	var lines []string
	for _, i := range c.identities {
		for name, cr := range i.credentials {
			lines = append(lines, fmt.Sprintf("credential %s on %s: %s %s %s", name, i.ID, cr.Issuer, cr.Subject, strings.Join(cr.Audiences, " ")))
		}
	}
	return lines
}

func (x *call) describeAzure() {
	cr := in[cloudapi.Credential](x)
	x.kind, x.scope = "UserAssignedIdentity", cr.ID
	if x.action == cloudapi.ReadIdentity {
		return
	}
	x.kind, x.creates = "FederatedIdentityCredential", x.action == cloudapi.WriteCredential
	x.namespace, _, _ = strings.Cut(strings.TrimPrefix(cr.Subject, "system:serviceaccount:"), ":")
}

// parent identity of the credential that a call is about, and the credential's
// name.
func (x *call) parent() (i *identity, name string, failed *cloudapi.Error) {
	id := in[cloudapi.Credential](x).ID
	parent, name, _ := strings.Cut(id, credentialsPath)
	i = x.identities[fold(parent)]
	if i == nil {
		return nil, name, &cloudapi.Error{Status: http.StatusNotFound, Code: "ParentResourceNotFound", Message: fmt.Sprintf("Failed to perform '%s' on resource(s) of type 'userAssignedIdentities/federatedIdentityCredentials', because the parent resource '%s' could not be found.", x.action[strings.LastIndex(x.action, "/")+1:], parent)}
	}
	return i, name, nil
}

func notFound(id string) *cloudapi.Error {
	return &cloudapi.Error{Status: http.StatusNotFound, Code: "ResourceNotFound", Message: fmt.Sprintf("The Resource '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix", id)}
}

func azureAnswers() map[string]answer {
	return map[string]answer{
		cloudapi.ReadIdentity: func(x *call) (any, *cloudapi.Error) {
			id := in[cloudapi.Identity](x).ID
			if i := x.identities[fold(id)]; i != nil {
				return i.Identity, nil
			}
			return nil, notFound(id)
		},
		cloudapi.ReadCredential: func(x *call) (any, *cloudapi.Error) {
			i, name, failed := x.parent()
			if failed != nil {
				return nil, failed
			}
			if cr, ok := i.credentials[name]; ok {
				return cr, nil
			}
			return nil, notFound(x.scope)
		},
		cloudapi.WriteCredential:  writeCredential,
		cloudapi.DeleteCredential: deleteCredential,
	}
}

// beginAzure to write credentials of an identity, unless others of it are being
// written.
func (x *call) beginAzure() *cloudapi.Error {
	if x.action != cloudapi.WriteCredential && x.action != cloudapi.DeleteCredential {
		return nil
	}
	i, _, failed := x.parent()
	switch {
	case failed != nil:
		return failed
	case i.busy:
		return &cloudapi.Error{Status: http.StatusConflict, Code: "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity", Message: fmt.Sprintf("Too many Federated Identity Credentials are written concurrently for the managed identity '%s'. Concurrent Federated Identity Credentials writes under the same managed identity are not supported.", i.ID)}
	}
	i.busy = true
	x.writing = i
	return nil
}

// finishAzure what beginAzure has begun.
func (x *call) finishAzure() {
	x.do(func() {
		if x.writing != nil {
			x.writing.busy = false
		}
	})
}

func writeCredential(x *call) (any, *cloudapi.Error) {
	i, name, failed := x.parent()
	if failed != nil {
		return nil, failed
	}
	want := in[cloudapi.Credential](x)
	_, exists := i.credentials[name]
	if !exists && len(i.credentials) >= maxCredentials {
		return nil, &cloudapi.Error{Status: http.StatusBadRequest, Code: "FederatedIdentityCredentialsLimitExceeded", Message: fmt.Sprintf("Too many Federated Identity Credentials for managed identity. Limit is %d", maxCredentials)}
	}
	for other, cr := range i.credentials {
		if other != name && cr.Issuer == want.Issuer && cr.Subject == want.Subject {
			return nil, &cloudapi.Error{Status: http.StatusConflict, Code: "Conflict", Message: "Issuer and subject combination already exists for this Managed Identity."}
		}
	}
	i.credentials[name] = want
	verb := map[bool]string{true: "update", false: "create"}[exists]
	x.wrotef("%s credential %s", verb, name)
	return want, nil
}

func deleteCredential(x *call) (any, *cloudapi.Error) {
	i, name, failed := x.parent()
	if failed != nil {
		return nil, failed
	}
	if _, ok := i.credentials[name]; ok {
		x.wrotef("delete credential %s", name)
	}
	delete(i.credentials, name)
	return cloudapi.Nothing{}, nil
}
