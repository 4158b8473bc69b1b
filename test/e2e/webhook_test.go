package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// withoutPolicy of injection: the API server of an older Kubernetes. In the end it is
// there again.
func (t *team) withoutPolicy() {
	t.t.Helper()
	if !t.HasInjectionPolicy() {
		return
	}
	t.t.Cleanup(func() {
		ctx := context.Background()
		if err := t.ApplyFiles(ctx, controlplane.InjectionPolicy); err != nil {
			t.t.Error(err)
		}
		if err := t.AwaitPolicy(ctx); err != nil {
			t.t.Error(err)
		}
	})
	t.removePolicy()
}

func (t *team) removePolicy() {
	t.t.Helper()
	for _, kind := range []string{"MutatingAdmissionPolicyBinding", "MutatingAdmissionPolicy"} {
		o := &unstructured.Unstructured{}
		o.SetAPIVersion("admissionregistration.k8s.io/v1")
		o.SetKind(kind)
		o.SetName("service-connections")
		if err := t.Client.Delete(t.t.Context(), o); err != nil {
			t.t.Fatal(err)
		}
	}
}

// webhook with two replicas, which stops with the test.
func (t *team) webhook() *controlplane.Webhook {
	t.t.Helper()
	w, err := t.StartWebhook(t.t.Context(), 2, true)
	if err != nil {
		t.t.Fatal(err)
	}
	t.t.Cleanup(func() {
		if err := w.Stop(context.Background()); err != nil {
			t.t.Error(err)
		}
	})
	return w
}

// tryPod of a service as it would come out now.
func (t *team) tryPod(ctx context.Context, service string) (*corev1.Pod, error) {
	pod := t.barePod("try")
	pod.Labels = map[string]string{labelClaim: "shop", labelService: service}
	return pod, t.Client.Create(ctx, pod, client.DryRunAll)
}

// awaitPlain until the API server gives pods of a service nothing.
func (t *team) awaitPlain(service string) {
	t.t.Helper()
	t.eventually("pods of "+service+" come out plain", func(ctx context.Context) error {
		pod, err := t.tryPod(ctx, service)
		if err == nil && pod.Annotations[annotationInjection] != "" {
			err = fmt.Errorf("they have injection %q", pod.Annotations[annotationInjection])
		}
		return err
	})
}

// TestWebhook is a cluster whose API server has no policy of injection: the webhook
// gives pods the same, as the real controllers make them.
func TestWebhook(t *testing.T) {
	t.Parallel()
	disturb(t, func(t *team) {
		t.withoutPolicy()
		t.apply(deployment("plain"))
		t.wantPlain(t.awaitPod("plain"))
		t.connect(everything + "- {name: plain, connections: [{type: awsRole, role: my-app-other}]}\n")
		t.awaitReady()
		t.awaitPlain("api")
		t.awaitRestart("plain")

		w := t.webhook()
		t.awaitInjecting("shop", "api")
		t.apply(deployment("api"))
		injected := t.awaitPod("api")
		t.wantInjected(injected, "shop", "api")
		t.kubectl(t.awaitRestart("plain"))
		t.awaitConnected("plain", "shop-plain")
		t.bothInstalled(injected)
		t.heldBack()
		t.webhookFaults(w)
	})
}

// bothInstalled beside each other give a pod what the webhook alone gave one.
func (t *team) bothInstalled(by *corev1.Pod) {
	t.t.Helper()
	if !t.HasInjectionPolicy() {
		return
	}
	if err := t.ApplyFiles(t.t.Context(), controlplane.InjectionPolicy); err != nil {
		t.t.Fatal(err)
	}
	// A pod doesn't tell which of them it was, so the API server does.
	checks := func(ctx context.Context) (float64, error) {
		m, err := t.APIServerMetrics(ctx)
		return m.Value("apiserver_mutating_admission_policy_check_total"), err
	}
	before, err := checks(t.t.Context())
	if err != nil {
		t.t.Fatal(err)
	}
	t.eventually("the policy looks at pods", func(ctx context.Context) error {
		if _, err := t.tryPod(ctx, "api"); err != nil {
			return err
		}
		now, err := checks(ctx)
		if err == nil && now <= before {
			err = fmt.Errorf("it has looked %v times", now)
		}
		return err
	})
	t.kubectl("kubectl -n " + t.namespace + " delete pods -l app=api")
	t.eventually("with both, a pod is as by the webhook alone", func(ctx context.Context) error {
		pods := &corev1.PodList{}
		if err := t.Client.List(ctx, pods, client.InNamespace(t.namespace), client.MatchingLabels{"app": "api"}); err != nil {
			return err
		}
		i := slices.IndexFunc(pods.Items, func(p corev1.Pod) bool { return p.UID != by.UID })
		if i < 0 {
			return fmt.Errorf("no other pod than %s", by.Name)
		}
		if got, want := view(&pods.Items[i]), view(by); got != want {
			return fmt.Errorf("with both, the pod is\n%s\nand by the webhook alone it was\n%s", got, want)
		}
		return nil
	})
	t.removePolicy()
}

