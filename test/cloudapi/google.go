package cloudapi

import "context"

// Permissions of Google Cloud, as "IAM permissions reference" names them.
const (
	GetIAMPolicy = "iam.serviceAccounts.getIamPolicy"
	SetIAMPolicy = "iam.serviceAccounts.setIamPolicy"
)

// An IAMPolicy of a Google service account (IAM API reference, Policy).
type IAMPolicy struct {
	// Resource is projects/<project>/serviceAccounts/<e-mail>.
	Resource string    `json:"resource"`
	Etag     string    `json:"etag"`
	Bindings []Binding `json:"bindings"`
}

// A Binding of members to a role.
type Binding struct {
	Role    string   `json:"role"`
	Members []string `json:"members"`
}

// GetIAMPolicy of a service account.
func (c Client) GetIAMPolicy(ctx context.Context, resource string) (IAMPolicy, error) {
	return call[IAMPolicy](ctx, c, GetIAMPolicy, IAMPolicy{Resource: resource})
}

// SetIAMPolicy of a service account, unless it was set since it was read.
func (c Client) SetIAMPolicy(ctx context.Context, p IAMPolicy) (IAMPolicy, error) {
	return call[IAMPolicy](ctx, c, SetIAMPolicy, p)
}
