package controlplane

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// StartFunction runs a function's binary as a process that serves with mTLS, and
// registers it with Crossplane under the supplied name. A function of that name
// that runs is replaced.
func (c *ControlPlane) StartFunction(ctx context.Context, name, binary string, args ...string) error {
	c.StopFunction(name)
	certificates, err := c.serverCertificates(ctx, name)
	if err != nil {
		return err
	}
	free, err := freePorts(ctx, 1)
	if err != nil {
		return err
	}
	p, err := start(c.Dir, program{name: name, path: c.tool(binary), args: append([]string{
		fmt.Sprintf("--address=127.0.0.1:%d", free[0]), "--tls-certs-dir=" + certificates,
	}, args...)})
	if err != nil {
		return err
	}
	c.functions[name] = p
	// Crossplane waits for a function that isn't there yet, so nothing need be
	// awaited here.
	return c.register(ctx, name, fmt.Sprintf("localhost:%d", free[0]))
}

// StartOtherFunction runs one that isn't ours, by the name of its binary. Other
// functions serve metrics on port 8080 whatever they are told, which the RBAC
// manager needs; they do without where it is taken, so it is while they start.
func (c *ControlPlane) StartOtherFunction(ctx context.Context, name string) error {
	granting.Lock()
	defer granting.Unlock()
	return inTime(ctx, func(ctx context.Context) error {
		var taken net.Listener
		if err := Poll(ctx, func(ctx context.Context) (err error) {
			taken, err = (&net.ListenConfig{}).Listen(ctx, "tcp", ":8080")
			return err //nolint:wrapcheck // It names the port.
		}); err != nil {
			return err
		}
		defer taken.Close() //nolint:errcheck // Nothing was accepted.
		if err := c.StartFunction(ctx, name, name); err != nil {
			return err
		}
		p := c.functions[name]
		address := strings.TrimPrefix(p.args[0], "--address=")
		return p.await(ctx, func(ctx context.Context) error {
			// It answers once it has tried to serve metrics.
			conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}}).DialContext(ctx, "tcp", address) //nolint:gosec // Only whether it answers.
			if err != nil {
				return fmt.Errorf("cannot reach function: %w", err)
			}
			return conn.Close()
		})
	})
}

// StopFunction of a name, if it runs. Its registration stays.
func (c *ControlPlane) StopFunction(name string) {
	c.functions[name].stop()
	delete(c.functions, name)
}

// KillFunction of a name without warning, and start it anew at the same address,
// as the kubelet does.
func (c *ControlPlane) KillFunction(name string) error {
	p, ok := c.functions[name]
	if !ok {
		return fmt.Errorf("cannot kill function %q: it doesn't run", name)
	}
	p.kill()
	p, err := start(c.Dir, p.program)
	if err != nil {
		return err
	}
	c.functions[name] = p
	return nil
}

// register a function as Crossplane's package manager would. It pauses the
// revision, or the package manager would look for its image.
func (c *ControlPlane) register(ctx context.Context, name, endpoint string) error {
	if err := c.ApplyYAML(ctx, fmt.Sprintf(`
apiVersion: pkg.crossplane.io/v1
kind: FunctionRevision
metadata:
  name: %[1]s-1
  labels: {pkg.crossplane.io/package: %[1]s}
  annotations: {crossplane.io/paused: "true"}
spec:
  desiredState: Active
  image: registry.example.org/%[1]s:dev
  revision: 1
`, name)); err != nil {
		return err
	}
	return ApplyStatus(ctx, c.Client, fmt.Sprintf(`
apiVersion: pkg.crossplane.io/v1
kind: FunctionRevision
metadata: {name: %s-1}
status: {endpoint: %q, capabilities: [composition]}
`, name, endpoint))
}

// serverCertificates of a function, in a folder as it takes it.
func (c *ControlPlane) serverCertificates(ctx context.Context, name string) (string, error) {
	dir := c.path(name + "-certificates")
	secret, err := c.serverCertificate(ctx, "localhost", name+"."+Namespace)
	if err != nil {
		return "", err
	}
	return dir, writeSecret(dir, secret)
}

// serverCertificate for a function of some DNS names, signed by Crossplane's own
// certificate authority, as the package manager makes one.
func (c *ControlPlane) serverCertificate(ctx context.Context, names ...string) (*corev1.Secret, error) {
	ca := &corev1.Secret{}
	if err := c.Client.Get(ctx, types.NamespacedName{Namespace: Namespace, Name: rootCASecret}, ca); err != nil {
		return nil, fmt.Errorf("cannot get Crossplane's certificate authority: %w", err)
	}
	parents, err := cert.ParseCertsPEM(ca.Data[corev1.TLSCertKey])
	if err != nil {
		return nil, fmt.Errorf("cannot parse Crossplane's certificate authority: %w", err)
	}
	parsed, err := keyutil.ParsePrivateKeyPEM(ca.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return nil, fmt.Errorf("cannot parse Crossplane's key: %w", err)
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("cannot sign with Crossplane's key, a %T", parsed)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("cannot generate key: %w", err)
	}
	now := time.Now()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: names[0]},
		DNSNames:     names,
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, parents[0], key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("cannot sign certificate: %w", err)
	}
	return &corev1.Secret{Data: map[string][]byte{
		"ca.crt":                ca.Data[corev1.TLSCertKey],
		corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
	}}, nil
}
