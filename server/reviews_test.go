package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
)

// reviewing server on loopback, and a client that knows its certificate authority. It
// stops with the test.
func reviewing(t *testing.T, o ReviewOptions) (url string, client *http.Client) {
	t.Helper()
	ca, dir := issue(t, "ca", nil), t.TempDir()
	write(t, dir, ca, issue(t, "webhook", ca))
	o.Address, o.TLS, o.DrainTimeout = "127.0.0.1:0", TLS(dir, logging.NewNopLogger()), time.Second
	if o.Ready == nil {
		o.Ready = func() error { return nil }
	}
	s, err := ListenReviews(t.Context(), o, logging.NewNopLogger())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	roots := x509.NewCertPool()
	roots.AddCert(ca.parsed)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return "https://" + s.listener.Addr().String(), &http.Client{Transport: transport}
}

const secret = "abcdefghijklmnopqrstuvwxyz"

func TestReviews(t *testing.T) {
	t.Parallel()
	patch := admissionv1.PatchTypeJSONPatch
	url, client := reviewing(t, ReviewOptions{
		Secret: func() string { return secret },
		Reviews: map[string]Review{
			"inject": func(_ context.Context, r *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
				return &admissionv1.AdmissionResponse{UID: r.UID, Allowed: true, PatchType: &patch, Patch: []byte("[]")}, nil
			},
			"require": func(_ context.Context, r *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
				return &admissionv1.AdmissionResponse{UID: r.UID}, nil
			},
			"failing": func(_ context.Context, r *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
				return &admissionv1.AdmissionResponse{UID: r.UID, Allowed: true}, errors.New("no pod")
			},
			"panicking": func(context.Context, *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
				panic("a mistake of ours")
			},
		},
	})
	const review = `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u"}}`
	answer := func(rest string) string {
		return `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"u",` + rest + "}}\n"
	}
	const notFound = "404 404 page not found\n"
	cases := map[string]struct {
		reason                     string
		method, path, kind, review string
		want                       string
	}{
		"Patched":     {reason: "The API server is answered.", path: "/inject/" + secret, review: review, want: "200 " + answer(`"allowed":true,"patch":"W10=","patchType":"JSONPatch"`)},
		"Denied":      {reason: "The API server is answered.", path: "/require/" + secret, review: review, want: "200 " + answer(`"allowed":false`)},
		"Failing":     {reason: "A pod that can't be read comes in as it is.", path: "/failing/" + secret, review: review, want: "200 " + answer(`"allowed":true`)},
		"Panicking":   {reason: "So it does where we are mistaken, and the next one is answered.", path: "/panicking/" + secret, review: review, want: "200 " + answer(`"allowed":true`)},
		"WithoutPath": {reason: "Whoever isn't told the path learns nothing.", path: "/inject", review: review, want: notFound},
		"OtherPath":   {reason: "Nor whoever guesses it.", path: "/inject/" + strings.Repeat("a", 26), review: review, want: notFound},
		"LongerPath":  {reason: "It is the whole rest of the path.", path: "/inject/" + secret + "/", review: review, want: notFound},
		"OtherReview": {reason: "There is none by that name.", path: "/x/" + secret, review: review, want: notFound},
		"Metrics":     {reason: "Those are on another port.", method: http.MethodGet, path: "/metrics", want: notFound},
		"Get":         {reason: "A review is posted.", method: http.MethodGet, path: "/inject/" + secret, want: "415 want a POST of application/json\n"},
		"Protobuf":    {reason: "The API server asks webhooks in JSON.", path: "/inject/" + secret, kind: "application/vnd.kubernetes.protobuf", review: review, want: "415 want a POST of application/json\n"},
		"Garbage":     {reason: "It isn't JSON.", path: "/inject/" + secret, review: "\x00", want: "400 the review can't be read\n"},
		"Deep":        {reason: "Nor is what has no end.", path: "/inject/" + secret, review: `{"request": {"object": ` + strings.Repeat(`{"a":`, 1<<16), want: "400 the review can't be read\n"},
		"NoRequest":   {reason: "There is nothing to answer.", path: "/inject/" + secret, review: `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}`, want: "400 want an AdmissionReview of admission.k8s.io/v1 with a request\n"},
		"OldVersion":  {reason: "Kubernetes 1.22 dropped it.", path: "/inject/" + secret, review: strings.Replace(review, "/v1", "/v1beta1", 1), want: "400 want an AdmissionReview of admission.k8s.io/v1 with a request\n"},
		"TooLarge":    {reason: "The API server sends nothing of that size.", path: "/inject/" + secret, review: strings.Replace(review, "u", strings.Repeat("u", maxReview), 1), want: "413 the review is too large\n"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.method == "" {
				tc.method = http.MethodPost
			}
			if tc.kind == "" {
				tc.kind = "application/json"
			}
			req, err := http.NewRequestWithContext(t.Context(), tc.method, url+tc.path, strings.NewReader(tc.review))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", tc.kind)
			rsp, err := client.Do(req)
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			defer rsp.Body.Close() //nolint:errcheck // It was read.
			b, err := io.ReadAll(rsp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, fmt.Sprintf("%d %s", rsp.StatusCode, b)); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
			// Over HTTP/2 the API server would send all pods to one replica.
			if rsp.ProtoMajor != 1 {
				t.Errorf("answered over %s", rsp.Proto)
			}
		})
	}
}

// TestReviewsWithoutPath holds that nobody is answered before the path is known, not
// even at an empty one.
func TestReviewsWithoutPath(t *testing.T) {
	t.Parallel()
	url, client := reviewing(t, ReviewOptions{Secret: func() string { return "" }, Reviews: map[string]Review{"inject": nil}})
	for _, path := range []string{"/inject", "/inject/", "//"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, bytes.NewReader(nil))
		if err != nil {
			t.Fatal(err)
		}
		rsp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = rsp.Body.Close()
		if rsp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, rsp.Status)
		}
	}
}

// TestReviewsWait holds that reviews which together are too large wait for each other,
// and that memory is free again after those that end badly.
func TestReviewsWait(t *testing.T) {
	t.Parallel()
	url, client := reviewing(t, ReviewOptions{
		Secret: func() string { return secret },
		Reviews: map[string]Review{"inject": func(_ context.Context, r *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error) {
			return &admissionv1.AdmissionResponse{UID: r.UID, Allowed: true}, nil
		}},
		// How fast a busy machine reads 48 MiB with the race detector isn't the question.
		Timeout: 5 * time.Minute,
	})
	large, err := json.Marshal(map[string]any{
		"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
		"request": map[string]any{"uid": "u", "object": map[string]any{"x": strings.Repeat("x", maxReview-1000)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	codes := make(chan int, 12)
	for i := range cap(codes) {
		go func() {
			body := large
			if i%3 == 0 {
				body = large[:len(large)/2]
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/inject/"+secret, bytes.NewReader(body))
			if err != nil {
				t.Error(err)
			}
			req.Header.Set("Content-Type", "application/json")
			rsp, err := client.Do(req)
			if err != nil {
				t.Error(err)
				codes <- 0
				return
			}
			_ = rsp.Body.Close()
			codes <- rsp.StatusCode
		}()
	}
	got := map[int]int{}
	for range cap(codes) {
		got[<-codes]++
	}
	if diff := cmp.Diff(map[int]int{200: 8, 400: 4}, got); diff != "" {
		t.Errorf("answers -want +got:\n%s", diff)
	}
}
