package package_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/test/schema"
)

// TestCertManagerMakesTheCertificate holds that cert-manager takes what is installed for
// it, and makes what the webhook mounts, by the name that the API server calls.
func TestCertManagerMakesTheCertificate(t *testing.T) {
	t.Parallel()

	const folder = "install/webhook-cert-manager/"
	text, err := os.ReadFile(folder + "certificates.yaml")
	if err != nil {
		t.Fatal(err)
	}
	v := schema.CertManager(t)
	byName := map[string]*unstructured.Unstructured{}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		u := &unstructured.Unstructured{Object: parse(t, document)}
		if errs := v.Validate(u.Object); len(errs) > 0 {
			t.Errorf("cert-manager would refuse %s %q: %v", u.GetKind(), u.GetName(), errs.ToAggregate())
		}
		byName[u.GetKind()+" "+u.GetName()] = u
	}

	deployment := &appsv1.Deployment{}
	strict(t, "webhook/runtime.yaml", 0, deployment)
	injecting := &admissionregistrationv1.MutatingWebhookConfiguration{}
	strict(t, "webhook/configuration.yaml", 0, injecting)
	service := injecting.Webhooks[0].ClientConfig.Service
	certificate, authority := byName["Certificate service-connections-webhook"], byName["Certificate service-connections-webhook-ca"]
	if certificate == nil || authority == nil {
		t.Fatalf("want the webhook's certificate and its authority, got %v", byName)
	}
	if got, _, _ := unstructured.NestedString(certificate.Object, "spec", "secretName"); got != deployment.Spec.Template.Spec.Volumes[0].Secret.SecretName {
		t.Errorf("cert-manager writes Secret %q, and the webhook mounts %q", got, deployment.Spec.Template.Spec.Volumes[0].Secret.SecretName)
	}
	if names, _, _ := unstructured.NestedStringSlice(certificate.Object, "spec", "dnsNames"); !slices.Equal(names, []string{service.Name + "." + service.Namespace + ".svc"}) {
		t.Errorf("the certificate is for %q, and the API server calls %s in namespace %s", names, service.Name, service.Namespace)
	}
	// Each issuer is there, and that of the certificate signs by the authority's Secret.
	for name, u := range byName {
		if u.GetNamespace() != deployment.Namespace {
			t.Errorf("%s is in namespace %q, want the webhook's", name, u.GetNamespace())
		}
		if issuer, ok, _ := unstructured.NestedString(u.Object, "spec", "issuerRef", "name"); ok && byName["Issuer "+issuer] == nil {
			t.Errorf("%s is by Issuer %q, which isn't there", name, issuer)
		}
	}
	issuer, _, _ := unstructured.NestedString(certificate.Object, "spec", "issuerRef", "name")
	signs, _, _ := unstructured.NestedString(byName["Issuer "+issuer].Object, "spec", "ca", "secretName")
	has, _, _ := unstructured.NestedString(authority.Object, "spec", "secretName")
	if signs != has || signs == "" {
		t.Errorf("the certificate is signed by Secret %q, and the authority is in %q", signs, has)
	}
	kustomization, err := os.ReadFile(folder + "kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// By this annotation cert-manager has the API server trust the authority.
	if want := "{cert-manager.io/inject-ca-from: " + certificate.GetNamespace() + "/" + certificate.GetName() + "}"; !strings.Contains(string(kustomization), want) {
		t.Errorf("the configuration lacks the annotation %s", want)
	}
}
