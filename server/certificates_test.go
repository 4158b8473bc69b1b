package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// convert one protobuf message into another of the same fields.
func convert(t *testing.T, from, to proto.Message) {
	t.Helper()
	b, err := proto.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(b, to); err != nil {
		t.Fatal(err)
	}
}

// A certificate with its key and that of its issuer.
type certificate struct {
	parsed *x509.Certificate
	key    *ecdsa.PrivateKey
	pem    []byte
}

// issue a certificate for 127.0.0.1; a nil issuer makes it a CA.
func issue(t *testing.T, commonName string, issuer *certificate) *certificate {
	t.Helper()
	return issueUntil(t, time.Now().Add(time.Hour), commonName, issuer)
}

// issueUntil a time, after which the certificate has expired.
func issueUntil(t *testing.T, notAfter time.Time, commonName string, issuer *certificate) *certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: commonName},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		IsCA:                  issuer == nil,
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := template, key
	if issuer != nil {
		parent, signer = issuer.parsed, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &certificate{parsed: parsed, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// keyPEM is the private key as a file holds it.
func (c *certificate) keyPEM(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(c.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

// tls certificate with its key.
func (c *certificate) tls() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{c.parsed.Raw}, PrivateKey: c.key}
}

// write the files that a function's pod has.
func write(t *testing.T, dir string, ca, server *certificate) {
	t.Helper()
	for name, content := range map[string][]byte{"ca.crt": ca.pem, "tls.crt": server.pem, "tls.key": server.keyPEM(t)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// client credentials that trust the CA and show the certificate, if any. The
// name of each server that is met goes to the channel.
func client(t *testing.T, ca, shown *certificate, servers chan<- string) credentials.TransportCredentials {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(ca.parsed)
	c := &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    pool,
		VerifyConnection: func(s tls.ConnectionState) error {
			servers <- s.PeerCertificates[0].Subject.CommonName
			return nil
		},
	}
	if shown != nil {
		// Without this, Go's client doesn't show a certificate that the server
		// says it won't accept, and there would be nothing to refuse.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			c := shown.tls()
			return &c, nil
		}
	}
	return credentials.NewTLS(c)
}

func TestMutualTLS(t *testing.T) {
	t.Parallel()

	ca, otherCA := issue(t, "ca", nil), issue(t, "other-ca", nil)
	crossplane := issue(t, "crossplane", ca)
	dir := t.TempDir()
	write(t, dir, ca, issue(t, "function", ca))
	config, err := MutualTLS(dir, logging.NewNopLogger())
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, echo, func(o *Options) { o.TLS = config })

	with := func(shown *certificate) credentials.TransportCredentials {
		return client(t, ca, shown, make(chan string, 100))
	}
	cases := map[string]struct {
		reason string
		client credentials.TransportCredentials
		want   codes.Code
	}{
		"OfTheCA": {
			reason: "Crossplane, whose certificate the CA issued, is answered.",
			client: with(crossplane),
			want:   codes.OK,
		},
		"OfAnotherCA": {
			reason: "A certificate of another CA is refused, whatever name it has.",
			client: with(issue(t, "crossplane", otherCA)),
			want:   codes.Unavailable,
		},
		"Expired": {
			reason: "A certificate that the CA issued, and that has expired, is refused.",
			client: with(issueUntil(t, time.Now().Add(-time.Minute), "crossplane", ca)),
			want:   codes.Unavailable,
		},
		"None": {
			reason: "A client without a certificate is refused: the response tells what a team connects to.",
			client: with(nil),
			want:   codes.Unavailable,
		},
		"OldTLS": {
			reason: "TLS 1.1 is broken, and refused even to Crossplane.",
			client: credentials.NewTLS(&tls.Config{
				MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11,
				InsecureSkipVerify: true, //nolint:gosec // It must be the server that refuses.
				Certificates:       []tls.Certificate{crossplane.tls()},
			}),
			want: codes.Unavailable,
		},
		"NoTLS": {
			reason: "A client that doesn't speak TLS is refused.",
			client: insecure.NewCredentials(),
			want:   codes.Unavailable,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			conn := s.dial(t, tc.client)
			_, err := fnv1.NewFunctionRunnerServiceClient(conn).RunFunction(t.Context(), &fnv1.RunFunctionRequest{})
			if diff := cmp.Diff(tc.want.String(), status.Code(err).String()); diff != "" {
				t.Errorf("\n%s\nRunFunction(...): -want, +got:\n%s\n%v", tc.reason, diff, err)
			}
		})
	}
}

