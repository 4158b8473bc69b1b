package cloud

import (
	"fmt"
	"strings"
)

// fold a resource id, which Azure compares without regard to case.
func fold(id string) string { return strings.ToLower(id) }

// identities of Azure, which the function only observes.
type identities struct{ *Cloud }

func (c identities) observe(m *managedResource) (observation, error) {
	i, ok := c.identities[fold(m.externalName())]
	if !ok {
		return observation{}, nil
	}
	return observation{exists: true, upToDate: true, at: map[string]any{
		"id": i.id, "clientId": i.clientID, "principalId": i.principalID, "tenantId": i.tenantID,
	}}, nil
}

func (identities) create(m *managedResource) error { return unexpected("create", m) }
func (identities) update(m *managedResource) error { return unexpected("update", m) }
func (identities) remove(m *managedResource) error { return unexpected("delete", m) }

// maxCredentials on one identity (Microsoft Entra documentation, "Important
// considerations and restrictions for federated identity credentials").
const maxCredentials = 20

type credentials struct{ *Cloud }

func wantedCredential(m *managedResource) credential {
	forProvider, _ := m.Spec["forProvider"].(map[string]any)
	audiences, _ := forProvider["audience"].([]any)
	return credential{m.text("issuer"), m.text("subject"), fmt.Sprint(audiences...)}
}

func (c credentials) observe(m *managedResource) (observation, error) {
	i, ok := c.identities[fold(m.text("parentId"))]
	if !ok {
		return observation{}, nil
	}
	cr, ok := i.credentials[m.externalName()]
	if !ok {
		return observation{}, nil
	}
	return observation{exists: true, upToDate: cr == wantedCredential(m), at: map[string]any{
		"id": i.id + "/federatedIdentityCredentials/" + m.externalName(),
	}}, nil
}

func (c credentials) create(m *managedResource) error {
	i, ok := c.identities[fold(m.text("parentId"))]
	if !ok {
		return fmt.Errorf("failed to create the resource: [{0 creating Federated Identity Credential: unexpected status 404 (404 Not Found) with error: ParentResourceNotFound: the identity %s was not found  []}]", m.text("parentId"))
	}
	if len(i.credentials) >= maxCredentials {
		return fmt.Errorf("failed to create the resource: [{0 creating Federated Identity Credential: unexpected status 400 (400 Bad Request) with error: FederatedIdentityCredentialsLimitExceeded: Too many Federated Identity Credentials for managed identity. Limit is %d  []}]", maxCredentials)
	}
	want := wantedCredential(m)
	for _, name := range sortedKeys(i.credentials) {
		if cr := i.credentials[name]; cr.issuer == want.issuer && cr.subject == want.subject {
			return fmt.Errorf("failed to create the resource: [{0 creating Federated Identity Credential: unexpected status 409 (409 Conflict) with error: Conflict: Issuer and subject combination already exists for this Managed Identity, in %q  []}]", name)
		}
	}
	i.credentials[m.externalName()] = want
	c.wrotef("create credential %s", m.externalName())
	return nil
}

func (c credentials) update(m *managedResource) error {
	c.identities[fold(m.text("parentId"))].credentials[m.externalName()] = wantedCredential(m)
	c.wrotef("update credential %s", m.externalName())
	return nil
}

func (c credentials) remove(m *managedResource) error {
	if i, ok := c.identities[fold(m.text("parentId"))]; ok {
		delete(i.credentials, m.externalName())
	}
	c.wrotef("delete credential %s", m.externalName())
	return nil
}
