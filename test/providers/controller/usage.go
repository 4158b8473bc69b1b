package controller

import (
	"context"

	xpv1 "github.com/crossplane/crossplane-runtime/v2/apis/common/v1"
	xpresource "github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpunstructured "github.com/crossplane/crossplane-runtime/v2/pkg/resource/unstructured"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// track that a managed resource uses its ProviderConfig, by crossplane-runtime's own
// trackers. Without the right to write that down, nothing else is done for the resource.
func track(ctx context.Context, c client.Client, mg xpresource.Managed, family string) error {
	c = xpunstructured.NewClient(c)
	switch mg := mg.(type) {
	case xpresource.LegacyManaged: //nolint:staticcheck // What claims compose is of the old kind.
		u := &legacyUsage{newUsage(family)}
		return xpresource.NewLegacyProviderConfigUsageTracker(c, u).Track(ctx, mg) //nolint:wrapcheck // The caller says what it is.
	case xpresource.ModernManaged:
		u := &modernUsage{newUsage(namespacedFamily(family))}
		return xpresource.NewProviderConfigUsageTracker(c, u).Track(ctx, mg) //nolint:wrapcheck // The caller says what it is.
	default:
		return errNoProviderConfig
	}
}

// A usage is a ProviderConfigUsage, whose form is that of all providers.
type usage struct{ unstructured.Unstructured }

func newUsage(group string) usage {
	u := usage{}
	u.SetAPIVersion(group + "/v1beta1")
	u.SetKind("ProviderConfigUsage")
	return u
}

// GetUnstructured is what clients read and write.
func (u *usage) GetUnstructured() *unstructured.Unstructured { return &u.Unstructured }

func (u *usage) text(fields ...string) string {
	s, _, _ := unstructured.NestedString(u.Object, fields...)
	return s
}

func (u *usage) refer(field string, to map[string]any) { u.Object[field] = to }

// GetResourceReference is the managed resource.
func (u *usage) GetResourceReference() xpv1.TypedReference {
	return xpv1.TypedReference{
		APIVersion: u.text("resourceRef", "apiVersion"), Kind: u.text("resourceRef", "kind"), Name: u.text("resourceRef", "name"),
	}
}

// SetResourceReference to the managed resource.
func (u *usage) SetResourceReference(r xpv1.TypedReference) {
	u.refer("resourceRef", map[string]any{"apiVersion": r.APIVersion, "kind": r.Kind, "name": r.Name})
}

// A legacyUsage is by a cluster-scoped managed resource.
type legacyUsage struct{ usage }

// DeepCopyObject copies all of it.
func (u *legacyUsage) DeepCopyObject() runtime.Object {
	return &legacyUsage{usage{*u.DeepCopy()}}
}

// GetProviderConfigReference of the managed resource.
func (u *legacyUsage) GetProviderConfigReference() xpv1.Reference {
	return xpv1.Reference{Name: u.text("providerConfigRef", "name")}
}

// SetProviderConfigReference of the managed resource.
func (u *legacyUsage) SetProviderConfigReference(r xpv1.Reference) {
	u.refer("providerConfigRef", map[string]any{"name": r.Name})
}

// A modernUsage is by a namespaced managed resource, and is in its namespace.
type modernUsage struct{ usage }

// DeepCopyObject copies all of it.
func (u *modernUsage) DeepCopyObject() runtime.Object {
	return &modernUsage{usage{*u.DeepCopy()}}
}

// GetProviderConfigReference of the managed resource.
func (u *modernUsage) GetProviderConfigReference() xpv1.ProviderConfigReference {
	return xpv1.ProviderConfigReference{Kind: u.text("providerConfigRef", "kind"), Name: u.text("providerConfigRef", "name")}
}

// SetProviderConfigReference of the managed resource.
func (u *modernUsage) SetProviderConfigReference(r xpv1.ProviderConfigReference) {
	u.refer("providerConfigRef", map[string]any{"kind": r.Kind, "name": r.Name})
}
