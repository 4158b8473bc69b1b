package live

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// annotationInjectedBy is what the admission policy writes on a pod, beside the
// injection's hash (package/cluster, mutatingadmissionpolicy.yaml).
const annotationInjectedBy = "serviceconnections.io/injected-by"

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
	injection, injected := u.GetAnnotations()[workload.AnnotationInjection]
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
