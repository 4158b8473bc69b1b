package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/serviceconnections/function-service-connections/test/modules"
	"github.com/serviceconnections/function-service-connections/test/schema"
)

// Providers that can be installed, by the last element of their module's path.
const (
	ProviderAWS        = "provider-aws"
	ProviderAzure      = "provider-azure"
	ProviderGCP        = "provider-gcp"
	ProviderKubernetes = "provider-kubernetes"
)

// AllProviders whose kinds the function composes.
func AllProviders() []string {
	return []string{ProviderAWS, ProviderAzure, ProviderGCP, ProviderKubernetes}
}

// InstallProviders applies the CustomResourceDefinitions of providers and grants
// Crossplane rights on them, as its package manager and RBAC manager do, and their
// ProviderConfigs. Nothing reconciles their resources until StartProviders.
func (c *ControlPlane) InstallProviders(ctx context.Context, names ...string) error {
	return c.installProviders(ctx, crdObject, c.installDefinition, names)
}

// InstallInactiveProviders as Crossplane does where they start safely: of each managed
// resource it makes a ManagedResourceDefinition, and no CustomResourceDefinition until a
// ManagedResourceActivationPolicy names it (crossplane, internal/converter,
// custom_to_managed.go). ProviderConfigs are there at once.
func (c *ControlPlane) InstallInactiveProviders(ctx context.Context, names ...string) error {
	return c.installProviders(ctx, mrdObject, c.installManagedDefinition, names)
}

// What a provider's package defines its kinds by.
var (
	crdObject = object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "")
	mrdObject = object("apiextensions.crossplane.io/v1alpha1", "ManagedResourceDefinition", "")
)

func (c *ControlPlane) installProviders(ctx context.Context, as *unstructured.Unstructured, install func(context.Context, *apiextensionsv1.CustomResourceDefinition) error, names []string) error {
	var resources []string
	for _, name := range names {
		crds, err := definitions(ctx, name)
		if err != nil {
			return err
		}
		for _, crd := range crds {
			if err := install(ctx, crd); err != nil {
				return err
			}
			resources = append(resources, crd.Name)
		}
		configs, err := configDefinitions(ctx, name)
		if err != nil {
			return err
		}
		for _, crd := range configs {
			if err := c.installDefinition(ctx, crd); err != nil {
				return err
			}
		}
		if err := errors.Join(c.registerProvider(ctx, name, slices.Concat(references(as, crds), references(crdObject, configs))), c.configureProvider(ctx, name)); err != nil {
			return err
		}
	}
	return c.GrantRoles(ctx, resources...)
}

// InstallArgoRollouts as far as the API server knows it: its CustomResourceDefinition.
func (c *ControlPlane) InstallArgoRollouts(ctx context.Context) error {
	const module = "github.com/argoproj/argo-rollouts"
	dirs, err := modules.Dirs(ctx, "argo-rollouts", module)
	if err != nil {
		return fmt.Errorf("cannot find Argo Rollouts: %w", err)
	}
	crd, err := os.ReadFile(filepath.Join(dirs[module], "manifests", "crds", "rollout-crd.yaml"))
	if err != nil {
		return fmt.Errorf("cannot read the CustomResourceDefinition of Argo Rollouts: %w", err)
	}
	if err := c.ApplyYAML(ctx, string(crd)); err != nil {
		return err
	}
	return c.AwaitCondition(ctx, "apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "rollouts.argoproj.io", "Established")
}

// UninstallProvider deletes a provider's CustomResourceDefinitions, and with
// them all of its resources.
func (c *ControlPlane) UninstallProvider(ctx context.Context, name string) error {
	crds, err := definitions(ctx, name)
	if err != nil {
		return err
	}
	for _, crd := range crds {
		if err := c.warmUp(ctx, crd); err != nil {
			return err
		}
		if err := c.Client.Delete(ctx, object("apiextensions.k8s.io/v1", "CustomResourceDefinition", crd.Name)); err != nil {
			return fmt.Errorf("cannot delete CustomResourceDefinition %s: %w", crd.Name, err)
		}
	}
	return nil
}

// warmUp the API server's storage of a kind. Otherwise it fails to list what it
// must delete with the CustomResourceDefinition (storage is (re)initializing), and
// its next try may be lost to a conflict with what it wrote about the first
// (apiextensions-apiserver, crd_finalizer.go, updateCustomResourceDefinition).
func (c *ControlPlane) warmUp(ctx context.Context, crd *apiextensionsv1.CustomResourceDefinition) error {
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion(crd.Spec.Group + "/" + crd.Spec.Versions[0].Name)
	list.SetKind(crd.Spec.Names.ListKind)
	return inTime(ctx, func(ctx context.Context) error {
		return Poll(ctx, func(ctx context.Context) error {
			if err := c.Client.List(ctx, list); err != nil {
				return fmt.Errorf("cannot list %s: %w", crd.Name, err)
			}
			return nil
		})
	})
}

// Uninstalled returns nil once nothing is left of a provider's
// CustomResourceDefinitions.
func (c *ControlPlane) Uninstalled(ctx context.Context, name string) error {
	crds, err := definitions(ctx, name)
	if err != nil {
		return err
	}
	for _, crd := range crds {
		u, err := c.Get(ctx, "apiextensions.k8s.io/v1", "CustomResourceDefinition", "", crd.Name)
		if err != nil {
			return err
		}
		if u != nil {
			conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
			return fmt.Errorf("CustomResourceDefinition %s is there: %v", crd.Name, conditions)
		}
	}
	return nil
}

// definitions of a provider.
func definitions(ctx context.Context, name string) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	all, err := schema.ProviderDefinitions(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot read CustomResourceDefinitions of providers: %w", err)
	}
	return ofProvider(all, name)
}

