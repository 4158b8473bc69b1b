package server

import (
	"cmp"
	"context"
	"crypto/subtle"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"mime"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/crossplane/function-sdk-go/errors"
	"github.com/crossplane/function-sdk-go/logging"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/semaphore"
	admissionv1 "k8s.io/api/admission/v1"
)

const (
	// maxReview in bytes. The API server takes requests of 3 MiB, and what it adds to
	// a pod by defaults is less than the rest.
	maxReview = 4 << 20

	// reviewsAtOnce in bytes. A pod that is decoded takes some ten times its size, so
	// they take no more than the largest requests of the function do.
	reviewsAtOnce = 2 * maxReview

	// reviewTimeout is how long a review may take to arrive and to be answered, where the
	// options don't say. The API server waits no longer than the webhook's configuration says.
	reviewTimeout = 10 * time.Second
)

// A Review answers one question of the API server. With an error it has answered
// what does least harm, and the error is logged.
type Review func(context.Context, *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, error)

// ReviewOptions of a ReviewServer. All are required unless they say otherwise.
type ReviewOptions struct {
	// Address to listen on over TCP.
	Address string

	// TLS is how the server shows who it is.
	TLS *tls.Config

	// Reviews by the first part of their path.
	Reviews map[string]Review

	// Secret is the rest of every path, which the webhook's configuration has. The
	// API server shows no certificate to webhooks unless its own flags say so, which
	// no managed cloud lets be set, and whoever isn't told the path learns nothing.
	// While it is empty nobody is answered.
	Secret func() string

	// Ready says whether reviews can be answered as they should be.
	Ready func() error

	// MetricsAddress is the TCP address that serves /metrics, /readyz and /livez over
	// plain HTTP. Empty: none is served.
	MetricsAddress string

	// DrainTimeout is how long reviews may go on once the server is told to stop.
	DrainTimeout time.Duration

	// Timeout is how long a review may take to arrive and to be answered. Zero: 10 s.
	Timeout time.Duration
}

// A ReviewServer answers the API server's AdmissionReviews over HTTPS.
type ReviewServer struct {
	o       ReviewOptions
	log     logging.Logger
	metrics reviewMetrics
	room    *semaphore.Weighted
	stopped atomic.Bool

	reviews  *http.Server
	listener net.Listener

	// probes is nil where none are answered.
	probes *plain
}

type reviewMetrics struct {
	answered *prometheus.CounterVec
	took     *prometheus.HistogramVec
	panics   prometheus.Counter
}

// ListenReviews returns a server for the reviews of the options. It fails when an
// address can't be listened on.
func ListenReviews(ctx context.Context, o ReviewOptions, log logging.Logger) (*ReviewServer, error) {
	lc := net.ListenConfig{}
	listener, err := lc.Listen(ctx, "tcp", o.Address)
	if err != nil {
		return nil, errors.Wrapf(err, "cannot listen for admission reviews at address %q", o.Address)
	}
	registry := prometheus.NewRegistry()
	o.Timeout = cmp.Or(o.Timeout, reviewTimeout)
	s := &ReviewServer{o: o, log: log, metrics: newReviewMetrics(registry), room: semaphore.NewWeighted(reviewsAtOnce), listener: listener}
	// The API server speaks HTTP/1.1 to a webhook's Service, so that pods spread over its
	// replicas. To one on loopback it would speak HTTP/2, over one connection for all pods,
	// and keep that while the replica behind it stalls.
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	s.reviews = bounded(http.HandlerFunc(s.serve), log)
	s.reviews.TLSConfig, s.reviews.Protocols = o.TLS, protocols
	s.reviews.ReadTimeout, s.reviews.WriteTimeout, s.reviews.IdleTimeout = o.Timeout, o.Timeout, idleTimeout
	if o.MetricsAddress == "" {
		return s, nil
	}
	if s.probes, err = listenPlain(ctx, o.MetricsAddress, plainHandler(registry, s.ready), log); err != nil {
		_ = listener.Close() // Nothing was served yet, so nothing can be lost.
		return nil, err
	}
	return s, nil
}

