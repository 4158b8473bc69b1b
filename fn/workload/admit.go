package workload

import (
	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// Settled says whether a pod with these annotations has its injection, by this or
// another delivery, so that no other is put on top.
func Settled(annotations map[string]string) bool {
	_, by := annotations[AnnotationInjectedBy]
	_, has := annotations[AnnotationInjection]
	return by || has
}

// Admit the pod with the injection of a service, which is of its forms (Forms.Fit):
// the pod as it is created, or why it gets nothing. The pod that is given stays as it
// is. It does what the admission policy does, and so it leaves alone what the pod has
// by an annotation of Inject, which is for templates. What is no pod gets nothing.
func Admit(pod map[string]any, injection claim.Injection, by string, service claim.Service) (map[string]any, []Conflict) {
	if decoded.Object(pod, "spec") == nil {
		return nil, nil
	}
	if conflicts := inspect(pod, injection, service); len(conflicts) > 0 {
		return nil, conflicts
	}
	admitted := decoded.Clone(pod)
	put(admitted, injection)
	decoded.Ensure(decoded.Ensure(admitted, "metadata"), "annotations")[AnnotationInjectedBy] = by
	return admitted, nil
}
