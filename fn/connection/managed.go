package connection

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	xpv1 "github.com/crossplane/crossplane-runtime/v2/apis/common/v1"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/fn/decoded"
	"github.com/serviceconnections/function-service-connections/input/v1beta1"
)

// A Kind of composed object.
type Kind struct {
	APIVersion string
	Kind       string

	// CRD that must be established before an object of the kind can be asked
	// for or applied. Empty for the kinds of Kubernetes itself.
	CRD string
}

// is says whether an object is of the kind, in whatever version of its group.
func (k Kind) is(object map[string]any) bool {
	group := func(apiVersion string) string { return apiVersion[:max(0, strings.IndexByte(apiVersion, '/'))] }
	return decoded.Text(object, "kind") == k.Kind && group(decoded.Text(object, "apiVersion")) == group(k.APIVersion)
}

// A managedKind is a provider's kind in both of its groups: the namespaced one,
// for composite resources in a namespace, and the cluster-scoped one.
type managedKind struct{ namespaced, cluster Kind }

// of a composite resource, in a namespace or not.
func (k managedKind) of(namespaced bool) Kind {
	if namespaced {
		return k.namespaced
	}
	return k.cluster
}

func (k managedKind) is(object map[string]any) bool {
	return k.namespaced.is(object) || k.cluster.is(object)
}

// newManagedKind of a service such as eks.aws in a domain such as upbound.io.
func newManagedKind(kind, plural, service, domain, namespacedVersion, clusterVersion string) managedKind {
	of := func(group, version string) Kind {
		return Kind{APIVersion: group + "/" + version, Kind: kind, CRD: plural + "." + group}
	}
	return managedKind{
		namespaced: of(service+".m."+domain, namespacedVersion),
		cluster:    of(service+"."+domain, clusterVersion),
	}
}

// Management policies of managed resources (Crossplane documentation, "Managed
// resources", managementPolicies). None has LateInitialize: it would write
// fields into spec that the function doesn't know.
var (
	observe     = []any{"Observe"}
	manage      = []any{"Observe", "Create", "Update", "Delete"}
	neverDelete = []any{"Observe", "Create", "Update"}
)

// A managedResource is what differs between the managed resources.
type managedResource struct {
	kind           managedKind
	key            string
	name           string
	former         Former
	externalName   string
	called         func(object map[string]any) string
	handsOver      *handOver
	policies       []any
	providerConfig *v1beta1.ProviderConfigReference
	forProvider    map[string]any
}

// grant composes a managed resource. One that is observed keeps its name, as it does
// in Crossplane whatever the function says.
func (c Context) grant(r managedResource) Grant {
	metadata := map[string]any{"name": cmp.Or(decoded.Text(c.Observed.Object(r.key), "metadata", "name"), r.name)}
	if r.externalName != "" {
		metadata["annotations"] = map[string]any{externalName: r.externalName}
	}
	spec := map[string]any{
		"managementPolicies": r.policies,
		"forProvider":        r.forProvider,
	}
	kind := r.kind.of(c.Claim.Namespaced)
	if c.Claim.Namespaced {
		metadata["namespace"] = c.Claim.Namespace
		spec["providerConfigRef"] = map[string]any{"kind": r.providerConfig.Kind, "name": r.providerConfig.Name}
	} else {
		spec["providerConfigRef"] = map[string]any{"name": r.providerConfig.Name}
		spec["deletionPolicy"] = deletionPolicy(r.policies)
	}
	object := map[string]any{
		"apiVersion": kind.APIVersion,
		"kind":       kind.Kind,
		"metadata":   metadata,
		"spec":       spec,
	}
	if r.called != nil {
		call(object, c.Observed.Composed[r.key], r.called)
	}
	if r.handsOver != nil {
		r.handsOver.handTo(object, r.key, c.Observed, c.Claim.UID)
	}
	return Grant{Key: r.key, Former: r.former, Kind: kind, Object: object}
}