// configDefinitions are those of a provider's ProviderConfigs.
func configDefinitions(ctx context.Context, name string) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	all, err := schema.ProviderConfigDefinitions(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot read CustomResourceDefinitions of ProviderConfigs: %w", err)
	}
	return ofProvider(all, name)
}

func (c *ControlPlane) installDefinition(ctx context.Context, crd *apiextensionsv1.CustomResourceDefinition) error {
	if err := c.applyDefinition(ctx, crdObject, crd); err != nil {
		return err
	}
	return c.AwaitCondition(ctx, crdObject.GetAPIVersion(), crdObject.GetKind(), "", crd.Name, "Established")
}

// installManagedDefinition, which Crossplane then says is inactive.
func (c *ControlPlane) installManagedDefinition(ctx context.Context, crd *apiextensionsv1.CustomResourceDefinition) error {
	if err := c.applyDefinition(ctx, mrdObject, crd); err != nil {
		return err
	}
	return inTime(ctx, func(ctx context.Context) error {
		return Poll(ctx, func(ctx context.Context) error {
			u, err := c.Get(ctx, mrdObject.GetAPIVersion(), mrdObject.GetKind(), "", crd.Name)
			if err != nil || u == nil {
				return errors.Join(err, fmt.Errorf("there is no ManagedResourceDefinition %s", crd.Name))
			}
			conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
			for _, v := range conditions {
				if m, _ := v.(map[string]any); m["type"] == "Established" && m["status"] == "False" {
					return nil
				}
			}
			return fmt.Errorf("ManagedResourceDefinition %s isn't seen by Crossplane yet: %v", crd.Name, conditions)
		})
	})
}

