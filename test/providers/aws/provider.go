// Package aws is provider-aws v2.5.0 as far as the function composes something of
// it: its Go types, its configuration of upjet, and a provider of Terraform with
// the resources that these need.
package aws

import (
	"context"
	"fmt"
	"strings"
	_ "unsafe" // For the scheme of the resolvers.

	xpresource "github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	"github.com/crossplane/upjet/v2/pkg/config"
	upjet "github.com/crossplane/upjet/v2/pkg/terraform"
	fwresource "github.com/hashicorp/terraform-plugin-framework/resource"
	rschema "github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	clustereks "github.com/upbound/provider-aws/v2/apis/cluster/eks/v1beta1"
	clustereksv1beta2 "github.com/upbound/provider-aws/v2/apis/cluster/eks/v1beta2"
	clusteriam "github.com/upbound/provider-aws/v2/apis/cluster/iam/v1beta1"
	eks "github.com/upbound/provider-aws/v2/apis/namespaced/eks/v1beta1"
	iam "github.com/upbound/provider-aws/v2/apis/namespaced/iam/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	runtimeschema "k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
	"github.com/serviceconnections/function-service-connections/test/providers/controller"
)

// The generated resolvers look what is referred to up in a scheme of an internal
// package, which only the provider's main fills. It can't be imported, but linked
// to.
//
//go:linkname buildResolverScheme github.com/upbound/provider-aws/v2/internal/apis.BuildScheme
func buildResolverScheme(sb runtime.SchemeBuilder) error

// Provider over a cloud.
func Provider(cloud cloudapi.Client) (controller.Provider, error) {
	s := runtime.SchemeBuilder{
		iam.SchemeBuilder.AddToScheme, eks.SchemeBuilder.AddToScheme, clusteriam.SchemeBuilder.AddToScheme, clustereks.SchemeBuilder.AddToScheme,
		clustereksv1beta2.SchemeBuilder.AddToScheme, // The resolvers know clusters by this version.
	}
	if err := buildResolverScheme(s); err != nil {
		return controller.Provider{}, fmt.Errorf("cannot build scheme: %w", err)
	}
	var kinds []controller.Kind
	for _, k := range []struct {
		terraform  string
		sdk        *schema.Resource
		framework  fwresource.Resource
		external   func() config.ExternalName
		namespaced runtimeschema.GroupVersionKind
		object     client.Object
		cluster    runtimeschema.GroupVersionKind
		legacy     client.Object
	}{
		{"aws_iam_role", role(), nil, name, iam.Role_GroupVersionKind, &iam.Role{}, clusteriam.Role_GroupVersionKind, &clusteriam.Role{}},
		{"aws_iam_policy", policy(), nil, policyName, iam.Policy_GroupVersionKind, &iam.Policy{}, clusteriam.Policy_GroupVersionKind, &clusteriam.Policy{}},
		{"aws_iam_role_policy_attachment", rolePolicyAttachment(), nil, given, iam.RolePolicyAttachment_GroupVersionKind, &iam.RolePolicyAttachment{}, clusteriam.RolePolicyAttachment_GroupVersionKind, &clusteriam.RolePolicyAttachment{}},
		{"aws_eks_pod_identity_association", tagged(), &association{}, associationID, eks.PodIdentityAssociation_GroupVersionKind, &eks.PodIdentityAssociation{}, clustereks.PodIdentityAssociation_GroupVersionKind, &clustereks.PodIdentityAssociation{}},
	} {
		for gvk, object := range map[runtimeschema.GroupVersionKind]client.Object{k.namespaced: k.object, k.cluster: k.legacy} {
			kinds = append(kinds, controller.Kind{GroupVersionKind: gvk, Object: object, Resource: configured(k.terraform, k.sdk, k.framework, k.external())})
		}
	}
	return controller.Provider{Scheme: s, Kinds: kinds, Setup: setup(cloud)}, nil
}

