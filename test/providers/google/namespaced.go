package google

import (
	xpv1 "github.com/crossplane/crossplane-runtime/v2/apis/common/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func (in *ServiceAccountIAMMember) member() member {
	return member{&in.Spec.ForProvider, &in.Spec.InitProvider, &in.Status.AtProvider}
}

// DeepCopyObject copies all of it.
func (in *ServiceAccountIAMMember) DeepCopyObject() runtime.Object {
	out := &ServiceAccountIAMMember{}
	deepCopy(in, out)
	return out
}

// GetTerraformResourceType is its type for Terraform.
func (*ServiceAccountIAMMember) GetTerraformResourceType() string { return terraformType }

// GetTerraformSchemaVersion is that of its type.
func (*ServiceAccountIAMMember) GetTerraformSchemaVersion() int { return 0 }

// GetConnectionDetailsMapping is none: there are no secrets.
func (*ServiceAccountIAMMember) GetConnectionDetailsMapping() map[string]string { return nil }

// GetObservation of its status.
func (in *ServiceAccountIAMMember) GetObservation() (map[string]any, error) {
	return toMap(in.Status.AtProvider)
}

// SetObservation of its status.
func (in *ServiceAccountIAMMember) SetObservation(o map[string]any) error {
	return fromMap(o, &in.Status.AtProvider)
}

// GetID of its status.
func (in *ServiceAccountIAMMember) GetID() string { return in.member().id() }

// GetParameters of its spec.
func (in *ServiceAccountIAMMember) GetParameters() (map[string]any, error) {
	return toMap(in.Spec.ForProvider)
}

// SetParameters of its spec.
func (in *ServiceAccountIAMMember) SetParameters(p map[string]any) error {
	return fromMap(p, &in.Spec.ForProvider)
}

// GetInitParameters of its spec.
func (in *ServiceAccountIAMMember) GetInitParameters() (map[string]any, error) {
	return toMap(in.Spec.InitProvider)
}

// GetMergedParameters of its spec.
func (in *ServiceAccountIAMMember) GetMergedParameters(initToo bool) (map[string]any, error) {
	return in.member().merged(initToo)
}

// LateInitialize its spec by what Terraform has read.
func (in *ServiceAccountIAMMember) LateInitialize(attrs []byte) (bool, error) {
	return in.member().lateInitialize(attrs)
}

// GetCondition of its status.
func (in *ServiceAccountIAMMember) GetCondition(t xpv1.ConditionType) xpv1.Condition {
	return in.Status.GetCondition(t)
}

// SetConditions of its status.
func (in *ServiceAccountIAMMember) SetConditions(c ...xpv1.Condition) { in.Status.SetConditions(c...) }

// GetManagementPolicies of its spec.
func (in *ServiceAccountIAMMember) GetManagementPolicies() xpv1.ManagementPolicies {
	return in.Spec.ManagementPolicies
}

// SetManagementPolicies of its spec.
func (in *ServiceAccountIAMMember) SetManagementPolicies(p xpv1.ManagementPolicies) {
	in.Spec.ManagementPolicies = p
}

// GetProviderConfigReference of its spec.
func (in *ServiceAccountIAMMember) GetProviderConfigReference() *xpv1.ProviderConfigReference {
	return in.Spec.ProviderConfigReference
}

// SetProviderConfigReference of its spec.
func (in *ServiceAccountIAMMember) SetProviderConfigReference(r *xpv1.ProviderConfigReference) {
	in.Spec.ProviderConfigReference = r
}

// GetWriteConnectionSecretToReference of its spec.
func (in *ServiceAccountIAMMember) GetWriteConnectionSecretToReference() *xpv1.LocalSecretReference {
	return in.Spec.WriteConnectionSecretToReference
}

// SetWriteConnectionSecretToReference of its spec.
func (in *ServiceAccountIAMMember) SetWriteConnectionSecretToReference(r *xpv1.LocalSecretReference) {
	in.Spec.WriteConnectionSecretToReference = r
}