// heldBack are pods of a service that requires what isn't there, in the policy's words.
func (t *team) heldBack() {
	t.t.Helper()
	t.connect(everything + "- {name: held, requireInjection: true, connections: [{type: azureManagedIdentity, identityName: never, resourceGroup: rg-shop}]}\n")
	t.awaitReason("held", claim.TypeAzureManagedIdentity, "IdentityNotFound")
	t.eventually("pods are held back", func(ctx context.Context) error {
		_, err := t.tryPod(ctx, "held")
		return forbidden(err, `ServiceConnection "shop" requires the injection of service "held", which the pod lacks: azureManagedIdentity: IdentityNotFound: `)
	})
}

// webhookFaults one after the other, while pods are created all the time.
func (t *team) webhookFaults(w *controlplane.Webhook) {
	t.t.Helper()
	ctx := t.t.Context()

	t.learnsNothing(w)
	t.staleness()

	// As after a year: what is there is no certificate any more.
	t.renewed(w, "certificate", func(data map[string][]byte) { data[corev1.TLSCertKey] = nil })
	// As after ten: the authority can sign no more.
	t.renewed(w, "authority", func(data map[string][]byte) { data["ca.key"] = nil })

	// Of one of them the API server keeps a connection.
	plain, all := t.whileCreating(func() {
		for i := range w.Addresses() {
			if err := w.Stall(ctx, i, 7*time.Second); err != nil {
				t.t.Fatal(err)
			}
		}
	})
	t.t.Logf("one of two replicas stalled, and then the other: %d of %d pods came out plain", plain, all)
	// The API server waits three seconds for each, and then lets go of that connection.
	if plain > 4 || all-plain < 10 {
		t.t.Errorf("with one of two replicas stalled, %d of %d pods come out plain, want the others to ask the other one", plain, all)
	}

	plain, all = t.whileCreating(func() {
		w.Kill(0)
		<-time.After(2 * time.Second)
	})
	t.t.Logf("one of two replicas killed: %d of %d pods came out plain", plain, all)
	if plain > 1 {
		t.t.Errorf("with one of two replicas killed, %d of %d pods come out plain, want at most the one that it was asked about", plain, all)
	}

	if err := t.RestartAPIServer(ctx); err != nil {
		t.t.Fatal(err)
	}
	t.awaitInjecting("shop", "api")

	w.StopReplicas()
	t.keepsCreating("down", "pods are let in while the webhook is down", nil, 3)
	t.awaitPlain("api")
	// What came out plain is told, with what to do once the webhook is back.
	t.kubectl("kubectl -n " + t.namespace + " delete pods -l app=api")
	me := t.terminal(t.Config)
	t.eventually("the plugin tells of a plain pod", func(context.Context) error {
		s := me.run("status", "shop")
		for _, want := range []string{"PodsNotInjected", "without injection", "kubectl -n " + t.namespace + " rollout restart deployment/api"} {
			if !strings.Contains(s.out, want) {
				return fmt.Errorf("it doesn't say %q:\n%s", want, s.out)
			}
		}
		return nil
	})
}

// renewed once something in the webhook's Secret was spoilt, while pods are created all
// the time. None may come out plain.
func (t *team) renewed(w *controlplane.Webhook, what string, spoil func(map[string][]byte)) {
	t.t.Helper()
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: "service-connections", Name: "service-connections-webhook-certificates"}
	if err := t.Client.Get(t.t.Context(), key, secret); err != nil {
		t.t.Fatal(err)
	}
	old := secret.DeepCopy().Data[corev1.TLSCertKey]
	plain, all := t.whileCreating(func() {
		spoil(secret.Data)
		if err := t.Client.Update(t.t.Context(), secret); err != nil {
			t.t.Fatal(err)
		}
		t.eventually("the "+what+" is renewed", func(context.Context) error {
			if now := t.certificate(); len(now) == 0 || bytes.Equal(now, old) {
				return fmt.Errorf("the certificate is still the old one")
			}
			return nil
		})
		for _, address := range w.Addresses() {
			t.eventually("the new certificate is shown", func(ctx context.Context) error {
				conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", address) //nolint:gosec // What it shows is compared.
				if err != nil {
					return err
				}
				defer conn.Close() //nolint:errcheck // Nothing was sent.
				shown := conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
				if !bytes.Contains(t.certificate(), pemOf(shown.Raw)) {
					return fmt.Errorf("serial %s of %s is shown", shown.SerialNumber, shown.NotBefore)
				}
				return nil
			})
		}
	})
	t.t.Logf("%s renewed: %d of %d pods came out plain", what, plain, all)
	if plain > 0 {
		t.t.Errorf("while the %s is renewed, %d of %d pods come out plain", what, plain, all)
	}
}

