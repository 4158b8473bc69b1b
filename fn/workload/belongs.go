package workload

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// The labels by which a pod names its service itself. They are for pods whose
// controller doesn't tell, such as Knative's, and those of a Job that was made by
// hand.
const (
	LabelClaim   = "serviceconnections.io/claim"
	LabelService = "serviceconnections.io/service"
)

// MaxOwners is how many owner references of a pod are looked at. No controller
// gives a pod more than a few; a pod with thousands would cost the API server as
// much again for each ServiceConnection of its namespace.
const MaxOwners = 32

// A Naming is what a pod says of the service that it belongs to.
type Naming struct {
	// Labelled says that its labels name a claim. Then nothing else counts.
	Labelled bool

	// Claim and Service that its labels name. Half of both names nothing.
	Claim   string
	Service string

	// Controlled says that a controller made it, which would make it again.
	Controlled bool

	// Workloads that it may be of, by its controller or, where it has none, by its
	// own name. A ReplicaSet may be a workload itself, a Deployment's or a
	// Rollout's, so there may be a few.
	Workloads []claim.Workload
}

// NamingOf a pod. The admission policies in package/cluster do the same in CEL,
// which generate writes from the same kinds, labels and MaxOwners.
func NamingOf(pod metav1.Object) Naming {
	labels, owners := pod.GetLabels(), pod.GetOwnerReferences()
	counted := len(owners) <= MaxOwners
	i := -1
	if counted {
		i = slices.IndexFunc(owners, func(o metav1.OwnerReference) bool { return o.Controller != nil && *o.Controller })
	}
	n := Naming{Controlled: i >= 0}
	switch of, ok := labels[LabelClaim]; {
	case ok:
		n.Labelled, n.Claim, n.Service = true, of, labels[LabelService]
	case n.Controlled:
		n.Workloads = controlling(owners[i], labels)
	case counted:
		n.Workloads = []claim.Workload{{APIVersion: core, Kind: podKind, Name: pod.GetName()}}
	}
	return n
}

// controlling workloads of a pod with this controller and these labels: the
// controller, and what may have made it.
func controlling(owner metav1.OwnerReference, labels map[string]string) []claim.Workload {
	workloads := []claim.Workload{{APIVersion: owner.APIVersion, Kind: owner.Kind, Name: owner.Name}}
	for _, k := range kinds {
		if k.Makes.APIVersion != owner.APIVersion || k.Makes.Kind != owner.Kind {
			continue
		}
		if name, ok := k.Makes.of(owner.Name, labels); ok {
			workloads = append(workloads, claim.Workload{APIVersion: k.APIVersion, Kind: k.Kind, Name: name})
		}
	}
	return workloads
}

// of is the name of the workload that made an object of this name.
func (m Maker) of(name string, labels map[string]string) (workload string, ok bool) {
	if m.Label != "" {
		return strings.CutSuffix(name, "-"+labels[m.Label])
	}
	hyphen := strings.LastIndexByte(name, '-')
	if hyphen < 0 || hyphen == len(name)-1 || strings.Trim(name[hyphen+1:], "0123456789") != "" {
		return "", false
	}
	return name[:hyphen], true
}

// Names says whether the pod belongs to a service of a claim of its namespace.
func (n Naming) Names(claimName, service string, of claim.Workload) bool {
	if n.Labelled {
		return n.Claim == claimName && n.Service == service
	}
	return slices.Contains(n.Workloads, of)
}
