package connection

import (
	"cmp"
	"slices"
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// Observed is what Crossplane read from the API server for this call.
type Observed struct {
	// Composed resources of this composite resource, by their key.
	Composed map[string]Composed

	// Required objects by the name of their requirement. A nil object does not
	// exist; a missing key has not been answered yet.
	Required map[string]map[string]any
}

// Composed is an observed composed resource.
type Composed struct {
	// Object without its managed fields.
	Object map[string]any

	// ManagedFields of the object, read only where an object must be kept as it
	// is.
	ManagedFields func() []any
}

// Object of a composed resource, nil where it isn't observed.
func (o Observed) Object(key string) map[string]any { return o.Composed[key].Object }

// A Requirement is an object that Crossplane must read and watch.
type Requirement struct {
	APIVersion string
	Kind       string
	Namespace  string
	Name       string
}

// Key names the requirement between calls.
func (r Requirement) Key() string {
	return strings.Join([]string{r.Kind, r.APIVersion, r.Namespace, r.Name}, "|")
}

// Lookup a required object. It is nil where it doesn't exist; known is false
// until Crossplane has answered.
func (o Observed) Lookup(r Requirement) (object map[string]any, known bool) {
	object, known = o.Required[r.Key()]
	return object, known
}

// ServiceAccountRequirement is the ServiceAccount of a name.
func ServiceAccountRequirement(namespace, name string) Requirement {
	return Requirement{APIVersion: "v1", Kind: "ServiceAccount", Namespace: namespace, Name: name}
}

// CRDRequirement asks whether a kind is installed.
func CRDRequirement(name string) Requirement {
	return Requirement{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition", Name: name}
}

// Served says why the API server doesn't serve a kind, by its observed
// CustomResourceDefinition: to ask for an object of such a kind fails the whole
// reconcile.
func Served(crd map[string]any, k Kind) Verdict {
	if condition(crd, "Established").status != "True" {
		return Verdictf(ProviderNotInstalled, "CustomResourceDefinition %q is not installed; ask the platform team to install the provider that has %s", k.CRD, k.Kind)
	}
	_, version, _ := strings.Cut(k.APIVersion, "/")
	known := decoded.At(crd, "spec", "versions") != nil
	if known && !slices.ContainsFunc(decoded.Objects(crd, "spec", "versions"), func(v map[string]any) bool { return v["name"] == version && v["served"] == true }) {
		return Verdictf(ProviderNotInstalled, "CustomResourceDefinition %q is installed, and does not serve version %q; ask the platform team to update the provider that has %s", k.CRD, version, k.Kind)
	}
	return Verdict{}
}

// ManagedDefinition is the kind by which a provider that starts safely says which kinds
// it has, each by the name of its CustomResourceDefinition: Crossplane creates that only
// once a ManagedResourceActivationPolicy names it, and the provider then starts to
// reconcile it. Crossplane has it since 2.0.
var ManagedDefinition = Kind{
	APIVersion: "apiextensions.crossplane.io/v1alpha1", Kind: "ManagedResourceDefinition",
	CRD: "managedresourcedefinitions.apiextensions.crossplane.io",
}

// ManagedDefinitionRequirement asks whether an installed provider has a kind.
func ManagedDefinitionRequirement(k Kind) Requirement {
	return Requirement{APIVersion: ManagedDefinition.APIVersion, Kind: ManagedDefinition.Kind, Name: k.CRD}
}

// Activated says why a kind isn't served that has no CustomResourceDefinition, by its
// observed ManagedResourceDefinition. It finds nothing to say where there is none.
func Activated(definition map[string]any, k Kind) Verdict {
	switch {
	case definition == nil:
		return Verdict{}
	case decoded.Text(definition, "spec", "state") == "Active":
		return Verdictf(Creating, "ManagedResourceDefinition %q is Active, and Crossplane has yet to create its CustomResourceDefinition; if it stays so, ask the platform team to look at its condition Established", k.CRD)
	default:
		return Verdictf(ProviderNotActive, "%s is installed and not active: no ManagedResourceActivationPolicy names it; ask the platform team to add this line to spec.activate of one: - %s", k.Kind, k.CRD)
	}
}

// Name and namespace of an object.
func Name(object map[string]any) (name, namespace string) {
	return decoded.Text(object, "metadata", "name"), decoded.Text(object, "metadata", "namespace")
}

// resourceName is the annotation in which Crossplane keeps a composed resource's
// key (crossplane, composition_functions.go, AnnotationKeyCompositionResourceName).
const resourceName = "crossplane.io/composition-resource-name"

// ComposedAs says whether an object is composed by a composite resource, under a
// key.
func ComposedAs(object map[string]any, uid, key string) bool {
	owner, _ := Controller(object)
	as := Annotation(object, resourceName)
	return owner == uid && (as == "" || as == key)
}

// deleting says whether somebody has deleted an object, which is still there
// because something holds it.
func deleting(object map[string]any) bool {
	return decoded.Text(object, "metadata", "deletionTimestamp") != ""
}

// A conditionState is one condition of an object's status, and when it became so.
type conditionState struct{ status, reason, message, at string }

func condition(object map[string]any, typ string) conditionState {
	for _, v := range decoded.List(object, "status", "conditions") {
		c, _ := v.(map[string]any)
		if c["type"] != typ {
			continue
		}
		s, _ := c["status"].(string)
		r, _ := c["reason"].(string)
		m, _ := c["message"].(string)
		at, _ := c["lastTransitionTime"].(string)
		return conditionState{status: s, reason: r, message: m, at: at}
	}
	return conditionState{}
}

// Annotation of an object.
func Annotation(object map[string]any, key string) string {
	return decoded.Text(object, "metadata", "annotations", key)
}

// Label of an object.
func Label(object map[string]any, key string) string {
	return decoded.Text(object, "metadata", "labels", key)
}

// OwnerOf an object that another claim composes is that claim's name, or that of its
// composite resource. Empty: the object is this claim's, or nobody composes it.
func OwnerOf(object map[string]any, uid string) string {
	controller, name := Controller(object)
	if controller == "" || controller == uid {
		return ""
	}
	return cmp.Or(Label(object, "crossplane.io/claim-name"), name)
}

// Goes says that an object in use goes when another claim, which composes it, gives
// it up. The zero Verdict: no other claim does.
func Goes(object map[string]any, uid string) Verdict {
	owner := OwnerOf(object, uid)
	if owner == "" {
		return Verdict{}
	}
	return Verdictf(OfAnotherClaim, "%s %q belongs to %q, and is deleted when that gives it up; put both services into one claim, or use one that no claim composes", decoded.Text(object, "kind"), decoded.Text(object, "metadata", "name"), owner)
}

// Controller is the uid and name of the object's controller, empty where it has
// none.
func Controller(object map[string]any) (uid, name string) {
	for _, v := range decoded.List(object, "metadata", "ownerReferences") {
		ref, _ := v.(map[string]any)
		if ref["controller"] != true {
			continue
		}
		uid, _ = ref["uid"].(string)
		name, _ = ref["name"].(string)
		return uid, name
	}
	return "", ""
}