// configured for upjet as provider-aws configures it (config/registry_namespaced.go and
// registry_cluster.go, the default options; config/overrides.go).
func configured(name string, sdk *schema.Resource, framework fwresource.Resource, external config.ExternalName) *config.Resource {
	r := config.DefaultResource(name, sdk, framework, nil)
	r.Version, r.ControllerReconcileVersion = "v1beta1", "v1beta1" //nolint:staticcheck // As the generated code has it.
	r.ExternalName = external
	r.ExternalName.OmittedFields = append(r.ExternalName.OmittedFields, "name_prefix")
	if _, ok := sdk.Schema["tags"]; ok {
		r.InitializerFns = append(r.InitializerFns, config.TagInitializer)
	}
	if framework != nil {
		r.TerraformPluginFrameworkIsStateEmptyFn = isEmpty
	}
	return r
}

// tagged is as much as upjet asks of the schema of a resource that is made with
// the framework.
func tagged() *schema.Resource {
	return &schema.Resource{Schema: map[string]*schema.Schema{"tags": tags()}}
}

// External names as provider-aws has them (config/externalname.go).

func name() config.ExternalName  { return config.NameAsIdentifier }
func given() config.ExternalName { return config.IdentifierFromProvider }

// policyName is part of the ARN, which is the id.
func policyName() config.ExternalName {
	e := config.NameAsIdentifier
	e.GetIDFn = func(_ context.Context, externalName string, parameters, setup map[string]any) (string, error) {
		path, ok := parameters["path"]
		if !ok {
			path = "/"
		}
		caller, _ := setup["client_metadata"].(map[string]string)
		return fmt.Sprintf("arn:%s:iam::%s:policy%s%s", caller["partition"], caller["account_id"], path, externalName), nil
	}
	e.GetExternalNameFn = func(state map[string]any) (string, error) {
		id, ok := state["id"].(string)
		if !ok {
			return "", fmt.Errorf("id attribute missing from state file")
		}
		return id[strings.LastIndex(id, "/")+1:], nil
	}
	return e
}

// noID stands for an association's id until EKS has given one, since Terraform
// wants one that looks like it.
const noID = "a-stubassocid123456"

// associationID of the status counts, and the external name where there is none.
func associationID() config.ExternalName {
	e := config.IdentifierFromProvider
	e.SetIdentifierArgumentFn = func(args map[string]any, externalName string) {
		if id, ok := args["association_id"]; ok && id != noID {
			return
		}
		args["association_id"] = externalName
		if externalName == "" {
			args["association_id"] = noID
		}
	}
	return e
}

// isEmpty says whether there is nothing in a state but the region, which
// terraform-provider-aws puts into every one (config/overrides.go,
// tfStateVlueIsEmpty).
func isEmpty(_ context.Context, v tftypes.Value, _ rschema.Schema) (bool, error) {
	if v.IsNull() {
		return true, nil
	}
	fields := map[string]tftypes.Value{}
	if err := v.As(&fields); err != nil {
		return false, fmt.Errorf("cannot read state: %w", err)
	}
	for name, f := range fields {
		if name != "region" && f.IsKnown() && !f.IsNull() {
			return false, nil
		}
	}
	return true, nil
}

// setup as internal/clients/aws.go's SelectTerraformSetup.
func setup(cloud cloudapi.Client) upjet.SetupFn {
	return func(ctx context.Context, c client.Client, mg xpresource.Managed) (upjet.Setup, error) {
		if _, err := controller.ProviderConfig(ctx, c, mg, "aws.upbound.io"); err != nil {
			return upjet.Setup{}, err
		}
		account, err := cloud.GetCallerIdentity(ctx)
		if err != nil {
			return upjet.Setup{}, fmt.Errorf("cannot get account id: cannot get the caller identity: %w", err)
		}
		return upjet.Setup{
			Meta: cloud, FrameworkProvider: &framework{cloud}, Configuration: map[string]any{},
			ClientMetadata: map[string]string{"account_id": account, "partition": "aws"},
		}, nil
	}
}
