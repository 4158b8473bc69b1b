package admit

import (
	"context"
	"encoding/json"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"

	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// Inject answers what the API server asks of a pod that is created: the pod is let in,
// with the injection of the service that it is of. With an error it is let in as it is.
func (x *Index) Inject(ctx context.Context, r *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
	allowed := &admissionv1.AdmissionResponse{UID: r.UID, Allowed: true}
	pod, ok, err := created(r)
	if err != nil || !ok || workload.Settled(pod.Annotations) {
		return allowed, err
	}
	services := x.servicesOf(r.Namespace, workload.NamingOf(pod))
	if len(services) == 0 {
		return allowed, nil
	}
	// Only now all of it: most pods of a cluster are of no service.
	var object map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(r.Object.Raw, &object); err != nil {
		return allowed, fmt.Errorf("cannot decode pod of namespace %q: %w", r.Namespace, err)
	}
	for _, s := range services {
		// Those who make hundreds of claims for one workload have its pods wait for no
		// longer than the API server does.
		if err := ctx.Err(); err != nil {
			return allowed, fmt.Errorf("cannot look at all claims that name a pod of namespace %q: %w", r.Namespace, err)
		}
		admitted := s.admit(object)
		if admitted == nil {
			continue
		}
		b, err := json.Marshal(patch(nil, "", object, admitted))
		if err != nil {
			return allowed, fmt.Errorf("cannot encode patch of a pod of namespace %q: %w", r.Namespace, err)
		}
		kind := admissionv1.PatchTypeJSONPatch
		allowed.Patch, allowed.PatchType = b, &kind
		return allowed, nil
	}
	return allowed, nil
}

// Require answers what the API server asks of a pod that is created: it is held back
// where its service requires an injection that it lacks. With an error it is let in.
func (x *Index) Require(_ context.Context, r *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
	rsp := &admissionv1.AdmissionResponse{UID: r.UID, Allowed: true}
	pod, ok, err := created(r)
	if err != nil || !ok {
		return rsp, err
	}
	naming, has := workload.NamingOf(pod), pod.Annotations[workload.AnnotationInjection]
	for _, q := range x.requirementsOf(r.Namespace, naming) {
		if denial := q.denial(has, naming); denial != "" {
			rsp.Allowed = false
			rsp.Result = &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonForbidden, Code: 403, Message: denial}
			return rsp, nil
		}
	}
	return rsp, nil
}

// created pod of a request, of which only the metadata is decoded. It is false where
// the request is about something else, which the webhook's configuration doesn't ask.
func created(r *admissionv1.AdmissionRequest) (*metav1.ObjectMeta, bool, error) {
	if r.Operation != admissionv1.Create || r.Resource != (metav1.GroupVersionResource{Version: "v1", Resource: "pods"}) || r.SubResource != "" {
		return nil, false, nil
	}
	var pod struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(r.Object.Raw, &pod); err != nil {
		return nil, false, fmt.Errorf("cannot decode metadata of a pod of namespace %q: %w", r.Namespace, err)
	}
	return &pod.Metadata, true, nil
}
