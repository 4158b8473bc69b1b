package admit

import (
	"cmp"
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// maxWhy is how many characters of a reason are told: the API server takes no message
// of more than 5 kB.
const maxWhy = 1000

// A Requirement of a service's spec: that its pods are held back until they have all
// of the published injection.
type Requirement struct {
	of       *Connection
	name     string
	workload claim.Workload

	// hash of the injection as it is published, and whether that is all of it.
	hash     string
	complete bool

	// why there may be no complete injection, empty where the status says nothing of
	// it.
	why string
}

// require of a service, how it stands by the status of all.
func require(c *Connection, service map[string]any, status []map[string]any) *Requirement {
	w := workloadOf(service)
	r := &Requirement{of: c, name: decoded.Text(service, "name")}
	// A claim that was just made has no status, so the defaults are the spec's.
	r.workload = claim.Workload{
		APIVersion: cmp.Or(w.APIVersion, "apps/v1"), Kind: cmp.Or(w.Kind, "Deployment"), Name: cmp.Or(w.Name, r.name),
	}
	stands := decoded.Find(status, "name", r.name)
	if stands == nil {
		r.why = "Crossplane has not seen the service yet"
		return r
	}
	r.hash = decoded.Text(stands, "injection", "hash")
	r.complete = decoded.At(stands, "injection", "complete") == true
	for _, c := range decoded.Objects(stands, "connections") {
		if c["ready"] == false {
			r.why = cut(idOf(c).String() + ": " + decoded.Text(c, "reason") + ": " + decoded.Text(c, "message"))
			break
		}
	}
	if r.why == "" && !r.complete {
		r.why = "the injection is not complete"
	}
	return r
}

// idOf a connection in a status.
func idOf(connection map[string]any) claim.ConnectionID {
	return claim.ConnectionID{Type: claim.ConnectionType(decoded.Text(connection, "type")), Name: decoded.Text(connection, "name")}
}

// denial of a pod that has this injection, or with an empty hash none; empty where it
// is let in.
func (r *Requirement) denial(has string, pod workload.Naming) string {
	if r.complete && r.hash == has {
		return ""
	}
	why := r.why
	switch {
	case why != "":
	case has == "":
		why = "the injection is published, and was not given to the pod, since the pod has something else of a name in it, or the API server did not know it yet"
	default:
		why = cut(`the pod has injection "` + has + `", and "` + r.hash + `" is published`)
	}
	next := `. Create the pod again then`
	if pod.Controlled {
		next = `. The pod's controller tries again, after up to a quarter of an hour; to have it try now, restart the workload`
	}
	return `ServiceConnection "` + r.of.Name + `" requires the injection of service "` + r.name + `", which the pod lacks: ` + why + next
}

// cut a reason to what a message may have, in one line.
func cut(why string) string {
	if runes := []rune(why); len(runes) > maxWhy {
		why = string(runes[:maxWhy]) + "…"
	}
	return strings.ReplaceAll(why, "\n", " ")
}
