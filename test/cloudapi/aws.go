package cloudapi

import "context"

// Actions of AWS, as the Service Authorization Reference names them.
const (
	GetCallerIdentity             = "sts:GetCallerIdentity"
	GetRole                       = "iam:GetRole"
	CreateRole                    = "iam:CreateRole"
	UpdateAssumeRolePolicy        = "iam:UpdateAssumeRolePolicy"
	UpdateRole                    = "iam:UpdateRole"
	UpdateRoleDescription         = "iam:UpdateRoleDescription"
	PutRolePermissionsBoundary    = "iam:PutRolePermissionsBoundary"
	DeleteRolePermissionsBoundary = "iam:DeleteRolePermissionsBoundary"
	TagRole                       = "iam:TagRole"
	UntagRole                     = "iam:UntagRole"
	DeleteRole                    = "iam:DeleteRole"
	ListInstanceProfilesForRole   = "iam:ListInstanceProfilesForRole"
	ListRolePolicies              = "iam:ListRolePolicies"
	GetRolePolicy                 = "iam:GetRolePolicy"
	DeleteRolePolicy              = "iam:DeleteRolePolicy"
	ListAttachedRolePolicies      = "iam:ListAttachedRolePolicies"
	AttachRolePolicy              = "iam:AttachRolePolicy"
	DetachRolePolicy              = "iam:DetachRolePolicy"

	CreatePolicy        = "iam:CreatePolicy"
	GetPolicy           = "iam:GetPolicy"
	GetPolicyVersion    = "iam:GetPolicyVersion"
	ListPolicyVersions  = "iam:ListPolicyVersions"
	CreatePolicyVersion = "iam:CreatePolicyVersion"
	DeletePolicyVersion = "iam:DeletePolicyVersion"
	TagPolicy           = "iam:TagPolicy"
	UntagPolicy         = "iam:UntagPolicy"
	DeletePolicy        = "iam:DeletePolicy"

	CreatePodIdentityAssociation   = "eks:CreatePodIdentityAssociation"
	DescribePodIdentityAssociation = "eks:DescribePodIdentityAssociation"
	UpdatePodIdentityAssociation   = "eks:UpdatePodIdentityAssociation"
	DeletePodIdentityAssociation   = "eks:DeletePodIdentityAssociation"
	TagResource                    = "eks:TagResource"
	UntagResource                  = "eks:UntagResource"
)

// A Role of IAM (IAM API reference, Role).
type Role struct {
	Name                string            `json:"name"`
	Path                string            `json:"path"`
	ARN                 string            `json:"arn"`
	ID                  string            `json:"id"`
	Created             string            `json:"created"`
	Description         string            `json:"description,omitempty"`
	AssumeRolePolicy    string            `json:"assumeRolePolicy"`
	PermissionsBoundary string            `json:"permissionsBoundary,omitempty"`
	MaxSessionDuration  int               `json:"maxSessionDuration"`
	Tags                map[string]string `json:"tags,omitempty"`
}

// A Policy of IAM (IAM API reference, Policy), with the document of its default
// version.
type Policy struct {
	Name        string            `json:"name"`
	Path        string            `json:"path"`
	ARN         string            `json:"arn"`
	ID          string            `json:"id"`
	Description string            `json:"description,omitempty"`
	Default     string            `json:"default"`
	Attachments int               `json:"attachments"`
	Tags        map[string]string `json:"tags,omitempty"`
}

// A PolicyVersion of a policy.
type PolicyVersion struct {
	ID       string `json:"id"`
	Document string `json:"document"`
	Default  bool   `json:"default"`
}

