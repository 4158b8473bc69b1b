package live

import (
	"regexp"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// What the admission policy writes on a pod (package/cluster,
// mutatingadmissionpolicy.yaml), and the labels by which a pod names its service.
const (
	annotationInjectedBy = "serviceconnections.io/injected-by"
	annotationInjection  = "serviceconnections.io/injection"
	labelClaim           = "serviceconnections.io/claim"
	labelService         = "serviceconnections.io/service"
)

// A Pod that runs or is about to.
type Pod struct {
	Name    string
	Created time.Time

	// State of its injection.
	State PodState

	// InjectedBy is the ServiceConnection whose injection it has.
	InjectedBy string
}

// A PodState says how a pod's injection compares with the published one.
type PodState string

// The states of a pod's injection.
const (
	// PodUnknown is where nothing is published that it could be compared with.
	PodUnknown PodState = "Unknown"
	// PodCurrent has what is published.
	PodCurrent PodState = "Current"
	// PodOutdated has an earlier injection of the same ServiceConnection.
	PodOutdated PodState = "Outdated"
	// PodWithout has none.
	PodWithout PodState = "Without"
	// PodOfAnother has that of another ServiceConnection.
	PodOfAnother PodState = "OfAnother"
)

// podOf a service, as the cluster has it.
func podOf(u *unstructured.Unstructured, serviceConnection string, s *Service) Pod {
	p := Pod{Name: u.GetName(), Created: u.GetCreationTimestamp().Time, InjectedBy: u.GetAnnotations()[annotationInjectedBy]}
	injection, injected := u.GetAnnotations()[annotationInjection]
	switch {
	case p.InjectedBy != "" && p.InjectedBy != serviceConnection:
		p.State = PodOfAnother
	case s.Injection == nil:
		p.State = PodUnknown
	case !injected:
		p.State = PodWithout
	case injection != s.Injection.Hash:
		p.State = PodOutdated
	default:
		p.State = PodCurrent
	}
	return p
}

// ended says whether a pod has run to its end or is about to, so that it is no
// longer of interest what it lacks.
func ended(u *unstructured.Unstructured) bool {
	phase, _, _ := unstructured.NestedString(u.Object, "status", "phase")
	return phase == "Succeeded" || phase == "Failed" || u.GetDeletionTimestamp() != nil
}

// isPodOf says whether a pod is of a service, by the rules of the admission policy
// (its variable matches): labels on the pod come first, then its controller, and a
// pod without one is told by its name.
func isPodOf(u *unstructured.Unstructured, serviceConnection string, s *Service) bool {
	if named, ok := u.GetLabels()[labelClaim]; ok {
		return named == serviceConnection && u.GetLabels()[labelService] == s.Name
	}
	owner := metav1.GetControllerOf(u)
	if owner == nil {
		return s.Workload == claim.Workload{APIVersion: "v1", Kind: "Pod", Name: u.GetName()}
	}
	return owns(owner, s.Workload, u.GetLabels())
}

// owns says whether a pod's controller is the workload, or was made by it.
func owns(owner *metav1.OwnerReference, w claim.Workload, labels map[string]string) bool {
	controller := claim.Workload{APIVersion: owner.APIVersion, Kind: owner.Kind, Name: owner.Name}
	replicaSet := func(hash string) bool {
		return controller == claim.Workload{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: w.Name + "-" + labels[hash]}
	}
	switch w.Kind {
	case "Deployment":
		return replicaSet("pod-template-hash")
	case "Rollout":
		return replicaSet("rollouts-pod-template-hash")
	case "CronJob":
		number, ok := strings.CutPrefix(owner.Name, w.Name+"-")
		return ok && owner.APIVersion == "batch/v1" && owner.Kind == "Job" && digits.MatchString(number)
	default:
		return controller == w
	}
}

var digits = regexp.MustCompile(`^[0-9]+$`)
