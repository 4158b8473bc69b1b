package connection

import (
	"cmp"
	"slices"
	"strings"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// A provider that is killed between its cloud's answer and its own write doesn't know
// what it has made. Where the cloud alone gives the name, it can't find it again: it tries
// to make another one, and the cloud answers that there is one. A handOver is how the
// function gives an object the name of what was made for it, and nothing else.
//
// That it is for this object, a tag proves which only this one is made with: the UID of
// its composite resource, which no other has, in this cluster or another, before a restore
// or after. No team can write a tag. To read it, a second object of the kind observes what
// the cloud has named. It is composed only while the name isn't known.
type handOver struct {
	// existing is the name of what stands in the way of an observed object, as the cloud
	// says. Empty: nothing does.
	existing func(object map[string]any) string

	// finder is the grant that observes it, and by are the fields of forProvider that it
	// needs for that.
	finder *GrantKind
	by     []string

	// proves that what a finder has read was made for an object, as the composite
	// resource of a UID composes it.
	proves func(found, object map[string]any, uid string) bool

	// restsOn says that an object can't be made without another one, so that without it
	// the cloud wouldn't say either what was made before.
	restsOn func(object, other map[string]any) bool

	// void are the refusals by which what was asked for gives nobody anything, even if it
	// is there.
	void []string
}

// finding is whose that is which stands in the way of an object.
type finding int

const (
	nothingFound finding = iota
	sought
	foundOurs
	foundTheirs
)

// find what stands in the way of the object of a key: its name, and whose it is.
func (h *handOver) find(key string, observed Observed, uid string) (name string, f finding) {
	o := observed.Object(key)
	name = h.existing(o)
	if name == "" {
		return "", nothingFound
	}
	switch found := observed.Object(h.finderKey(key, name)); {
	case !Ready(found):
		return name, sought
	case uid != "" && Annotation(found, externalName) == name && h.proves(found, o, uid):
		return name, foundOurs
	default:
		return name, foundTheirs
	}
}

// finderKey of what reads a name in the way of the object of a key.
func (h *handOver) finderKey(key, name string) string {
	return serviceAccountOf(key) + "." + h.finder.Name + "." + hash(key, name)
}

// serviceAccountOf a key, which ends in the name of a grant and a hash.
func serviceAccountOf(key string) string {
	for range 2 {
		key = key[:max(0, strings.LastIndexByte(key, '.'))]
	}
	return key
}

// handTo an object what was made for it, by its name, where that is known to be its own.
func (h *handOver) handTo(object map[string]any, key string, observed Observed, uid string) {
	if name, f := h.find(key, observed, uid); f == foundOurs {
		decoded.Ensure(decoded.Ensure(object, "metadata"), "annotations")[externalName] = name
	}
}

// compose what reads a name in the way of an object, as that is composed. One that is
// observed keeps its own name.
func (h *handOver) compose(key, name, uid string, object, observed map[string]any) map[string]any {
	metadata := map[string]any{
		"name":        cmp.Or(decoded.Text(observed, "metadata", "name"), objectName(serviceAccountOf(key), "-"+h.finder.Name+"-"+hash(uid, key, name))),
		"annotations": map[string]any{externalName: name},
	}
	if _, namespace := Name(object); namespace != "" {
		metadata["namespace"] = namespace
	}
	forProvider := map[string]any{}
	for _, field := range h.by {
		forProvider[field] = decoded.At(object, "spec", "forProvider", field)
	}
	spec := map[string]any{
		"managementPolicies": observe,
		"forProvider":        forProvider,
		"providerConfigRef":  decoded.At(object, "spec", "providerConfigRef"),
	}
	if decoded.At(object, "spec", "deletionPolicy") != nil {
		spec["deletionPolicy"] = deletionPolicy(observe)
	}
	return map[string]any{"apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": metadata, "spec": spec}
}

// Finder is composed beside an observed object, as that is composed, to read what stands
// in its way, until the object has its name. It is nil where nothing is to be read.
func (c *Catalog) Finder(key string, observed Observed, uid string, object map[string]any) (finderKey string, finder map[string]any) {
	g, _ := c.grantOf(key, object)
	if g == nil || g.handsOver == nil {
		return "", nil
	}
	name, f := g.handsOver.find(key, observed, uid)
	if f == nothingFound || Annotation(observed.Object(key), externalName) == name {
		return "", nil
	}
	finderKey = g.handsOver.finderKey(key, name)
	return finderKey, g.handsOver.compose(key, name, uid, object, observed.Object(finderKey))
}

// Unsettled says that the cloud may have what was made for an observed object, and that
// nobody knows its name: let go now, it would stay there.
func (c *Catalog) Unsettled(key string, observed Observed, uid string) bool {
	o := observed.Object(key)
	g, _ := c.grantOf(key, o)
	if g == nil || g.handsOver == nil || Available(o) || g.Called(o) != "" {
		return false
	}
	named := Annotation(o, externalName)
	switch name, f := g.handsOver.find(key, observed, uid); f {
	case sought, foundOurs:
		return name != named
	case foundTheirs:
		return false
	default:
		at, begun := lastBegun(o)
		return named == "" && begun && !g.handsOver.voidSince(o, at)
	}
}

// RestsOn says whether what was made for an object can only be found while another object
// is there.
func (c *Catalog) RestsOn(key string, object, other map[string]any) bool {
	g, _ := c.grantOf(key, object)
	return g != nil && g.handsOver != nil && g.handsOver.restsOn(object, other)
}

// Resume is what the annotations of an observed object must be whose provider was
// interrupted, nil where none was. That it was is remembered until it is known what has
// come of that: a provider that can't go on yet says nothing else of it.
func (c *Catalog) Resume(key string, observed Observed, uid string) map[string]string {
	o := observed.Object(key)
	switch was := Annotation(o, resumed); {
	case Interrupted(o):
		return Resume(o)
	case was != "" && c.Unsettled(key, observed, uid):
		return map[string]string{resumed: was}
	default:
		return nil
	}
}

// voidSince says whether the last try to create an object, which began at a time, was
// refused such that it gives nobody anything. What stands there of an earlier try says
// nothing: the last one may have been answered, and its provider killed.
func (h *handOver) voidSince(object map[string]any, begun metav1.Time) bool {
	last := condition(object, lastAsyncOperation)
	at := written(last.at)
	return !at.IsZero() && !at.Before(&begun) && last.status == "False" &&
		slices.ContainsFunc(h.void, func(refusal string) bool { return strings.Contains(last.message, refusal) })
}

// lastBegun is when a provider has begun to create what an object stands for, the last
// time, and whether it ever has.
func lastBegun(object map[string]any) (at metav1.Time, begun bool) {
	u := &unstructured.Unstructured{Object: object}
	interrupted := written(Annotation(object, resumed))
	begun = !interrupted.IsZero() || !meta.GetExternalCreateSucceeded(u).IsZero() || !meta.GetExternalCreateFailed(u).IsZero()
	at = metav1.NewTime(meta.GetExternalCreatePending(u))
	if at.Before(&interrupted) {
		at = interrupted
	}
	return at, begun || !at.IsZero()
}

// written time, the zero one where there is none.
func written(s string) metav1.Time {
	var t metav1.Time
	if err := t.UnmarshalQueryParameter(s); err != nil {
		return metav1.Time{}
	}
	return t
}

// HandsOver says whether a composed resource's key is of what may be handed over.
func (c *Catalog) HandsOver(key string) bool {
	g, _ := c.grantNamed(key)
	return g != nil && g.handsOver != nil
}

// Finds says whether a composed resource's key is of what reads what may be handed over.
func (c *Catalog) Finds(key string) bool {
	g, _ := c.grantNamed(key)
	return g != nil && g.Passing
}