func newReviewMetrics(r *prometheus.Registry) reviewMetrics {
	m := reviewMetrics{
		answered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "webhook_reviews_total",
			Help: "Pods that the API server asked about, by review (inject, require) and by what was answered: patched, denied, allowed as they are, failed and so let in, or refused unread.",
		}, []string{"review", "answer"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "webhook_review_seconds",
			Help:    "Time from a review's last byte to its answer.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .1, .5, 1, 5},
		}, []string{"review"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "webhook_panics_total",
			Help: "Reviews that panicked, and whose pods were let in as they are.",
		}),
	}
	r.MustRegister(m.answered, m.took, m.panics, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Serve until the context is done, then lets reviews finish for as long as the options
// say. It returns nil after a graceful stop. A ReviewServer serves once.
func (s *ReviewServer) Serve(ctx context.Context) error {
	failed := make(chan error, 2)
	go func() {
		failed <- errors.Wrap(ignoreClosed(s.reviews.ServeTLS(s.listener, "", "")), "cannot serve admission reviews")
	}()
	if s.probes != nil {
		go func() { failed <- s.probes.serve() }()
		defer s.probes.close()
	}
	s.log.Info("Serving admission reviews", "address", s.listener.Addr().String())
	select {
	case err := <-failed:
		_ = s.reviews.Close() // The error that ended it matters more.
		return err
	case <-ctx.Done():
	}
	s.stopped.Store(true)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.DrainTimeout)
	defer cancel()
	if err := s.reviews.Shutdown(drain); err != nil {
		_ = s.reviews.Close() // That is what cuts them off.
		return errors.Errorf("cannot finish the reviews under way within %s", s.o.DrainTimeout)
	}
	return nil
}

func (s *ReviewServer) ready() error {
	if s.stopped.Load() {
		return errors.New("stopping")
	}
	return s.o.Ready()
}

// review that a path asks for. Of a path that isn't the configuration's nothing more is
// told than of one that never was.
func (s *ReviewServer) review(path string) (name string, review Review) {
	name, secret, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	want := s.o.Secret()
	if want == "" || subtle.ConstantTimeCompare([]byte(secret), []byte(want)) != 1 {
		return "", nil
	}
	return name, s.o.Reviews[name]
}

func (s *ReviewServer) serve(w http.ResponseWriter, r *http.Request) {
	name, review := s.review(r.URL.Path)
	if review == nil {
		http.NotFound(w, r)
		return
	}
	refuse := func(code int, why string) {
		s.metrics.answered.WithLabelValues(name, "refused").Inc()
		http.Error(w, why, code)
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); r.Method != http.MethodPost || err != nil || kind != "application/json" {
		refuse(http.StatusUnsupportedMediaType, "want a POST of application/json")
		return
	}
	size := r.ContentLength
	if size < 0 {
		size = maxReview
	}
	if size > maxReview {
		refuse(http.StatusRequestEntityTooLarge, "the review is too large")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.o.Timeout)
	defer cancel()
	if err := s.room.Acquire(ctx, size); err != nil {
		refuse(http.StatusServiceUnavailable, "other reviews take all of the memory")
		return
	}
	defer s.room.Release(size)

	var asked admissionv1.AdmissionReview
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxReview)).Decode(&asked); err != nil {
		refuse(http.StatusBadRequest, "the review can't be read")
		return
	}
	if asked.Request == nil || asked.GroupVersionKind() != admissionv1.SchemeGroupVersion.WithKind("AdmissionReview") {
		refuse(http.StatusBadRequest, "want an AdmissionReview of admission.k8s.io/v1 with a request")
		return
	}
	s.write(w, s.answer(ctx, name, review, asked.Request))
}

// answer a review. One that panics, or fails, lets the pod in as it is: what the
// webhook's configuration does where there is no answer, but at once.
func (s *ReviewServer) answer(ctx context.Context, name string, review Review, r *admissionv1.AdmissionRequest) (rsp *admissionv1.AdmissionResponse) {
	begin, answered := time.Now(), "failed"
	defer func() {
		if p := recover(); p != nil {
			s.metrics.panics.Inc()
			s.log.Info("Review panicked", "panic", fmt.Sprint(p), "review", name, "namespace", r.Namespace, "stack", string(debug.Stack()))
			rsp, answered = &admissionv1.AdmissionResponse{UID: r.UID, Allowed: true}, "failed"
		}
		s.metrics.answered.WithLabelValues(name, answered).Inc()
		s.metrics.took.WithLabelValues(name).Observe(time.Since(begin).Seconds())
	}()
	rsp, err := review(ctx, r)
	switch {
	case err != nil:
		s.log.Info("Cannot review pod", "review", name, "namespace", r.Namespace, "error", err)
	case !rsp.Allowed:
		answered = "denied"
	case rsp.Patch != nil:
		answered = "patched"
	default:
		answered = "allowed"
	}
	return rsp
}

func (s *ReviewServer) write(w http.ResponseWriter, rsp *admissionv1.AdmissionResponse) {
	answer := admissionv1.AdmissionReview{Response: rsp}
	answer.SetGroupVersionKind(admissionv1.SchemeGroupVersion.WithKind("AdmissionReview"))
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		s.log.Debug("Cannot write the answer to a review", "error", err)
	}
}
