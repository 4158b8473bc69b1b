package claim

import (
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// AnnotationPodsReplaced of a ServiceConnection is the team's word that the pods
// are replaced: hashes of injections, comma separated. It lets go what nothing
// uses any more, and can keep nothing.
const AnnotationPodsReplaced = "serviceconnections.io/pods-replaced"

// A Claim is a team's ServiceConnection as the function works with it: read
// leniently, because it may pre-date the schema, with every mistake kept beside
// the connection that it concerns.
type Claim struct {
	// Name of the object that the team wrote: the claim's where there is one,
	// the composite resource's otherwise.
	Name string

	// Namespace of the team.
	Namespace string

	// Composite is the name of the composite resource.
	Composite string

	// UID of the composite resource. It controls everything that is composed.
	UID string

	// Namespaced says that the composite resource lives in the team's
	// namespace, so that it composes namespaced managed resources. Otherwise it
	// is cluster-scoped and a claim made it.
	Namespaced bool

	// PodsReplaced are hashes of injections of which the team says that no pod of
	// the service is older, where nobody else can tell.
	PodsReplaced []string

	// Services in the order of the claim.
	Services []ServiceEntry

	// Errors are all mistakes, in the order of the claim.
	Errors field.ErrorList

	// Incomplete says that an entry could not even be told apart by its name or
	// type, or has a field that may be another one misspelt. Nothing can then be
	// said to have left the claim.
	Incomplete bool
}

// A ServiceEntry is a service with its defaults applied.
type ServiceEntry struct {
	Service

	// Path of the service in the composite resource.
	Path *field.Path

	// Entries are the service's connections, one for each type and name.
	Entries []ConnectionEntry

	// Misread says that the service has fields or connections that aren't known,
	// or connections that can't be read. One may be another misspelt, so the
	// service may not be what is meant.
	Misread bool
}

// A ConnectionEntry is a connection with the mistakes made in it, or in its
// service.
type ConnectionEntry struct {
	Connection

	// Errors that keep the connection from being expanded.
	Errors field.ErrorList
}

// ServiceAccount is the name of the ServiceAccount that the service's pods run
// as, and whether it is the function that composes it.
func (c *Claim) ServiceAccount(s Service) (name string, composed bool) {
	if s.ServiceAccountName != "" {
		return s.ServiceAccountName, false
	}
	return c.Name + "-" + s.Name, true
}
