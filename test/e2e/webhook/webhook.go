// Package webhook is what EKS and AKS have their API servers call for each new pod. The
// real ones are no Go modules that can be built; what they add to a pod is restated
// here from their sources, and the API server calls these over HTTPS as it calls those.
package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Label of a namespace whose pods a webhook gets: its value is the webhook's name.
const Label = "webhook.example.org/name"

// A Webhook of a cloud.
type Webhook struct {
	// Name of its configuration, and value of Label.
	Name string

	// Pods that it is called for, by their labels.
	Pods *metav1.LabelSelector

	// Mutate a pod of a ServiceAccount.
	Mutate func(*corev1.Pod, *corev1.ServiceAccount)
}

// Serve a webhook on loopback and register it, until stopped.
func Serve(ctx context.Context, c client.Client, of Webhook) (stop func(), err error) {
	certificate, key, err := cert.GenerateSelfSignedCertKey("localhost", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot generate certificate of webhook %s: %w", of.Name, err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot serve webhook %s: %w", of.Name, err)
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: handler{of, c}}
	if s.TLSConfig, err = config(certificate, key); err != nil {
		return nil, err
	}
	go s.ServeTLS(l, "", "") //nolint:errcheck // It ends with stop.
	url := "https://" + l.Addr().String()
	registered := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: of.Name},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name:                    of.Name + ".example.org",
			ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: certificate},
			NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{Label: of.Name}},
			ObjectSelector:          of.Pods,
			AdmissionReviewVersions: []string{"v1"},
			FailurePolicy:           new(admissionregistrationv1.Fail),
			SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
			ReinvocationPolicy:      new(admissionregistrationv1.IfNeededReinvocationPolicy),
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
		}},
	}
	if err := c.Create(ctx, registered); err != nil {
		_ = s.Close() // Nobody calls it.
		return nil, fmt.Errorf("cannot register webhook %s: %w", of.Name, err)
	}
	return func() {
		// The cluster that it is registered in may be gone.
		_ = c.Delete(context.WithoutCancel(ctx), registered)
		_ = s.Close()
	}, nil
}

// A handler of a webhook.
type handler struct {
	Webhook

	client client.Client
}

// ServeHTTP answers a review.
func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	review := &admissionv1.AdmissionReview{}
	if err := json.NewDecoder(r.Body).Decode(review); err != nil || review.Request == nil {
		http.Error(w, "no review", http.StatusBadRequest)
		return
	}
	review.Response = h.review(r.Context(), review.Request)
	review.Request = nil
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(review) //nolint:errchkjson // Whoever has called may be gone.
}

func (h handler) review(ctx context.Context, r *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	fail := func(err error) *admissionv1.AdmissionResponse {
		return &admissionv1.AdmissionResponse{UID: r.UID, Result: &metav1.Status{Message: err.Error(), Code: http.StatusInternalServerError}}
	}
	pod := &corev1.Pod{}
	if err := json.Unmarshal(r.Object.Raw, pod); err != nil {
		return fail(err)
	}
	sa := &corev1.ServiceAccount{}
	name := pod.Spec.ServiceAccountName
	if name == "" {
		name = "default"
	}
	if err := h.client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: name}, sa); err != nil {
		return fail(err)
	}
	h.Mutate(pod, sa)
	patch, err := json.Marshal([]map[string]any{{"op": "replace", "path": "/spec", "value": pod.Spec}})
	if err != nil {
		return fail(err)
	}
	return &admissionv1.AdmissionResponse{UID: r.UID, Allowed: true, Patch: patch, PatchType: new(admissionv1.PatchTypeJSONPatch)}
}

// eachContainer of a pod, init containers too, but for those that are skipped.
func eachContainer(pod *corev1.Pod, skip []string, f func(*corev1.Container)) {
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			if !slices.Contains(skip, containers[i].Name) {
				f(&containers[i])
			}
		}
	}
}

// skipped containers, which an annotation of the pod lists.
func skipped(pod *corev1.Pod, annotation, separator string) []string {
	names := strings.Split(pod.Annotations[annotation], separator)
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}

// addEnvironment to a container, but for what it has already, and what is empty.
func addEnvironment(c *corev1.Container, env ...corev1.EnvVar) {
	has := map[string]bool{}
	for _, e := range c.Env {
		has[e.Name] = true
	}
	for _, e := range env {
		if !has[e.Name] && e.Value != "" {
			c.Env = append(c.Env, e)
		}
	}
}

// addToken to a pod as a volume, unless there is one of that name.
func addToken(pod *corev1.Pod, volume, audience, file string, seconds int64) {
	has := false
	for i := range pod.Spec.Volumes {
		has = has || pod.Spec.Volumes[i].Name == volume
	}
	if !has {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{
			Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
				ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: audience, ExpirationSeconds: &seconds, Path: file},
			}}},
		}})
	}
}

// addMount of a volume to a container, unless it has one.
func addMount(c *corev1.Container, volume, path string) {
	for _, m := range c.VolumeMounts {
		if m.Name == volume {
			return
		}
	}
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: volume, MountPath: path, ReadOnly: true})
}
