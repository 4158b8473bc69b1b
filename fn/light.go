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
// settings.workload.inspect is false. A team decides how large these are.
func Dispensable(requirement string) bool {
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
	readOfProvider = []string{"arn", "assumeRolePolicy", "associationId", "clientId", "id", "roleArn", "targetRoleArn", "tenantId"}
)

// Unread says of a field of an observed composed resource, by its path, that the
// function never reads it, or else that there are such fields within.
func Unread(path []string) (unread, within bool) {
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