// applyDefinition of a kind as an object of a kind that defines kinds.
func (c *ControlPlane) applyDefinition(ctx context.Context, as *unstructured.Unstructured, crd *apiextensionsv1.CustomResourceDefinition) error {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(crd)
	if err != nil {
		return fmt.Errorf("cannot encode CustomResourceDefinition %s: %w", crd.Name, err)
	}
	u := &unstructured.Unstructured{Object: m}
	u.SetAPIVersion(as.GetAPIVersion())
	u.SetKind(as.GetKind())
	// No webhook runs here that could convert between versions, of which the
	// function uses one.
	unstructured.RemoveNestedField(u.Object, "spec", "conversion")
	unstructured.RemoveNestedField(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	return c.Apply(ctx, u)
}

// registerProvider as the package manager does once it has installed its definitions.
func (c *ControlPlane) registerProvider(ctx context.Context, name string, refs []string) error {
	if err := c.ApplyYAML(ctx, fmt.Sprintf(`
apiVersion: pkg.crossplane.io/v1
kind: ProviderRevision
metadata:
  name: %[1]s-1
  labels: {pkg.crossplane.io/package: %[1]s}
spec:
  desiredState: Inactive
  image: registry.example.org/%[1]s:dev
  revision: 1
`, name)); err != nil {
		return err
	}
	revision, err := c.Get(ctx, "pkg.crossplane.io/v1", "ProviderRevision", "", name+"-1")
	if err != nil || revision == nil {
		return errors.Join(fmt.Errorf("cannot register provider %q", name), err)
	}
	// The RBAC manager gives its rights to the ServiceAccount of its Deployment, of which
	// no pod runs here.
	if err := c.ApplyYAML(ctx, fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[1]s
  namespace: %[2]s
  ownerReferences: [{apiVersion: pkg.crossplane.io/v1, kind: ProviderRevision, name: %[1]s-1, uid: %[3]s, controller: true}]
spec:
  replicas: 0
  selector: {matchLabels: {pkg.crossplane.io/provider: %[1]s}}
  template:
    metadata: {labels: {pkg.crossplane.io/provider: %[1]s}}
    spec:
      serviceAccountName: %[1]s
      containers: [{name: package-runtime, image: registry.example.org/%[1]s:dev}]
`, name, Namespace, revision.GetUID())); err != nil {
		return err
	}
	return ApplyStatus(ctx, c.Client, fmt.Sprintf(`
apiVersion: pkg.crossplane.io/v1
kind: ProviderRevision
metadata: {name: %s-1}
status: {capabilities: [safe-start], objectRefs: [%s]}
`, name, strings.Join(refs, ", ")))
}

// references to definitions, as a package's revision has them.
func references(as *unstructured.Unstructured, crds []*apiextensionsv1.CustomResourceDefinition) []string {
	refs := make([]string, len(crds))
	for i, crd := range crds {
		refs[i] = fmt.Sprintf("{apiVersion: %s, kind: %s, name: %s}", as.GetAPIVersion(), as.GetKind(), crd.Name)
	}
	return refs
}

// A Mode is one of the two packages that offer ServiceConnection.
type Mode string

// The modes, by the folder of their package.
const (
	Namespaced Mode = "package/configuration"
	Claims     Mode = "package/configuration-claims"
)

const (
	// FunctionName that the packages' Compositions call.
	FunctionName = "serviceconnections-function-service-connections"

	// FunctionBinary is what make build writes.
	FunctionBinary = "function-service-connections"
)

// Install everything of this project, as the README says: the function, the
// rights and the admission policies of package/cluster, and one of the two
// configurations.
func (c *ControlPlane) Install(ctx context.Context, mode Mode) error {
	if err := c.StartFunction(ctx, FunctionName, FunctionBinary, "--metrics-address=", "--debug"); err != nil {
		return err
	}
	if err := c.InstallConfiguration(ctx, mode); err != nil {
		return err
	}
	files := []string{
		"package/cluster/rbac.yaml", "package/cluster/teams.yaml",
		"package/cluster/validatingadmissionpolicy.yaml", "package/cluster/composed.yaml",
	}
	if mode == Claims {
		files = append(files, "package/cluster/claims/validatingadmissionpolicy.yaml")
	}
	if err := c.ApplyFiles(ctx, files...); err != nil {
		return err
	}
	if c.HasInjectionPolicy() {
		if err := c.ApplyFiles(ctx, InjectionPolicy); err != nil {
			return err
		}
	}
	return c.AwaitPolicy(ctx)
}

// InstallConfiguration of a mode: XRD and Composition.
func (c *ControlPlane) InstallConfiguration(ctx context.Context, mode Mode) error {
	if err := c.ApplyFiles(ctx, string(mode)+"/definition.yaml", string(mode)+"/composition.yaml"); err != nil {
		return err
	}
	const plural = "serviceconnections.serviceconnections.io"
	resources := []string{plural}
	name, offered := plural, "Established"
	if mode == Claims {
		name, offered = "x"+plural, "Offered"
		resources = append(resources, name)
	}
	// Crossplane offers the kind once it may read it.
	if err := c.GrantRoles(ctx, resources...); err != nil {
		return err
	}
	return c.AwaitCondition(ctx, "apiextensions.crossplane.io/v2", "CompositeResourceDefinition", "", name, offered)
}

// AwaitCondition of an object to be True.
func (c *ControlPlane) AwaitCondition(ctx context.Context, apiVersion, kind, namespace, name, condition string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not done after %s", startTimeout))
	defer cancel()
	return Poll(ctx, func(ctx context.Context) error {
		return c.HasCondition(ctx, apiVersion, kind, namespace, name, condition)
	})
}

// HasCondition returns nil if a condition of an object is True.
func (c *ControlPlane) HasCondition(ctx context.Context, apiVersion, kind, namespace, name, condition string) error {
	u, err := c.Get(ctx, apiVersion, kind, namespace, name)
	if err != nil {
		return err
	}
	if u == nil {
		return fmt.Errorf("%s %q does not exist", kind, name)
	}
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, v := range conditions {
		if m, _ := v.(map[string]any); m["type"] == condition && m["status"] == "True" {
			return nil
		}
	}
	return fmt.Errorf("%s %q is not %s: %v", kind, name, condition, conditions)
}

// object of a kind, by its name.
func object(apiVersion, kind, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetName(name)
	return u
}
