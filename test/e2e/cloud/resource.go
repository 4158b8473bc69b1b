package cloud

import (
	xpv1 "github.com/crossplane/crossplane-runtime/v2/apis/common/v1"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// A managedResource is a managed resource of any kind: its spec is as it was
// written, its status as every provider writes it.
type managedResource struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec   map[string]any `json:"spec"`
	Status status         `json:"status,omitzero"`
}

type status struct {
	xpv1.ResourceStatus `json:",inline"`

	AtProvider map[string]any `json:"atProvider,omitempty"`
}

// text in spec.forProvider.
func (m *managedResource) text(field string) string {
	s, _, _ := unstructured.NestedString(m.Spec, "forProvider", field)
	return s
}

// claimNamespace is where the claim is that composed the resource.
func (m *managedResource) claimNamespace() string {
	if m.Namespace != "" {
		return m.Namespace
	}
	return m.Labels["crossplane.io/claim-namespace"]
}

func (m *managedResource) externalName() string { return meta.GetExternalName(m) }

func (m *managedResource) self() *managedResource { return m }

// GetManagementPolicies of the resource; every provider defaults to all.
func (m *managedResource) GetManagementPolicies() xpv1.ManagementPolicies {
	list, _, _ := unstructured.NestedStringSlice(m.Spec, "managementPolicies")
	policies := make(xpv1.ManagementPolicies, len(list))
	for i, p := range list {
		policies[i] = xpv1.ManagementAction(p)
	}
	return policies
}

// SetManagementPolicies is never called by a reconciler.
func (*managedResource) SetManagementPolicies(xpv1.ManagementPolicies) {}

// SetConditions of the resource's status.
func (m *managedResource) SetConditions(c ...xpv1.Condition) { m.Status.SetConditions(c...) }

// GetCondition of the resource's status.
func (m *managedResource) GetCondition(t xpv1.ConditionType) xpv1.Condition {
	return m.Status.GetCondition(t)
}

// SetObservedGeneration of the resource's status.
func (m *managedResource) SetObservedGeneration(g int64) { m.Status.SetObservedGeneration(g) }

// GetObservedGeneration of the resource's status.
func (m *managedResource) GetObservedGeneration() int64 { return m.Status.GetObservedGeneration() }

func (m *managedResource) deepCopy() managedResource {
	out := managedResource{TypeMeta: m.TypeMeta, Spec: runtime.DeepCopyJSON(m.Spec)}
	m.DeepCopyInto(&out.ObjectMeta)
	m.Status.DeepCopyInto(&out.Status.ResourceStatus)
	out.Status.AtProvider = runtime.DeepCopyJSON(m.Status.AtProvider)
	return out
}

// namespaced managed resources are of the providers' .m. groups.
type namespaced struct{ managedResource }

var _ resource.Managed = &namespaced{}

// DeepCopyObject copies all of the resource.
func (n *namespaced) DeepCopyObject() runtime.Object { return &namespaced{n.deepCopy()} }

// GetWriteConnectionSecretToReference is none: there are no secrets.
func (*namespaced) GetWriteConnectionSecretToReference() *xpv1.LocalSecretReference { return nil }

// SetWriteConnectionSecretToReference is never called by a reconciler.
func (*namespaced) SetWriteConnectionSecretToReference(*xpv1.LocalSecretReference) {}

// clusterScoped managed resources are what claims compose.
type clusterScoped struct{ managedResource }

var _ resource.LegacyManaged = &clusterScoped{} //nolint:staticcheck // What claims compose is of the old kind.

// DeepCopyObject copies all of the resource.
func (c *clusterScoped) DeepCopyObject() runtime.Object { return &clusterScoped{c.deepCopy()} }

// GetWriteConnectionSecretToReference is none: there are no secrets.
func (*clusterScoped) GetWriteConnectionSecretToReference() *xpv1.SecretReference { return nil }

// SetWriteConnectionSecretToReference is never called by a reconciler.
func (*clusterScoped) SetWriteConnectionSecretToReference(*xpv1.SecretReference) {}

// GetProviderConfigReference of the resource.
func (c *clusterScoped) GetProviderConfigReference() *xpv1.Reference {
	name, _, _ := unstructured.NestedString(c.Spec, "providerConfigRef", "name")
	return &xpv1.Reference{Name: name}
}

// SetProviderConfigReference is never called by a reconciler.
func (*clusterScoped) SetProviderConfigReference(*xpv1.Reference) {}

// GetDeletionPolicy of the resource.
func (c *clusterScoped) GetDeletionPolicy() xpv1.DeletionPolicy {
	p, _, _ := unstructured.NestedString(c.Spec, "deletionPolicy")
	return xpv1.DeletionPolicy(p)
}

// SetDeletionPolicy is never called by a reconciler.
func (*clusterScoped) SetDeletionPolicy(xpv1.DeletionPolicy) {}

// A list of managed resources.
type list[T any, P interface {
	*T
	runtime.Object
}] struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []T `json:"items"`
}

// DeepCopyObject copies all of the list.
func (l *list[T, P]) DeepCopyObject() runtime.Object {
	out := &list[T, P]{TypeMeta: l.TypeMeta, Items: make([]T, len(l.Items))}
	l.DeepCopyInto(&out.ListMeta)
	for i := range l.Items {
		if p, ok := P(&l.Items[i]).DeepCopyObject().(P); ok {
			out.Items[i] = *p
		}
	}
	return out
}