// IAMRequest is what actions of IAM take. Each reads what its page in the API
// reference lists.
type IAMRequest struct {
	RoleName   string            `json:"roleName,omitempty"`
	PolicyName string            `json:"policyName,omitempty"`
	PolicyARN  string            `json:"policyArn,omitempty"`
	VersionID  string            `json:"versionId,omitempty"`
	Document   string            `json:"document,omitempty"`
	Boundary   string            `json:"boundary,omitempty"`
	Text       string            `json:"text,omitempty"`
	Seconds    int               `json:"seconds,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
	Keys       []string          `json:"keys,omitempty"`
}

// IAM makes a call that returns nothing.
func (c Client) IAM(ctx context.Context, action string, r IAMRequest) error {
	_, err := call[Nothing](ctx, c, action, r)
	return err
}

// Names that an action of IAM lists: of inline policies, instance profiles, or
// ARNs of attached policies.
func (c Client) Names(ctx context.Context, action, role string) ([]string, error) {
	return call[[]string](ctx, c, action, IAMRequest{RoleName: role})
}

// GetRole of a name.
func (c Client) GetRole(ctx context.Context, name string) (Role, error) {
	return call[Role](ctx, c, GetRole, IAMRequest{RoleName: name})
}

// CreateRole of its name, path, trust policy, boundary, session duration and tags.
func (c Client) CreateRole(ctx context.Context, r Role) (Role, error) {
	return call[Role](ctx, c, CreateRole, r)
}

// CreatePolicyRequest of a policy with its first version.
type CreatePolicyRequest struct {
	Policy

	Document string `json:"document"`
}

// CreatePolicy of its name, path, document and tags.
func (c Client) CreatePolicy(ctx context.Context, r CreatePolicyRequest) (Policy, error) {
	return call[Policy](ctx, c, CreatePolicy, r)
}

// GetPolicy of an ARN.
func (c Client) GetPolicy(ctx context.Context, arn string) (Policy, error) {
	return call[Policy](ctx, c, GetPolicy, IAMRequest{PolicyARN: arn})
}

// GetPolicyVersion of a policy.
func (c Client) GetPolicyVersion(ctx context.Context, arn, version string) (PolicyVersion, error) {
	return call[PolicyVersion](ctx, c, GetPolicyVersion, IAMRequest{PolicyARN: arn, VersionID: version})
}

// ListPolicyVersions of a policy, the oldest first.
func (c Client) ListPolicyVersions(ctx context.Context, arn string) ([]PolicyVersion, error) {
	return call[[]PolicyVersion](ctx, c, ListPolicyVersions, IAMRequest{PolicyARN: arn})
}

// An Association of EKS (EKS API reference, PodIdentityAssociation).
type Association struct {
	ID                 string            `json:"id"`
	ARN                string            `json:"arn"`
	Region             string            `json:"region"`
	ClusterName        string            `json:"clusterName"`
	Namespace          string            `json:"namespace"`
	ServiceAccount     string            `json:"serviceAccount"`
	RoleARN            string            `json:"roleArn"`
	TargetRoleARN      string            `json:"targetRoleArn,omitempty"`
	ExternalID         string            `json:"externalId,omitempty"`
	DisableSessionTags bool              `json:"disableSessionTags"`
	Tags               map[string]string `json:"tags,omitempty"`
}

// CreatePodIdentityAssociation of all but its id, ARN and external id.
func (c Client) CreatePodIdentityAssociation(ctx context.Context, a Association) (Association, error) {
	return call[Association](ctx, c, CreatePodIdentityAssociation, a)
}

// DescribePodIdentityAssociation of an id and a cluster.
func (c Client) DescribePodIdentityAssociation(ctx context.Context, id, cluster string) (Association, error) {
	return call[Association](ctx, c, DescribePodIdentityAssociation, Association{ID: id, ClusterName: cluster})
}

// UpdatePodIdentityAssociation of an id and a cluster. What is empty stays as it
// is, as in EKS, whose request leaves it out.
func (c Client) UpdatePodIdentityAssociation(ctx context.Context, a Association) (Association, error) {
	return call[Association](ctx, c, UpdatePodIdentityAssociation, a)
}

// DeletePodIdentityAssociation of an id and a cluster.
func (c Client) DeletePodIdentityAssociation(ctx context.Context, id, cluster string) error {
	_, err := call[Nothing](ctx, c, DeletePodIdentityAssociation, Association{ID: id, ClusterName: cluster})
	return err
}

// TagAssociation with tags, and take keys of others off it.
func (c Client) TagAssociation(ctx context.Context, arn string, tags map[string]string, remove []string) error {
	if len(tags) > 0 {
		if _, err := call[Nothing](ctx, c, TagResource, IAMRequest{PolicyARN: arn, Tags: tags}); err != nil {
			return err
		}
	}

	if len(remove) > 0 {
		if _, err := call[Nothing](ctx, c, UntagResource, IAMRequest{PolicyARN: arn, Keys: remove}); err != nil {
			return err
		}
	}

	return nil
}

// GetCallerIdentity is the account of whoever calls.
func (c Client) GetCallerIdentity(ctx context.Context) (account string, err error) {
	return call[string](ctx, c, GetCallerIdentity, Nothing{})
}
