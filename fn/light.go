package fn

import (
	"context"
	"slices"
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/plan"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// Dispensable says whether the function can do without an object that it required
// by a name: it can without workloads, of which it then knows as much as where
// settings.workload.inspect is false. A team decides how large these are. And it can
// without the claim, of which only its generation is told then no more.
func Dispensable(requirement string) bool {
	if isClaim(requirement) {
		return true
	}
	kind, rest, _ := strings.Cut(requirement, "|")
	apiVersion, _, _ := strings.Cut(rest, "|")
	_, ok := workload.KindOf(apiVersion, kind)
	return ok
}

// Of an observed composed resource the function doesn't read much of what the API
// server, Crossplane and the providers write into it, which is half of it. Of a
// provider's report it reads only these fields; connections say what they are for.
var (
	unreadMetadata = []string{"creationTimestamp", "finalizers", "ownerReferences", "resourceVersion", "uid"}
	unreadManaged  = []string{"apiVersion", "fieldsType", "time"}
	readOfProvider = []string{"arn", "assumeRolePolicy", "associationId", "clientId", "disableSessionTags", "id", "roleArn", "targetRoleArn", "tenantId"}
	readOfFound    = []string{"associationId", "clusterName", "namespace", "serviceAccount", "tagsAll"}
)

// A team writes ServiceAccounts and volume claims, composed or not, and etcd takes 1.5 MB
// of each. Of them the function reads no more than this.
var (
	unreadOfAccount = []string{"imagePullSecrets", "secrets"}
	unreadOfVolume  = []string{"dataSource", "dataSourceRef", "selector"}
	readLabels      = []string{"crossplane.io/claim-name", "crossplane.io/claim-namespace", "crossplane.io/composite"}
)

const (
	// longestAnnotation that is read of what a team writes, in bytes. That which says
	// that a hundred services need an object is shorter, and that which says which of
	// their connections do is where those have no names. One that isn't read keeps too
	// much rather than too little: all connections that may need the object count.
	longestAnnotation = 8 << 10

	// longestPart is how many bytes its owners, its managed fields or its size may have
	// in a request that is too large. They have a few hundred, or a few thousand. Without
	// its managed fields an object is kept with all that is read of it.
	longestPart = 4 << 10

	// longestMetadata is how many bytes the labels of a composite resource may have
	// there, and its annotations.
	longestMetadata = 32 << 10
)

// Unread says of a field of an object in a request, by its path and its size, that the
// function never reads it, or else that there are such fields within. The path begins
// with what the object is: "composite", "composed" and the resource's key, or "required"
// and the name that it was asked for by.
func (f *Function) Unread(path []string, bytes int) (unread, within bool) {
	if path[0] == "composite" {
		return unreadOfComposite(path[1:], bytes)
	}
	return f.unreadOf(path[0], path[1])(path[2:], bytes)
}

// unreadOf an object that is composed under a key, or required by a name.
func (f *Function) unreadOf(what, name string) func(path []string, bytes int) (unread, within bool) {
	switch {
	case what == "composed" && f.types.OfTeams(name):
		return func(path []string, bytes int) (unread, within bool) {
			if unread, _ := unreadOfComposed(path, bytes); unread {
				return true, false
			}
			return f.unreadOfTeams(path, bytes)
		}
	case what == "composed" && f.types.Finds(name):
		return unreadOfFound
	case what == "composed" && f.types.HandsOver(name):
		return unreadOfHandedOver
	case what == "composed":
		return unreadOfComposed
	case strings.HasPrefix(name, "ServiceAccount|"), strings.HasPrefix(name, "PersistentVolumeClaim|"):
		return f.unreadOfTeams
	default:
		return func([]string, int) (unread, within bool) { return false, false }
	}
}

// unreadOfComposite resource, into which a team may write anything beside its spec.
func unreadOfComposite(path []string, bytes int) (unread, within bool) {
	switch name := path[len(path)-1]; {
	case len(path) == 1:
		return false, name == "metadata"
	case name == "managedFields":
		return true, false
	case name == "labels", name == "annotations":
		return bytes > longestMetadata, false
	default:
		return name != "uid" && slices.Contains(unreadMetadata, name), false
	}
}

// unreadOfTeams is what isn't read of a ServiceAccount or volume claim.
func (f *Function) unreadOfTeams(path []string, bytes int) (unread, within bool) {
	name := path[len(path)-1]
	if len(path) == 1 {
		return slices.Contains(unreadOfAccount, name), name == "metadata" || name == "spec"
	}
	switch path[len(path)-2] {
	case "spec":
		return slices.Contains(unreadOfVolume, name) || name == "resources" && bytes > longestPart, false
	case "metadata":
		return (name == "managedFields" || name == "ownerReferences") && bytes > longestPart, name == "labels" || name == "annotations" || name == "managedFields"
	case "labels":
		return !slices.Contains(readLabels, name), false
	case "annotations":
		return bytes > longestAnnotation || !f.types.ReadsAnnotation(name), false
	default:
		return false, false
	}
}

// unreadOfFound is what isn't read of what tells whose something is.
func unreadOfFound(path []string, bytes int) (unread, within bool) {
	if len(path) == 3 && path[0] == "status" && path[1] == "atProvider" {
		return !slices.Contains(readOfFound, path[2]), false
	}
	return unreadOfComposed(path, bytes)
}

// unreadOfHandedOver is what isn't read of what may be handed over. When a try to create
// it ended says of which it was.
func unreadOfHandedOver(path []string, bytes int) (unread, within bool) {
	if len(path) == 3 && path[0] == "status" && path[1] == "conditions" {
		return false, false
	}
	return unreadOfComposed(path, bytes)
}

// unreadOfComposed resource.
func unreadOfComposed(path []string, _ int) (unread, within bool) {
	at := func(prefix ...string) bool {
		return len(path) == len(prefix)+1 && slices.Equal(path[:len(prefix)], prefix)
	}
	name := path[len(path)-1]
	switch {
	case at():
		return false, name == "metadata" || name == "status"
	case at("metadata"):
		return slices.Contains(unreadMetadata, name), name == "managedFields"
	case at("metadata", "managedFields"):
		return slices.Contains(unreadManaged, name), name == "fieldsV1"
	case at("metadata", "managedFields", "fieldsV1"):
		// Crossplane owns nothing there.
		return name == "f:status", false
	case at("status"):
		return false, name == "atProvider" || name == "conditions"
	case at("status", "atProvider"):
		return !slices.Contains(readOfProvider, name), false
	case at("status", "conditions"):
		return name == "lastTransitionTime", false
	default:
		return false, false
	}
}

// lightened is the key of a context in which a request is answered that was too large
// to be read whole.
type lightened struct{}

// Lightened marks the context of a call whose request lacks what is Dispensable and
// Unread.
func Lightened(ctx context.Context) context.Context {
	return context.WithValue(ctx, lightened{}, true)
}

// tellLightened of the services whose workloads would have been read.
func tellLightened(p *plan.Plan) {
	for i := range p.Services {
		s := &p.Services[i]
		if k, _ := workload.KindOf(s.Workload.APIVersion, s.Workload.Kind); s.Rendered || !k.Inspected {
			continue
		}
		s.Notes = append(s.Notes, connection.Verdictf(connection.ReadWithoutWorkload, "%s %q wasn't read, since this ServiceConnection with its workloads and all that it composed is more than the function reads at once; whether pods must restart isn't told, and what is superseded stays; put large values of the workloads into ConfigMaps, or split the ServiceConnection", s.Workload.Kind, s.Workload.Name))
	}
}
