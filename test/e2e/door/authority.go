package door

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// validity of certificates, which is longer than any test.
const validity = 24 * time.Hour

// An authority that vouches for whoever answers in a cloud's name.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey

	// pem of the certificate.
	pem []byte

	mu sync.Mutex

	// servers by name.
	servers map[string]*tls.Certificate
	serial  int64
}

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cannot generate key of the authority: %w", err)
	}
	a := &authority{key: key, servers: map[string]*tls.Certificate{}, serial: 1}
	der, err := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name},
		IsCA:    true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}, &key.PublicKey)
	if err != nil {
		return nil, err
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("cannot parse certificate of the authority: %w", err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a, nil
}

// sign a certificate; the authority's own by itself.
func (a *authority) sign(template *x509.Certificate, key crypto.PublicKey) ([]byte, error) {
	template.SerialNumber = big.NewInt(a.serial)
	a.serial++
	// A minute ago, for clocks that differ.
	template.NotBefore = time.Now().Add(-time.Minute)
	template.NotAfter = template.NotBefore.Add(validity)
	parent := a.certificate
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("cannot sign certificate of %s: %w", template.Subject.CommonName, err)
	}
	return der, nil
}

// config of a server that answers in any name that it is called by.
func (a *authority) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return a.server(hello.ServerName)
	}}
}

// server of a name.
func (a *authority) server(name string) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.servers[name]; c != nil {
		return c, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cannot generate key of %s: %w", name, err)
	}
	der, err := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, &key.PublicKey)
	if err != nil {
		return nil, err
	}
	a.servers[name] = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return a.servers[name], nil
}
