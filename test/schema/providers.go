package schema

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/serviceconnections/function-service-connections/test/modules"
)

// definitions are the files, by provider module, that hold the
// CustomResourceDefinitions of everything that the function composes.
var definitions = map[string][]string{
	"github.com/upbound/provider-aws/v2": {
		"iam.aws.upbound.io_roles.yaml",
		"iam.aws.m.upbound.io_roles.yaml",
		"iam.aws.upbound.io_policies.yaml",
		"iam.aws.m.upbound.io_policies.yaml",
		"iam.aws.upbound.io_rolepolicyattachments.yaml",
		"iam.aws.m.upbound.io_rolepolicyattachments.yaml",
		"eks.aws.upbound.io_podidentityassociations.yaml",
		"eks.aws.m.upbound.io_podidentityassociations.yaml",
	},
	"github.com/upbound/provider-azure/v2": {
		"managedidentity.azure.upbound.io_userassignedidentities.yaml",
		"managedidentity.azure.m.upbound.io_userassignedidentities.yaml",
		"managedidentity.azure.upbound.io_federatedidentitycredentials.yaml",
		"managedidentity.azure.m.upbound.io_federatedidentitycredentials.yaml",
	},
	"github.com/upbound/provider-gcp": {
		serviceAccountIAMMembers,
	},
	"github.com/crossplane-contrib/provider-kubernetes": {
		"kubernetes.crossplane.io_objects.yaml",
		"kubernetes.m.crossplane.io_objects.yaml",
	},
}

const serviceAccountIAMMembers = "cloudplatform.gcp.upbound.io_serviceaccountiammembers.yaml"

// configDefinitions are the files, by provider module, that hold the
// CustomResourceDefinitions of ProviderConfigs.
var configDefinitions = map[string][]string{
	"github.com/upbound/provider-aws/v2": {
		"aws.upbound.io_providerconfigs.yaml",
		"aws.upbound.io_providerconfigusages.yaml",
		"aws.m.upbound.io_providerconfigusages.yaml",
		"aws.m.upbound.io_clusterproviderconfigs.yaml",
	},
	"github.com/upbound/provider-azure/v2": {
		"azure.upbound.io_providerconfigs.yaml",
		"azure.upbound.io_providerconfigusages.yaml",
		"azure.m.upbound.io_providerconfigusages.yaml",
		"azure.m.upbound.io_clusterproviderconfigs.yaml",
	},
	"github.com/upbound/provider-gcp": {
		googleProviderConfigs,
		googleProviderConfigUsages,
	},
	"github.com/crossplane-contrib/provider-kubernetes": {
		"kubernetes.crossplane.io_providerconfigs.yaml",
		"kubernetes.crossplane.io_providerconfigusages.yaml",
		"kubernetes.m.crossplane.io_providerconfigs.yaml",
		"kubernetes.m.crossplane.io_clusterproviderconfigs.yaml",
		"kubernetes.m.crossplane.io_providerconfigusages.yaml",
	},
}

const (
	googleProviderConfigs      = "gcp.upbound.io_providerconfigs.yaml"
	googleProviderConfigUsages = "gcp.upbound.io_providerconfigusages.yaml"
)

// Providers returns a Validator of all kinds that the function composes, at the
// versions of tools/providers/go.mod. The test fails if they can't be read.
func Providers(tb testing.TB) *Validator {
	tb.Helper()

	v, err := providers()
	if err != nil {
		tb.Fatalf("cannot load the providers' CustomResourceDefinitions: %v", err)
	}

	return v
}

var providers = sync.OnceValues(func() (*Validator, error) {
	crds, err := ProviderDefinitions(context.Background())
	if err != nil {
		return nil, err
	}

	return New(slices.Concat(slices.Collect(maps.Values(crds))...)...), nil
})

// ProviderConfigDefinitions returns the CustomResourceDefinitions by which clusters
// are told whose credentials providers use, by the path of their provider's module.
func ProviderConfigDefinitions(ctx context.Context) (map[string][]*apiextensionsv1.CustomResourceDefinition, error) {
	dirs, err := modules.Dirs(ctx, "providers", slices.Collect(maps.Keys(configDefinitions))...)
	if err != nil {
		return nil, fmt.Errorf("cannot find the providers: %w", err)
	}

	crds := map[string][]*apiextensionsv1.CustomResourceDefinition{}

	for module, files := range configDefinitions {
		for _, file := range files {
			crd, err := read(filepath.Join(dirs[module], "package", "crds", file))
			if err != nil {
				return nil, err
			}

			crds[module] = append(crds[module], crd)

			switch file {
			case googleProviderConfigs:
				crds[module] = append(crds[module], clusterProviderConfig(crd))
			case googleProviderConfigUsages:
				crds[module] = append(crds[module], namespacedProviderConfigUsage(crd))
			}
		}
	}

	return crds, nil
}

// clusterProviderConfig DERIVES gcp.m.upbound.io/v1beta1 ClusterProviderConfig from
// gcp.upbound.io/v1beta1 ProviderConfig: those of the other providers differ in
// their names only. See namespacedIAMMember.
func clusterProviderConfig(cluster *apiextensionsv1.CustomResourceDefinition) *apiextensionsv1.CustomResourceDefinition {
	crd := cluster.DeepCopy()
	crd.Spec.Group = "gcp.m.upbound.io"
	crd.Spec.Names.Kind, crd.Spec.Names.ListKind = "ClusterProviderConfig", "ClusterProviderConfigList"
	crd.Spec.Names.Plural, crd.Spec.Names.Singular = "clusterproviderconfigs", "clusterproviderconfig"
	crd.Name = crd.Spec.Names.Plural + "." + crd.Spec.Group

	return crd
}

