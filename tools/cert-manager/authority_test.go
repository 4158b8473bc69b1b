// Package certmanager makes the webhook's certificates as cert-manager's controllers do, by
// its own code, and looks at them as the API server does.
package certmanager

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/cert-manager/cert-manager/pkg/util/pki"
	"sigs.k8s.io/yaml"
)

const (
	certificates  = "../../package/install/webhook-cert-manager/certificates.yaml"
	configuration = "../../package/webhook/configuration.yaml"
)

// read the Certificate of a name from what is installed.
func read(t *testing.T, name string) *certmanagerv1.Certificate {
	t.Helper()
	text, err := os.ReadFile(certificates)
	if err != nil {
		t.Fatal(err)
	}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		c := &certmanagerv1.Certificate{}
		if err := yaml.Unmarshal([]byte(document), c); err != nil {
			t.Fatal(err)
		}
		if c.Kind == certmanagerv1.CertificateKind && c.Name == name {
			return c
		}
	}
	t.Fatalf("%s has no Certificate %s", certificates, name)
	return nil
}

// server is the name by which the API server calls the webhook.
func server(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(configuration)
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Webhooks []struct {
			ClientConfig struct {
				Service struct{ Namespace, Name string }
			}
		}
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	s := c.Webhooks[0].ClientConfig.Service
	return s.Name + "." + s.Namespace + ".svc"
}

// A pair is what cert-manager keeps in the Secret of a Certificate.
type pair struct {
	key  crypto.Signer
	cert *x509.Certificate
}

// nextKey of a Certificate that is issued anew, as the controller keymanager has it in
// createNextPrivateKeyRotationPolicyNever.
func nextKey(t *testing.T, c *certmanagerv1.Certificate, had crypto.Signer) crypto.Signer {
	t.Helper()
	if had != nil && c.Spec.PrivateKey.RotationPolicy == certmanagerv1.RotationPolicyNever {
		if wrong := pki.PrivateKeyMatchesSpec(had, c.Spec); len(wrong) > 0 {
			t.Fatalf("cert-manager issues no certificate by a key that isn't as its spec says: %v", wrong)
		}
		return had
	}
	key, err := pki.GeneratePrivateKeyForCertificate(c)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// template of the certificate that a Certificate asks for, as the controllers
// requestmanager and certificaterequests make it.
func template(t *testing.T, c *certmanagerv1.Certificate, key crypto.Signer) *x509.Certificate {
	t.Helper()
	request, err := pki.GenerateCSR(c)
	if err != nil {
		t.Fatal(err)
	}
	der, err := pki.EncodeCSR(request, key)
	if err != nil {
		t.Fatal(err)
	}
	made, err := pki.CertificateTemplateFromCertificateRequest(&certmanagerv1.CertificateRequest{Spec: certmanagerv1.CertificateRequestSpec{
		Request:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
		Duration: c.Spec.Duration, IsCA: c.Spec.IsCA, Usages: c.Spec.Usages,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// selfSigned certificate, as an Issuer selfSigned makes it.
func selfSigned(t *testing.T, template *x509.Certificate, key crypto.Signer) pair {
	t.Helper()
	_, cert, err := pki.SignCertificate(template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{key, cert}
}

// signed by an authority, as an Issuer ca makes it.
func (authority pair) signed(t *testing.T, c *certmanagerv1.Certificate) pair {
	t.Helper()
	key := nextKey(t, c, nil)
	bundle, err := pki.SignCSRTemplate([]*x509.Certificate{authority.cert}, authority.key, template(t, c, key))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pki.DecodeX509CertificateBytes(bundle.ChainPEM)
	if err != nil {
		t.Fatal(err)
	}
	return pair{key, cert}
}

// takes says whether an API server that trusts only one authority takes a certificate.
func (authority pair) takes(p pair, name string) error {
	roots := x509.NewCertPool()
	roots.AddCert(authority.cert)
	_, err := p.cert.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err
}

// TestRenewedAuthority holds that pods are injected while the authority's certificate is
// renewed. What the API server trusts and what the webhook shows then don't change at once: a
// replica shows the former certificate until the kubelet has mounted the new one, and the
// API server's configuration may be written later than both. cert-manager before 1.19 lets
// it trust one authority only.
func TestRenewedAuthority(t *testing.T) {
	t.Parallel()
	name := server(t)
	for test, tc := range map[string]struct {
		reason string
		change func(authority *certmanagerv1.Certificate)
		renew  func(template *x509.Certificate)
		taken  bool
	}{
		"AsInstalled": {reason: "Certificates of both authorities are by one key.", taken: true},
		"OtherKeyID": {
			reason: "Go has made this hash of the key by another function since 1.25, and so does a cert-manager that is built with it.",
			renew:  func(template *x509.Certificate) { template.SubjectKeyId = []byte("another function's") },
			taken:  true,
		},
		"Always": {
			reason: "A new key has signed nothing that is shown yet: this tries the test itself.",
			change: func(authority *certmanagerv1.Certificate) {
				authority.Spec.PrivateKey.RotationPolicy = certmanagerv1.RotationPolicyAlways
			},
		},
		"Unset": {
			reason: "It has been as Always since cert-manager 1.18.",
			change: func(authority *certmanagerv1.Certificate) { authority.Spec.PrivateKey.RotationPolicy = "" },
		},
	} {
		t.Run(test, func(t *testing.T) {
			t.Parallel()
			authority, certificate := read(t, "service-connections-webhook-ca"), read(t, "service-connections-webhook")
			if tc.change != nil {
				tc.change(authority)
			}
			key := nextKey(t, authority, nil)
			former := selfSigned(t, template(t, authority, key), key)
			shown := former.signed(t, certificate)

			key = nextKey(t, authority, former.key)
			next := template(t, authority, key)
			if tc.renew != nil {
				tc.renew(next)
			}
			renewed := selfSigned(t, next, key)
			if bytes.Equal(renewed.cert.Raw, former.cert.Raw) {
				t.Fatal("the authority's certificate is the former one")
			}
			for what, err := range map[string]error{
				"the former certificate by the renewed authority": renewed.takes(shown, name),
				"a new certificate by the former authority":       former.takes(renewed.signed(t, certificate), name),
			} {
				if taken := err == nil; taken != tc.taken {
					t.Errorf("%s: the API server takes %s: %t, want %t: %v", tc.reason, what, taken, tc.taken, err)
				}
			}
			for what, err := range map[string]error{
				"former": former.takes(shown, name), "renewed": renewed.takes(renewed.signed(t, certificate), name),
			} {
				if err != nil {
					t.Errorf("%s: the API server doesn't take what the %s authority signed: %v", tc.reason, what, err)
				}
			}
			if same := bytes.Equal(shown.cert.AuthorityKeyId, renewed.cert.SubjectKeyId); same != (tc.taken && tc.renew == nil) {
				t.Errorf("%s: the former certificate names the renewed authority's key: %t", tc.reason, same)
			}
		})
	}
}
