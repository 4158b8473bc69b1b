package webhook

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

// TestReadsByName holds that the webhook asks for no object that its role doesn't name,
// whatever the library that renews the certificate watches.
func TestReadsByName(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason, method, path, want string
	}{
		"List": {
			reason: "All Secrets of a namespace are nobody's business.",
			path:   "/api/v1/namespaces/service-connections/secrets?limit=500", want: "fieldSelector=metadata.name%3Dservice-connections-webhook-certificates&limit=500",
		},
		"Watch": {
			reason: "Nor are the other webhooks of a cluster.",
			path:   "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations?watch=true", want: "fieldSelector=metadata.name%3D00-service-connections&watch=true",
		},
		"OtherKind": {
			reason: "Each resource has a name of its own.",
			path:   "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", want: "fieldSelector=metadata.name%3Dservice-connections-require-injection",
		},
		"Get": {
			reason: "What names an object needs no selector.",
			path:   "/api/v1/namespaces/service-connections/secrets/service-connections-webhook-path",
		},
		"Discovery": {reason: "Nor what is no object.", path: "/api/v1"},
		"Update":    {reason: "Nor what writes.", method: http.MethodPut, path: "/api/v1/namespaces/service-connections/secrets"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := make(chan *url.URL, 1)
			s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL }))
			defer s.Close()
			c, err := rest.HTTPClientFor(narrowed(&rest.Config{Host: s.URL}))
			if err != nil {
				t.Fatal(err)
			}
			if tc.method == "" {
				tc.method = http.MethodGet
			}
			r, err := http.NewRequestWithContext(t.Context(), tc.method, s.URL+tc.path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			before := r.URL.String()
			rsp, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = rsp.Body.Close()
			if diff := cmp.Diff(tc.want, (<-asked).RawQuery); diff != "" {
				t.Errorf("%s\nquery -want +got:\n%s", tc.reason, diff)
			}
			if r.URL.String() != before {
				t.Errorf("the caller's own request became %s", r.URL)
			}
		})
	}
}

// An authority with a certificate that it has signed, as cert-controller makes them.
type authority struct {
	ca        *rotator.KeyPairArtifacts
	cert, key []byte
}

const host = "service-connections-webhook.service-connections.svc"

func newAuthority(t testing.TB, begin, end time.Time) authority {
	t.Helper()
	r := &rotator.CertRotator{CAName: authorityName, DNSName: host, ExtKeyUsages: &[]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	ca, err := r.CreateCACert(begin, end)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{ca: ca}
	if a.cert, a.key, err = r.CreateCertPEM(ca, begin, end); err != nil {
		t.Fatal(err)
	}
	return a
}

// secret with an authority and its certificate.
func (a authority) secret() *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: certificatesSecret},
		Data:       map[string][]byte{"ca.crt": a.ca.CertPEM, "ca.key": a.ca.KeyPEM, "tls.crt": a.cert, "tls.key": a.key},
	}
}

// trusts says whether a client that trusts a bundle, as the API server does, trusts a certificate.
func trusts(t *testing.T, bundle, cert []byte) bool {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		t.Fatalf("no authority in %s", bundle)
	}
	b, _ := pem.Decode(cert)
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Verify(x509.VerifyOptions{DNSName: host, Roots: roots})
	return err == nil
}

// TestAuthoritySucceeds holds that while the kubelet has not mounted the certificate of
// a new authority, the API server trusts the one that the replicas still show.
func TestAuthoritySucceeds(t *testing.T) {
	t.Parallel()
	begin := time.Now().Add(-time.Hour)
	oldest := newAuthority(t, begin, time.Now().Add(time.Hour))
	old := newAuthority(t, begin, time.Now().Add(time.Hour))
	ended := newAuthority(t, begin, time.Now().Add(-time.Minute))
	next := newAuthority(t, begin, time.Now().Add(1000*time.Hour))
	twice := old.secret()
	twice.Data["ca.crt"] = append(twice.Data["ca.crt"], oldest.ca.CertPEM...)

	cases := map[string]struct {
		reason        string
		was           *corev1.Secret
		trusted, gone *authority
	}{
		"Renewed":   {reason: "The old certificate is shown for a minute or two.", was: old.secret(), trusted: &old},
		"Again":     {reason: "One before that is shown nowhere.", was: twice, trusted: &old, gone: &oldest},
		"Ended":     {reason: "No client trusts what has ended.", was: ended.secret(), gone: &ended},
		"Installed": {reason: "There was none.", was: &corev1.Secret{ObjectMeta: old.secret().ObjectMeta}, gone: &old},
		"Garbage": {reason: "Whoever empties the Secret wants the old one gone.", was: &corev1.Secret{
			ObjectMeta: old.secret().ObjectMeta, Data: map[string][]byte{"ca.crt": []byte("x"), "tls.crt": old.cert},
		}, gone: &old},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			live := fake.NewClientBuilder().WithObjects(tc.was).Build()
			key := client.ObjectKeyFromObject(tc.was)
			written := &corev1.Secret{}
			if err := live.Get(t.Context(), key, written); err != nil {
				t.Fatal(err)
			}
			written.Data = next.secret().Data
			if err := (heir{live, live, key}).Update(t.Context(), written); err != nil {
				t.Fatal(err)
			}
			got := &corev1.Secret{}
			if err := live.Get(t.Context(), key, got); err != nil {
				t.Fatal(err)
			}
			bundle := got.Data["ca.crt"]
			if !trusts(t, bundle, next.cert) {
				t.Errorf("%s\nthe new certificate isn't trusted", tc.reason)
			}
			if tc.trusted != nil && !trusts(t, bundle, tc.trusted.cert) {
				t.Errorf("%s\nthe certificate that the replicas still show isn't trusted", tc.reason)
			}
			if tc.gone != nil && trusts(t, bundle, tc.gone.cert) {
				t.Errorf("%s\nthe certificate of one that has gone is trusted", tc.reason)
			}
			// cert-controller must know it as its own, or it would make another one for ever.
			for what, pair := range map[string][2][]byte{"authority": {bundle, got.Data["ca.key"]}, "certificate": {got.Data["tls.crt"], got.Data["tls.key"]}} {
				of := map[string]string{"authority": authorityName, "certificate": host}[what]
				if ok, err := rotator.ValidCert(bundle, pair[0], pair[1], of, nil, time.Now()); !ok {
					t.Errorf("%s\ncert-controller would make another %s: %v", tc.reason, what, err)
				}
			}
			// A certificate that is renewed leaves the authorities as they are.
			again := got.DeepCopy()
			again.Data["tls.crt"] = []byte("renewed")
			if err := (heir{live, live, key}).Update(t.Context(), again); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(bundle), string(again.Data["ca.crt"])); diff != "" {
				t.Errorf("authorities after a certificate was renewed: -before +after:\n%s", diff)
			}
		})
	}
}

// TestOtherObjectsAreWrittenAsTheyAre holds that only the Secret has authorities.
func TestOtherObjectsAreWrittenAsTheyAre(t *testing.T) {
	t.Parallel()
	live := fake.NewClientBuilder().WithObjects(pathSecret("p"), injecting(atService(nil))).Build()
	h := heir{live, live, client.ObjectKey{Namespace: namespace, Name: certificatesSecret}}
	for _, o := range []client.Object{pathSecret(""), injecting(atService(nil))} {
		if err := live.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatal(err)
		}
		o.SetLabels(map[string]string{"written": "true"})
		if err := h.Update(t.Context(), o); err != nil {
			t.Errorf("%T: %v", o, err)
		}
	}
}