// namespacedProviderConfigUsage DERIVES gcp.m.upbound.io/v1beta1 ProviderConfigUsage from
// gcp.upbound.io/v1beta1 ProviderConfigUsage, as the other providers' differ: its scope,
// and that its providerConfigRef has a kind.
func namespacedProviderConfigUsage(cluster *apiextensionsv1.CustomResourceDefinition) *apiextensionsv1.CustomResourceDefinition {
	crd := cluster.DeepCopy()
	crd.Spec.Group = "gcp.m.upbound.io"
	crd.Spec.Scope = apiextensionsv1.NamespaceScoped
	crd.Name = crd.Spec.Names.Plural + "." + crd.Spec.Group

	str := apiextensionsv1.JSONSchemaProps{Type: "string"}

	for i := range crd.Spec.Versions {
		crd.Spec.Versions[i].Schema.OpenAPIV3Schema.Properties["providerConfigRef"] = apiextensionsv1.JSONSchemaProps{
			Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{"kind": str, "name": str}, Required: []string{"kind", "name"},
		}
	}

	return crd
}

// ProviderDefinitions returns the CustomResourceDefinitions of all kinds that the
// function composes, by the path of their provider's module.
func ProviderDefinitions(ctx context.Context) (map[string][]*apiextensionsv1.CustomResourceDefinition, error) {
	dirs, err := modules.Dirs(ctx, "providers", slices.Collect(maps.Keys(definitions))...)
	if err != nil {
		return nil, fmt.Errorf("cannot find the providers: %w", err)
	}

	crds := map[string][]*apiextensionsv1.CustomResourceDefinition{}

	for module, files := range definitions {
		for _, file := range files {
			crd, err := read(filepath.Join(dirs[module], "package", "crds", file))
			if err != nil {
				return nil, err
			}

			crds[module] = append(crds[module], crd)

			if file == serviceAccountIAMMembers {
				derived, err := namespacedIAMMember(crd)
				if err != nil {
					return nil, err
				}

				crds[module] = append(crds[module], derived)
			}
		}
	}

	return crds, nil
}

// namespacedIAMMember DERIVES the CustomResourceDefinition of
// cloudplatform.gcp.m.upbound.io/v1beta1 ServiceAccountIAMMember from that of
// the cluster-scoped kind. The real one is newer than the last release of
// provider-gcp that the Go module proxy has (v1.14.0), so this is how the
// namespaced kinds of the same family of providers differ from their
// cluster-scoped ones, not what that provider ships:
//
//   - group with .m., scope Namespaced, and a single version v1beta1, which has
//     the fields of the cluster-scoped v1beta2 (condition is an object);
//   - providerConfigRef requires kind and name, defaults to
//     ClusterProviderConfig default, and has no policy;
//   - neither deletionPolicy nor publishConnectionDetailsTo;
//   - writeConnectionSecretToRef has no namespace;
//   - references and selectors may name a namespace.
func namespacedIAMMember(cluster *apiextensionsv1.CustomResourceDefinition) (*apiextensionsv1.CustomResourceDefinition, error) {
	crd := cluster.DeepCopy()
	crd.Spec.Group = "cloudplatform.gcp.m.upbound.io"
	crd.Spec.Scope = apiextensionsv1.NamespaceScoped
	crd.Name = crd.Spec.Names.Plural + "." + crd.Spec.Group

	var version *apiextensionsv1.CustomResourceDefinitionVersion

	for i := range crd.Spec.Versions {
		if crd.Spec.Versions[i].Name == "v1beta2" {
			version = &crd.Spec.Versions[i]
		}
	}

	if version == nil {
		return nil, fmt.Errorf("cannot derive %s: %s has no version v1beta2", crd.Name, cluster.Name)
	}

	version.Name = "v1beta1"
	version.Storage = true
	crd.Spec.Versions = []apiextensionsv1.CustomResourceDefinitionVersion{*version}

	str := apiextensionsv1.JSONSchemaProps{Type: "string"}
	spec := version.Schema.OpenAPIV3Schema.Properties["spec"]

	delete(spec.Properties, "deletionPolicy")
	delete(spec.Properties, "publishConnectionDetailsTo")

	config := spec.Properties["providerConfigRef"]
	config.Default = &apiextensionsv1.JSON{Raw: []byte(`{"kind":"ClusterProviderConfig","name":"default"}`)}
	config.Properties = map[string]apiextensionsv1.JSONSchemaProps{"kind": str, "name": str}
	config.Required = []string{"kind", "name"}
	spec.Properties["providerConfigRef"] = config

	secret := spec.Properties["writeConnectionSecretToRef"]
	secret.Properties = map[string]apiextensionsv1.JSONSchemaProps{"name": str}
	secret.Required = []string{"name"}
	spec.Properties["writeConnectionSecretToRef"] = secret

	for _, provider := range []string{"forProvider", "initProvider"} {
		for _, reference := range []string{"serviceAccountIdRef", "serviceAccountIdSelector"} {
			spec.Properties[provider].Properties[reference].Properties["namespace"] = str
		}
	}

	return crd, nil
}
