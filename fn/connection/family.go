package connection

import (
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/settings"
)

// A Family of identities, of which a ServiceAccount can have one. What is true of
// them all stands here; what is true of one connection only, in its type.
type Family struct {
	// Name of the family, for a reader.
	Name string

	// Annotations is what the keys of a ServiceAccount's annotations begin with
	// that give its pods an identity of the family.
	Annotations string

	// Keys of those annotations that connections of the family set. No others are read.
	Keys []string

	// Annotated is the identity that an annotation of a ServiceAccount names, as the
	// target of a grant, the allow-list's decision over it, and whether one does name
	// any. Nil where annotations don't tell.
	Annotated func(s *settings.Settings, namespace string, serviceAccount map[string]any) (target string, d settings.Decision, ok bool)

	// Suffices says whether an annotation is all that a cluster has of a grant,
	// because nothing is composed for it. Nil where something always is.
	Suffices func(*settings.Settings) bool

	// Conflict says why a connection can't have its identity, since another one
	// has the ServiceAccount. Nil: with ServiceAccountConflict.
	Conflict func(serviceAccount string, winner, loser Rival) Verdict

	// Unregistered says that no list knows what a connection asks for. Nil where
	// lists are of patterns, and so none of them knows anything.
	Unregistered func(namespace, what string) Verdict

	// Shared says whether other clusters have come to rely on what is granted. It
	// is never deleted then. Nil where every cluster has grants of its own.
	Shared func(*settings.Settings) bool

	// Remains says what is left of a shared grant once it is revoked.
	Remains func(s *settings.Settings, serviceAccount, what string) Verdict
}

// A Rival is a connection that wants a ServiceAccount to have an identity.
type Rival struct {
	Service    string
	Connection claim.ConnectionID
	Identity   string
	Target     string
}

// annotates says whether an annotation gives an identity of the family.
func (f *Family) annotates(key string) bool { return strings.HasPrefix(key, f.Annotations) }

// Identified is the identity that an annotation of a ServiceAccount names, as the
// target of a grant, the allow-list's decision over it, and whether one does name any.
func (f *Family) Identified(s *settings.Settings, namespace string, serviceAccount map[string]any) (target string, d settings.Decision, ok bool) {
	if f == nil || f.Annotated == nil {
		return "", settings.Absent, false
	}
	return f.Annotated(s, namespace, serviceAccount)
}

// AnnotationSuffices says whether an annotation is all that a cluster has of a
// grant.
func (f *Family) AnnotationSuffices(s *settings.Settings) bool {
	return f != nil && f.Suffices != nil && f.Suffices(s)
}

// Conflicts says why the loser can't have its identity.
func (f *Family) Conflicts(serviceAccount string, winner, loser Rival) Verdict {
	if f.Conflict != nil {
		return f.Conflict(serviceAccount, winner, loser)
	}
	has, wants := winner.Identity, loser.Identity
	if has == wants {
		// They differ in how they have it.
		has, wants = winner.Target, loser.Target
	}
	return Verdictf(ServiceAccountConflict, "ServiceAccount %q has %q for service %q, and can't have %q too; use another serviceAccountName for service %q", serviceAccount, has, winner.Service, wants, loser.Service)
}

// NotRegistered says that no list knows what a connection asks for.
func (f *Family) NotRegistered(namespace, what string) Verdict {
	if f == nil || f.Unregistered == nil {
		return Verdictf(NotAllowed, "namespace %q may not use %q, which the cluster settings don't know; ask the platform team to allow it", namespace, what)
	}
	return f.Unregistered(namespace, what)
}

// IsShared says whether other clusters have come to rely on what is granted.
func (f *Family) IsShared(s *settings.Settings) bool {
	return f != nil && f.Shared != nil && f.Shared(s)
}