// deletionPolicy says in the cluster-scoped kinds' older field what the
// management policies say.
func deletionPolicy(policies []any) string {
	if len(policies) == len(manage) {
		return "Delete"
	}
	return "Orphan"
}

// Deletes says whether a managed resource takes what it stands for with it.
func Deletes(object map[string]any) bool {
	return slices.Contains(decoded.List(object, "spec", "managementPolicies"), any("Delete"))
}

// NeverDelete what a managed resource stands for.
func NeverDelete(object map[string]any) {
	spec, _ := object["spec"].(map[string]any)
	spec["managementPolicies"] = neverDelete
	if _, ok := spec["deletionPolicy"]; ok {
		spec["deletionPolicy"] = deletionPolicy(neverDelete)
	}
}

// key of a composed resource: whose ServiceAccount, which grant, and a hash of
// what can't be changed in place.
func (c Context) key(grant string, identity ...string) string {
	return c.ServiceAccount + "." + grant + "." + hash(identity...)
}

// sharedName of an object follows from the namespace and the key, without the
// claim, so that a second claim that asks for the same meets the first one's
// object instead of making a twin.
func (c Context) sharedName(key, grant string) string {
	return objectName(c.ServiceAccount, "-"+grant+"-"+hash(key, c.Claim.Namespace))
}

// ownName of an object that other claims have one of as well.
func (c Context) ownName(key, grant string) string {
	return objectName(c.ServiceAccount, "-"+grant+"-"+hash(c.Claim.Name, key, c.Claim.Namespace))
}

// objectName has room for 63 characters, since it becomes a label's value.
func objectName(name, suffix string) string {
	return truncate(name, 63-len(suffix)) + suffix
}

// truncate a name so that it doesn't end in a separator.
func truncate(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.TrimRight(s, ".-")
}

// hashLength in hexadecimal digits. A team chooses much of what is hashed, and can look
// on a machine of its own for what meets another team's object: 64 bits are out of its
// reach.
const hashLength = 16

// hash of a list of strings.
func hash(parts ...string) string { return digest(hashLength, parts...) }

// digest of a list of strings, an even number of hexadecimal digits long.
func digest(length int, parts ...string) string {
	var room [256]byte // Enough for most, and not on the heap.
	b := room[:0]
	for _, p := range parts {
		// No part can hold the zero, so that ("a", "bc") differs from ("ab", "c").
		b = append(append(b, p...), 0)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:length/2])
}

// errNotExist is what crossplane-runtime's managed reconciler says of a
// resource that it may only observe and that isn't there
// (pkg/reconciler/managed/reconciler.go, errExternalResourceNotExist).
const errNotExist = "external resource does not exist"

// state of the managed resource of a grant. The zero Verdict: it is ready.
func (c Context) state(g Grant) Verdict {
	o := c.Observed.Object(g.Key)
	name := decoded.Text(g.Object, "metadata", "name")
	// Of what belongs to somebody else only the object that reads it comes and
	// goes.
	created, deleted := "is being created", "is being deleted, and is made anew once it is gone"
	if slices.Equal(decoded.List(g.Object, "spec", "managementPolicies"), observe) {
		created, deleted = "is being read", "is being deleted, and is made anew once it is gone; what it reads stays"
	}
	if o == nil {
		return Verdictf(Creating, "%s %q %s", g.Kind.Kind, name, created)
	}
	if deleting(o) {
		return Verdictf(Creating, "%s %q %s", g.Kind.Kind, name, deleted)
	}
	switch failure := providerError(o); {
	case Interrupted(o):
		return Verdictf(Creating, "%s %q: its provider was interrupted while it was being created, and goes on", g.Kind.Kind, name)
	case strings.Contains(failure, errNotExist):
		return Verdict{Reason: notExist, Message: failure}
	case failure != "":
		return Verdictf(ProviderError, "%s %q: %s; unless that is about your claim, show it to the platform team", g.Kind.Kind, name, cause(failure))
	}
	if r := condition(o, "Ready"); !Ready(o) {
		if paused(o) {
			return Verdictf(Creating, "%s %q isn't ready, and is paused; it goes on when whoever paused it takes the annotation crossplane.io/paused from it", g.Kind.Kind, name)
		}
		if r.message != "" {
			return Verdictf(Creating, "%s %q is not ready: %s", g.Kind.Kind, name, cause(r.message))
		}
		return Verdictf(Creating, "%s %q %s", g.Kind.Kind, name, created)
	}
	return Verdict{}
}

