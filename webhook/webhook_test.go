package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crossplane/function-sdk-go/logging"

	"github.com/serviceconnections/function-service-connections/fn/admit"
	"github.com/serviceconnections/function-service-connections/fn/workload"
	"github.com/serviceconnections/function-service-connections/server"
)

// BenchmarkReview is what a review takes from the API server's side, over TLS on
// loopback, beside a number of claims: of a pod of no claim, and of one that is injected.
func BenchmarkReview(b *testing.B) {
	for _, claims := range []int{0, 1, 300, 1000} {
		index := admit.NewIndex()
		for i := range claims {
			index.Put(admit.Read(publishing(fmt.Sprintf("claim-%d", i), fmt.Sprintf("pod-%d", i)).Object, workload.Forms{}))
		}
		ask := reviewer(b, index)
		for name, pod := range map[string]string{"none": "other", "injected": "pod-0"} {
			if claims == 0 && name == "injected" {
				continue
			}
			b.Run(fmt.Sprintf("claims=%d/%s", claims, name), func(b *testing.B) {
				for b.Loop() {
					if got := strings.Contains(ask(pod), `"patch"`); got != (name == "injected") {
						b.Fatalf("injected: %t", got)
					}
				}
			})
		}
	}
}

// reviewer asks a server with this index about a bare pod of a name, and returns the answer.
func reviewer(b *testing.B, index *admit.Index) func(pod string) string {
	b.Helper()
	a := newAuthority(b, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	dir := b.TempDir()
	for file, text := range map[string][]byte{"tls.crt": a.cert, "tls.key": a.key} {
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	free, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		b.Fatal(err)
	}
	s, err := server.ListenReviews(b.Context(), server.ReviewOptions{
		Address: address, TLS: server.TLS(dir, logging.NewNopLogger()), DrainTimeout: time.Second,
		Reviews: map[string]server.Review{"inject": index.Inject}, Secret: func() string { return "secret" }, Ready: func() error { return nil },
	}, logging.NewNopLogger())
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.ca.CertPEM)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12}}
	b.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		if err := <-served; err != nil {
			b.Error(err)
		}
	})
	return func(pod string) string {
		review, err := json.Marshal(map[string]any{
			"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
			"request": map[string]any{
				"uid": "1", "namespace": "team-a", "operation": "CREATE", "resource": map[string]any{"version": "v1", "resource": "pods"},
				"object": map[string]any{"metadata": map[string]any{"name": pod}, "spec": map[string]any{"containers": []any{map[string]any{"name": "main"}}}},
			},
		})
		if err != nil {
			b.Fatal(err)
		}
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "https://"+address+"/inject/secret", bytes.NewReader(review))
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		rsp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			b.Fatal(err)
		}
		answer, err := io.ReadAll(rsp.Body)
		if err != nil {
			b.Fatal(err)
		}
		_ = rsp.Body.Close()
		return string(answer)
	}
}