// certificate of the webhook, in PEM.
func (t *team) certificate() []byte {
	t.t.Helper()
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: "service-connections", Name: "service-connections-webhook-certificates"}
	if err := t.Client.Get(t.t.Context(), key, secret); err != nil {
		t.t.Fatal(err)
	}
	return secret.Data[corev1.TLSCertKey]
}

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// whileCreating pods of service api all the time, something is done. It returns how
// many of them came out plain; none may be refused.
func (t *team) whileCreating(do func()) (without, created int) {
	t.t.Helper()
	var plain, all int
	ctx, stop := context.WithCancel(t.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			pod, err := t.tryPod(t.t.Context(), "api")
			if err != nil {
				t.t.Errorf("a pod is refused: %v", err)
				return
			}
			all++
			if pod.Annotations[annotationInjection] == "" {
				plain++
			}
		}
	}()
	do()
	stop()
	<-ended
	return plain, all
}

// learnsNothing: a client that isn't the API server, and asks what a team's pod gets.
func (t *team) learnsNothing(w *controlplane.Webhook) {
	t.t.Helper()
	review := `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "1", "namespace": "` + t.namespace + `", "operation": "CREATE",
		"resource": {"version": "v1", "resource": "pods"}, "object": {"metadata": {"labels": {"` + labelClaim + `": "shop", "` + labelService + `": "api"}}, "spec": {"containers": [{"name": "x"}]}}}}`
	h := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}} //nolint:gosec // An attacker doesn't mind.
	for _, path := range []string{"/inject", "/inject/", "/inject/guess", "/require/guess"} {
		req, err := http.NewRequestWithContext(t.t.Context(), http.MethodPost, "https://"+w.Addresses()[0]+path, strings.NewReader(review))
		if err != nil {
			t.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		rsp, err := h.Do(req)
		if err != nil {
			t.t.Fatal(err)
		}
		b, err := io.ReadAll(rsp.Body)
		_ = rsp.Body.Close()
		if err != nil || rsp.StatusCode != http.StatusNotFound || strings.Contains(string(b), "shop") {
			t.t.Errorf("%s: a stranger is answered %s: %s %v", path, rsp.Status, b, err)
		}
	}
}

// staleness of the webhook: how long pods still get what was published before.
func (t *team) staleness() {
	t.t.Helper()
	t.apply(`
apiVersion: serviceconnections.io/v1alpha1
kind: ServiceConnection
metadata: {name: stale, annotations: {crossplane.io/paused: "true"}}
spec: {services: [{name: api, workload: {apiVersion: v1, kind: Pod, name: stale}, connections: [{type: awsRole, role: my-app-s3-access}]}]}
`)
	took := make([]time.Duration, 0, 20)
	for i := range 20 {
		hash := fmt.Sprintf("%016x", i+1)
		if err := controlplane.ApplyStatus(t.t.Context(), t.Crossplane, fmt.Sprintf(`
apiVersion: serviceconnections.io/v1alpha1
kind: ServiceConnection
metadata: {name: stale, namespace: %s}
status: {services: [{name: api, delivery: Admission, serviceAccountName: default, workload: {apiVersion: v1, kind: Pod, name: stale}, connections: [], injection: {hash: %q, complete: true, serviceAccountName: default}}]}
`, t.namespace, hash)); err != nil {
			t.t.Fatal(err)
		}
		begin := time.Now()
		t.eventually("the status is known", func(ctx context.Context) error {
			pod := t.barePod("stale")
			for {
				try := pod.DeepCopy()
				if err := t.Client.Create(ctx, try, client.DryRunAll); err != nil || try.Annotations[annotationInjection] == hash {
					return err
				}
			}
		})
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	t.t.Logf("from the API server's answer to a status until a pod has it: median %s, most %s", took[len(took)/2], took[len(took)-1])
	if most := took[len(took)-1]; most > 5*time.Second {
		t.t.Errorf("pods get what was published before for %s", most)
	}
	o := &unstructured.Unstructured{}
	o.SetAPIVersion("serviceconnections.io/v1alpha1")
	o.SetKind("ServiceConnection")
	o.SetNamespace(t.namespace)
	o.SetName("stale")
	if err := t.Client.Delete(t.t.Context(), o); err != nil && !kerrors.IsNotFound(err) {
		t.t.Error(err)
	}
}