// CreatePending is the annotation in which a provider writes down that it is about to
// create something, before it does.
const CreatePending = meta.AnnotationKeyExternalCreatePending

// errCreateIncomplete is what a provider says that finds that, and not how it ended,
// since it was stopped meanwhile or the API server was away (crossplane-runtime,
// pkg/reconciler/managed/reconciler.go, errCreateIncomplete).
const errCreateIncomplete = "cannot determine creation result"

// BeingCreated says that a provider has begun to create what an observed object stands
// for, and hasn't written down how that ended. While it is so, it deletes nothing.
func BeingCreated(object map[string]any) bool {
	return meta.ExternalCreateIncomplete(&unstructured.Unstructured{Object: object})
}

// resumed is the annotation that has a provider look at an object again.
const resumed = "serviceconnections.io/resumed"

// Interrupted says that a provider has stopped for good at an observed object, of whose
// creation it doesn't know how it ended, or that it has been told to go on and hasn't yet.
// Resume lets it go on.
//
// That is safe for all that a connection needs: what was made is found again, since its
// name is chosen here, or can't be made twice, as the association of a ServiceAccount.
func Interrupted(object map[string]any) bool {
	return strings.Contains(condition(object, "Synced").message, errCreateIncomplete) &&
		(BeingCreated(object) || Annotation(object, resumed) != "")
}

// Resume is what the annotations of an interrupted object must be, so that its provider
// goes on. Without a time, CreatePending says nothing. The other one is there because a
// provider doesn't look at an object of which only CreatePending has changed
// (crossplane-runtime, pkg/resource/predicates.go, DesiredStateChanged). Both stay until
// the provider has gone on: one whose watch begins anew, after the API server was away,
// doesn't see what was there in between.
func Resume(object map[string]any) map[string]string {
	return map[string]string{CreatePending: "", resumed: cmp.Or(Annotation(object, CreatePending), Annotation(object, resumed))}
}

// Ready says whether an observed object is: a managed resource by its
// conditions, any other by being there.
func Ready(object map[string]any) bool {
	if object == nil || deleting(object) {
		return false
	}
	switch decoded.Text(object, "kind") {
	case serviceAccountKind.Kind, volumeClaimKind.Kind:
		return true
	}
	return (condition(object, "Synced").status == "True" || paused(object)) && condition(object, "Ready").status == "True"
}

// Available says whether what an observed managed resource stands for is there in the
// cloud, as its provider last saw it, whatever came of its last attempt.
func Available(object map[string]any) bool {
	return object != nil && !deleting(object) && condition(object, "Ready").status == "True"
}

// paused says whether the provider of an observed managed resource leaves it alone,
// because somebody has paused it. What it stands for is as it was.
func paused(object map[string]any) bool {
	return condition(object, "Synced").reason == string(xpv1.ReasonReconcilePaused)
}

// PausedOf says that an observed object is paused, and the zero Verdict that it isn't.
func PausedOf(object map[string]any) Verdict {
	if !paused(object) {
		return Verdict{}
	}
	return Verdictf(Paused, "%s %q is paused, so the provider changes and deletes nothing of it; whoever paused it should take the annotation crossplane.io/paused from it when the work is done", decoded.Text(object, "kind"), decoded.Text(object, "metadata", "name"))
}

// notExist is internal: each connection says what it is that doesn't exist.
const notExist Reason = "NotExist"
