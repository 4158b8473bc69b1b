package controller

import (
	"context"
	"errors"
	"fmt"

	xpresource "github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ProviderConfig returns the spec of the one that a managed resource names, as the
// providers' resolveProviderConfig does (provider-azure v2.6.0,
// internal/clients/azure.go; the others the same), and tracks its use. Family is such as
// azure.upbound.io.
func ProviderConfig(ctx context.Context, c client.Client, mg xpresource.Managed, family string) (map[string]any, error) {
	pc := &unstructured.Unstructured{}
	key := types.NamespacedName{}
	switch mg := mg.(type) {
	case xpresource.LegacyManaged: //nolint:staticcheck // What claims compose is of the old kind.
		ref := mg.GetProviderConfigReference()
		if ref == nil {
			return nil, errNoProviderConfig
		}
		key.Name = ref.Name
		pc.SetGroupVersionKind(schema.GroupVersionKind{Group: family, Version: "v1beta1", Kind: "ProviderConfig"})
	case xpresource.ModernManaged:
		ref := mg.GetProviderConfigReference()
		if ref == nil {
			return nil, errNoProviderConfig
		}
		key.Name = ref.Name
		if ref.Kind == "ProviderConfig" {
			key.Namespace = mg.GetNamespace()
		}
		pc.SetGroupVersionKind(schema.GroupVersionKind{Group: namespacedFamily(family), Version: "v1beta1", Kind: ref.Kind})
	}
	if err := c.Get(ctx, key, pc); err != nil {
		return nil, fmt.Errorf("cannot get referenced ProviderConfig: %w", err)
	}
	if err := track(ctx, c, mg, family); err != nil {
		return nil, fmt.Errorf("cannot track ProviderConfig usage: %w", err)
	}
	spec, _, err := unstructured.NestedMap(pc.Object, "spec")
	if err != nil {
		return nil, fmt.Errorf("cannot get referenced ProviderConfig: %w", err)
	}
	return spec, nil
}

var errNoProviderConfig = errors.New("no providerConfigRef provided")

// namespacedFamily of a family: azure.m.upbound.io of azure.upbound.io.
func namespacedFamily(family string) string {
	const domain = ".upbound.io"
	return family[:len(family)-len(domain)] + ".m" + domain
}
