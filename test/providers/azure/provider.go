// Package azure is provider-azure v2.6.0 as far as the function composes something
// of it.
package azure

import (
	"context"
	"errors"
	"fmt"
	_ "unsafe" // For the scheme of the resolvers.

	xpresource "github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	"github.com/crossplane/upjet/v2/pkg/config"
	upjet "github.com/crossplane/upjet/v2/pkg/terraform"
	clusterazure "github.com/upbound/provider-azure/v2/apis/cluster/azure/v1beta1"
	cluster "github.com/upbound/provider-azure/v2/apis/cluster/managedidentity/v1beta1"
	azure "github.com/upbound/provider-azure/v2/apis/namespaced/azure/v1beta1"
	namespaced "github.com/upbound/provider-azure/v2/apis/namespaced/managedidentity/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
	"github.com/serviceconnections/function-service-connections/test/providers/controller"
	"github.com/serviceconnections/function-service-connections/test/providers/terraform"
)

// See package aws.
//
//go:linkname buildResolverScheme github.com/upbound/provider-azure/v2/internal/apis.BuildScheme
func buildResolverScheme(sb runtime.SchemeBuilder) error

// azurerm is what its resources have of the provider of Terraform: the
// subscription is that of the ProviderConfig, whatever a resource says.
type azurerm struct {
	cloud        cloudapi.Client
	subscription string
	locks        *terraform.Locks
}

// Provider over a cloud.
func Provider(cloud cloudapi.Client) (controller.Provider, error) {
	s := runtime.SchemeBuilder{
		namespaced.SchemeBuilder.AddToScheme, cluster.SchemeBuilder.AddToScheme,
		azure.SchemeBuilder.AddToScheme, clusterazure.SchemeBuilder.AddToScheme, // Resource groups, for the resolvers.
	}
	if err := buildResolverScheme(s); err != nil {
		return controller.Provider{}, fmt.Errorf("cannot build scheme: %w", err)
	}
	// External names as in config/externalname.go.
	credential := func() *config.Resource {
		r := config.DefaultResource("azurerm_federated_identity_credential", federatedIdentityCredential(), nil, nil)
		r.ExternalName = config.TemplatedStringAsIdentifier("name", "{{ .parameters.parent_id }}/federatedIdentityCredentials/{{ .external_name }}")
		return versioned(r)
	}
	identity := func() *config.Resource {
		r := config.DefaultResource("azurerm_user_assigned_identity", userAssignedIdentity(), nil, nil)
		r.ExternalName = config.IdentifierFromProvider
		return versioned(r)
	}
	return controller.Provider{Scheme: s, Setup: setup(cloud), Kinds: []controller.Kind{
		{GroupVersionKind: namespaced.FederatedIdentityCredential_GroupVersionKind, Object: &namespaced.FederatedIdentityCredential{}, Resource: credential()},
		{GroupVersionKind: cluster.FederatedIdentityCredential_GroupVersionKind, Object: &cluster.FederatedIdentityCredential{}, Resource: credential()},
		{GroupVersionKind: namespaced.UserAssignedIdentity_GroupVersionKind, Object: &namespaced.UserAssignedIdentity{}, Resource: identity()},
		{GroupVersionKind: cluster.UserAssignedIdentity_GroupVersionKind, Object: &cluster.UserAssignedIdentity{}, Resource: identity()},
	}}, nil
}

func versioned(r *config.Resource) *config.Resource {
	r.Version, r.ControllerReconcileVersion = "v1beta1", "v1beta1" //nolint:staticcheck // As the generated code has it.
	return r
}

// setup as internal/clients/azure.go's TerraformSetupBuilder.
func setup(cloud cloudapi.Client) upjet.SetupFn {
	locks := &terraform.Locks{}
	return func(ctx context.Context, c client.Client, mg xpresource.Managed) (upjet.Setup, error) {
		spec, err := controller.ProviderConfig(ctx, c, mg, "azure.upbound.io")
		if err != nil {
			return upjet.Setup{}, err
		}
		subscription, _ := spec["subscriptionID"].(string)
		if subscription == "" {
			return upjet.Setup{}, fmt.Errorf("failed to prepare terraform.Setup: %w", errNoSubscription)
		}
		return upjet.Setup{
			Meta:          &azurerm{cloud: cloud, subscription: subscription, locks: locks},
			Configuration: map[string]any{"subscription_id": subscription},
		}, nil
	}
}

var errNoSubscription = errors.New("subscription ID must be set in ProviderConfig when credential source is InjectedIdentity, OIDCTokenFile or Upbound")
