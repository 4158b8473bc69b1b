package server

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/crossplane/function-sdk-go/errors"
	"github.com/crossplane/function-sdk-go/logging"
)

// MutualTLS returns a configuration that demands a client certificate of the CA in
// the supplied directory. It holds tls.crt, tls.key and ca.crt, the keys of the
// secret that Crossplane mounts into a function's pod.
//
// The files are read again for each connection, so that a rotated certificate
// is used without a restart. Crossplane keeps its connections, hence new ones
// are rare. While the files can't be read, because they are just being
// replaced, the last ones that could are used.
func MutualTLS(dir string, log logging.Logger) (*tls.Config, error) {
	first, err := load(dir)
	if err != nil {
		return nil, err
	}
	return latest(first, func() (*tls.Config, error) { return load(dir) }, log), nil
}

// TLS returns a configuration that shows the certificate in the supplied
// directory, tls.crt and tls.key, and asks for none. The files are read as those of
// MutualTLS, but needn't be there yet: until they are, every connection fails.
func TLS(dir string, log logging.Logger) *tls.Config {
	return latest(nil, func() (*tls.Config, error) {
		certificate, err := Certificate(dir)
		if err != nil {
			return nil, err
		}
		return &tls.Config{
			MinVersion:   tls.VersionTLS12,
			NextProtos:   []string{"http/1.1"},
			Certificates: []tls.Certificate{certificate},
		}, nil
	}, log)
}

// latest configuration that could be loaded, for each connection anew. The first may be
// nil.
func latest(first *tls.Config, load func() (*tls.Config, error), log logging.Logger) *tls.Config {
	last := &atomic.Pointer[tls.Config]{}
	last.Store(first)

	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c, err := load()
			if err == nil {
				last.Store(c)
				return c, nil
			}
			if c = last.Load(); c == nil {
				return nil, err
			}
			log.Info("Keeping the TLS certificates that were read before", "error", err)
			return c, nil
		},
	}
}

// load the TLS configuration from the files in the supplied directory.
func load(dir string) (*tls.Config, error) {
	certificate, err := Certificate(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "ca.crt")
	ca, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return nil, errors.Wrap(err, "cannot read CA certificate")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.Errorf("cannot use CA certificate %q: it holds no PEM certificate", path)
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2"}, // It is gRPC that is spoken.
		Certificates: []tls.Certificate{certificate},
		ClientCAs:    pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}, nil
}

// Certificate of a server with its key: tls.crt and tls.key in the supplied directory.
func Certificate(dir string) (tls.Certificate, error) {
	certificate, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	return certificate, errors.Wrapf(err, "cannot load tls.crt and tls.key from %q", dir)
}
