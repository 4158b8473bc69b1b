package connection

import (
	"maps"
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// externalName is the annotation in which Crossplane's providers keep what the
// cloud calls an object.
const externalName = "crossplane.io/external-name"

// call an object that is composed by its external name, as soon as that is known.
//
// The providers that are made with upjet don't store the name that a cloud gives
// unless they may write to spec (LateInitialize; crossplane-runtime,
// pkg/reconciler/managed/reconciler.go), which they may not here. One that is
// started anew has no other memory: it takes an object without a name for one that
// isn't there, and lets it be deleted without telling the cloud. So the grant would
// stay.
//
// What the provider has stored stays as it is, and so does what nobody stored while
// nothing tells the name: a guess might be the name of something else.
func call(object map[string]any, observed Composed, called func(map[string]any) string) {
	name := Annotation(observed.Object, externalName)
	// What the provider has just seen goes before what it said of that in spec.
	known := called(observed.Object)
	if known == "" {
		known = called(object)
	}
	if known != "" && (name == "" || name != known && onlyOurs(observed)) {
		// Ours is outdated where the object was made anew in the cloud.
		name = known
	}
	if name == "" {
		return
	}
	metadata, _ := object["metadata"].(map[string]any)
	was, _ := metadata["annotations"].(map[string]any)
	annotations := make(map[string]any, len(was)+1)
	maps.Copy(annotations, was)
	annotations[externalName] = name
	metadata["annotations"] = annotations
}

// Call an observed composed resource that is kept by its external name, so that its
// provider can still delete what it stands for.
// The UID is that of the composite resource, empty where that isn't known.
func (c *Catalog) Call(key string, observed Observed, uid string, kept map[string]any) {
	o := observed.Composed[key]
	g, _ := c.grantOf(key, o.Object)
	if g == nil || g.Called == nil {
		return
	}
	call(kept, o, g.Called)
	if g.handsOver != nil {
		g.handsOver.handTo(kept, key, observed, uid)
	}
}

// fieldManager is the prefix of the managers with which Crossplane applies
// composed resources (crossplane, composition_functions.go,
// FieldOwnerComposedPrefix).
const fieldManager = "apiextensions.crossplane.io/composed"

// Applied says whether an entry of an object's managed fields is what Crossplane has
// applied.
func Applied(entry map[string]any) bool {
	return strings.HasPrefix(decoded.Text(entry, "manager"), fieldManager) && entry["operation"] == "Apply"
}

// onlyOurs says whether the external name of an object is there because the function
// composed it so, and nobody else has set it.
func onlyOurs(o Composed) bool {
	if o.ManagedFields == nil {
		return false
	}
	ours := false
	for _, v := range o.ManagedFields() {
		entry, _ := v.(map[string]any)
		fields, _ := entry["fieldsV1"].(map[string]any)
		metadata, _ := fields["f:metadata"].(map[string]any)
		annotations, _ := metadata["f:annotations"].(map[string]any)
		if _, ok := annotations["f:"+externalName]; !ok {
			continue
		}
		if !Applied(entry) {
			return false
		}
		ours = true
	}
	return ours
}