func TestMutualTLSReload(t *testing.T) {
	t.Parallel()

	ca := issue(t, "ca", nil)
	crossplane := issue(t, "crossplane", ca)
	dir := t.TempDir()
	write(t, dir, ca, issue(t, "before", ca))
	config, err := MutualTLS(dir, logging.NewNopLogger())
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, echo, func(o *Options) { o.TLS = config })

	// Each step changes the files and makes a new connection.
	steps := []struct {
		reason string
		change func()
		want   string
	}{
		{
			reason: "The first certificate is served.",
			change: func() {},
			want:   "before",
		},
		{
			reason: "A rotated certificate is served without a restart.",
			change: func() { write(t, dir, ca, issue(t, "after", ca)) },
			want:   "after",
		},
		{
			reason: "While the files don't fit together, the last certificate is served.",
			change: func() {
				if err := os.WriteFile(filepath.Join(dir, "tls.key"), issue(t, "unrelated", ca).keyPEM(t), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			want: "after",
		},
	}
	for _, step := range steps {
		step.change()
		servers := make(chan string, 100)
		conn := s.dial(t, client(t, ca, crossplane, servers))
		if _, err := fnv1.NewFunctionRunnerServiceClient(conn).RunFunction(t.Context(), &fnv1.RunFunctionRequest{}); err != nil {
			t.Fatalf("\n%s\nRunFunction(...): %v", step.reason, err)
		}
		if diff := cmp.Diff(step.want, receive(t, "the server's certificate", servers)); diff != "" {
			t.Errorf("\n%s\n-want, +got:\n%s", step.reason, diff)
		}
	}
}

func TestMutualTLSError(t *testing.T) {
	t.Parallel()

	ca := issue(t, "ca", nil)
	cases := map[string]struct {
		reason string
		change func(dir string) error
		want   func(dir string) string
	}{
		"NoCertificate": {
			reason: "A directory without a certificate is an error at start, not at the first call.",
			change: func(dir string) error { return os.Remove(filepath.Join(dir, "tls.crt")) },
			want: func(dir string) string {
				return `cannot load tls.crt and tls.key from "` + dir + `": open ` + dir + `/tls.crt: no such file or directory`
			},
		},
		"NoCA": {
			reason: "Without a CA no client could be verified.",
			change: func(dir string) error { return os.Remove(filepath.Join(dir, "ca.crt")) },
			want: func(dir string) string {
				return `cannot read CA certificate: open ` + dir + `/ca.crt: no such file or directory`
			},
		},
		"EmptyCA": {
			reason: "A CA file without a certificate would refuse every client.",
			change: func(dir string) error { return os.WriteFile(filepath.Join(dir, "ca.crt"), nil, 0o600) },
			want: func(dir string) string {
				return `cannot use CA certificate "` + dir + `/ca.crt": it holds no PEM certificate`
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			dir := t.TempDir()
			write(t, dir, ca, issue(t, "function", ca))
			if err := tc.change(dir); err != nil {
				t.Fatal(err)
			}
			_, err := MutualTLS(dir, logging.NewNopLogger())
			if diff := cmp.Diff(tc.want(dir), errorText(err)); diff != "" {
				t.Errorf("\n%s\nMutualTLS(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
