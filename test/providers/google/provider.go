// Package google is provider-gcp as far as the function composes something of it.
package google

import (
	"context"

	xpresource "github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	"github.com/crossplane/upjet/v2/pkg/config"
	upjet "github.com/crossplane/upjet/v2/pkg/terraform"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
	"github.com/serviceconnections/function-service-connections/test/providers/controller"
	"github.com/serviceconnections/function-service-connections/test/providers/terraform"
)

// Provider over a cloud.
func Provider(cloud cloudapi.Client) controller.Provider {
	namespaced := schema.GroupVersionKind{Group: "cloudplatform.gcp.m.upbound.io", Version: "v1beta1", Kind: "ServiceAccountIAMMember"}
	legacy := schema.GroupVersionKind{Group: "cloudplatform.gcp.upbound.io", Version: "v1beta2", Kind: "ServiceAccountIAMMember"}
	return controller.Provider{
		Scheme: runtime.SchemeBuilder{
			adds(namespaced, &ServiceAccountIAMMember{}, &list[ServiceAccountIAMMember]{}),
			adds(legacy, &LegacyServiceAccountIAMMember{}, &list[LegacyServiceAccountIAMMember]{}),
		},
		Setup: setup(cloud),
		Kinds: []controller.Kind{
			{GroupVersionKind: namespaced, Object: &ServiceAccountIAMMember{}, Resource: configured(namespaced.Version)},
			{GroupVersionKind: legacy, Object: &LegacyServiceAccountIAMMember{}, Resource: configured(legacy.Version)},
		},
	}
}

func adds(gvk schema.GroupVersionKind, object, objects runtime.Object) func(*runtime.Scheme) error {
	return func(s *runtime.Scheme) error {
		s.AddKnownTypeWithName(gvk, object)
		s.AddKnownTypeWithName(gvk.GroupVersion().WithKind(gvk.Kind+"List"), objects)
		metav1.AddToGroupVersion(s, gvk.GroupVersion())
		return nil
	}
}

// configured as in provider-gcp v1.14.0, config/externalname.go.
func configured(version string) *config.Resource {
	r := config.DefaultResource(terraformType, serviceAccountIAMMember(), nil, nil)
	r.Version, r.ControllerReconcileVersion = version, version //nolint:staticcheck // As the generated code has it.
	r.ExternalName = config.IdentifierFromProvider
	r.AddSingletonListConversion("condition", "condition")
	r.TerraformConversions = []config.TerraformConversion{config.NewTFSingletonConversion()}
	return r
}

// setup as internal/clients/gcp.go's TerraformSetupBuilder.
func setup(cloud cloudapi.Client) upjet.SetupFn {
	locks := &terraform.Locks{}
	return func(ctx context.Context, c client.Client, mg xpresource.Managed) (upjet.Setup, error) {
		spec, err := controller.ProviderConfig(ctx, c, mg, "gcp.upbound.io")
		if err != nil {
			return upjet.Setup{}, err
		}
		return upjet.Setup{Meta: &google{cloud: cloud, locks: locks}, Configuration: map[string]any{"project": spec["projectID"]}}, nil
	}
}
