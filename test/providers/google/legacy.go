package google

import (
	xpv1 "github.com/crossplane/crossplane-runtime/v2/apis/common/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func (in *LegacyServiceAccountIAMMember) member() member {
	return member{&in.Spec.ForProvider, &in.Spec.InitProvider, &in.Status.AtProvider}
}

// DeepCopyObject copies all of it.
func (in *LegacyServiceAccountIAMMember) DeepCopyObject() runtime.Object {
	out := &LegacyServiceAccountIAMMember{}
	deepCopy(in, out)
	return out
}

// GetTerraformResourceType is its type for Terraform.
func (*LegacyServiceAccountIAMMember) GetTerraformResourceType() string { return terraformType }

// GetTerraformSchemaVersion is that of its type.
func (*LegacyServiceAccountIAMMember) GetTerraformSchemaVersion() int { return 0 }

// GetConnectionDetailsMapping is none: there are no secrets.
func (*LegacyServiceAccountIAMMember) GetConnectionDetailsMapping() map[string]string { return nil }

// GetObservation of its status.
func (in *LegacyServiceAccountIAMMember) GetObservation() (map[string]any, error) {
	return toMap(in.Status.AtProvider)
}

// SetObservation of its status.
func (in *LegacyServiceAccountIAMMember) SetObservation(o map[string]any) error {
	return fromMap(o, &in.Status.AtProvider)
}

// GetID of its status.
func (in *LegacyServiceAccountIAMMember) GetID() string { return in.member().id() }

// GetParameters of its spec.
func (in *LegacyServiceAccountIAMMember) GetParameters() (map[string]any, error) {
	return toMap(in.Spec.ForProvider)
}

// SetParameters of its spec.
func (in *LegacyServiceAccountIAMMember) SetParameters(p map[string]any) error {
	return fromMap(p, &in.Spec.ForProvider)
}

// GetInitParameters of its spec.
func (in *LegacyServiceAccountIAMMember) GetInitParameters() (map[string]any, error) {
	return toMap(in.Spec.InitProvider)
}

// GetMergedParameters of its spec.
func (in *LegacyServiceAccountIAMMember) GetMergedParameters(initToo bool) (map[string]any, error) {
	return in.member().merged(initToo)
}

// LateInitialize its spec by what Terraform has read.
func (in *LegacyServiceAccountIAMMember) LateInitialize(attrs []byte) (bool, error) {
	return in.member().lateInitialize(attrs)
}

// GetCondition of its status.
func (in *LegacyServiceAccountIAMMember) GetCondition(t xpv1.ConditionType) xpv1.Condition {
	return in.Status.GetCondition(t)
}

// SetConditions of its status.
func (in *LegacyServiceAccountIAMMember) SetConditions(c ...xpv1.Condition) {
	in.Status.SetConditions(c...)
}

// GetManagementPolicies of its spec.
func (in *LegacyServiceAccountIAMMember) GetManagementPolicies() xpv1.ManagementPolicies {
	return in.Spec.ManagementPolicies
}

// SetManagementPolicies of its spec.
func (in *LegacyServiceAccountIAMMember) SetManagementPolicies(p xpv1.ManagementPolicies) {
	in.Spec.ManagementPolicies = p
}

// GetProviderConfigReference of its spec.
func (in *LegacyServiceAccountIAMMember) GetProviderConfigReference() *xpv1.Reference {
	return in.Spec.ProviderConfigReference
}

// SetProviderConfigReference of its spec.
func (in *LegacyServiceAccountIAMMember) SetProviderConfigReference(r *xpv1.Reference) {
	in.Spec.ProviderConfigReference = r
}

// GetWriteConnectionSecretToReference of its spec.
func (in *LegacyServiceAccountIAMMember) GetWriteConnectionSecretToReference() *xpv1.SecretReference {
	return in.Spec.WriteConnectionSecretToReference
}

// SetWriteConnectionSecretToReference of its spec.
func (in *LegacyServiceAccountIAMMember) SetWriteConnectionSecretToReference(r *xpv1.SecretReference) {
	in.Spec.WriteConnectionSecretToReference = r
}

// GetDeletionPolicy of its spec.
func (in *LegacyServiceAccountIAMMember) GetDeletionPolicy() xpv1.DeletionPolicy {
	return in.Spec.DeletionPolicy
}

// SetDeletionPolicy of its spec.
func (in *LegacyServiceAccountIAMMember) SetDeletionPolicy(p xpv1.DeletionPolicy) {
	in.Spec.DeletionPolicy = p
}
