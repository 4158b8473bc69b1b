package cloudapi

import "context"

// Actions of Azure, as "Azure permissions for Identity" names them.
const (
	ReadIdentity     = "Microsoft.ManagedIdentity/userAssignedIdentities/read"
	ReadCredential   = "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/read"
	WriteCredential  = "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write"
	DeleteCredential = "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete"
)

// An Identity of Azure that users assign. Its ID says its subscription, resource
// group and name.
type Identity struct {
	ID          string            `json:"id"`
	Location    string            `json:"location"`
	ClientID    string            `json:"clientId"`
	PrincipalID string            `json:"principalId"`
	TenantID    string            `json:"tenantId"`
	Tags        map[string]string `json:"tags,omitempty"`
}

// A Credential of an identity. Its ID is that of the identity, followed by
// /federatedIdentityCredentials/ and its name.
type Credential struct {
	ID        string   `json:"id"`
	Issuer    string   `json:"issuer"`
	Subject   string   `json:"subject"`
	Audiences []string `json:"audiences"`
}

// ReadIdentity of an ID.
func (c Client) ReadIdentity(ctx context.Context, id string) (Identity, error) {
	return call[Identity](ctx, c, ReadIdentity, Identity{ID: id})
}

// ReadCredential of an ID.
func (c Client) ReadCredential(ctx context.Context, id string) (Credential, error) {
	return call[Credential](ctx, c, ReadCredential, Credential{ID: id})
}

// WriteCredential creates or updates one.
func (c Client) WriteCredential(ctx context.Context, cr Credential) error {
	_, err := call[Credential](ctx, c, WriteCredential, cr)
	return err
}

// DeleteCredential of an ID. Azure says 200 also where there is none.
func (c Client) DeleteCredential(ctx context.Context, id string) error {
	_, err := call[Nothing](ctx, c, DeleteCredential, Credential{ID: id})
	return err
}
