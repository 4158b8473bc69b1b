// Package server serves a composition function over gRPC, and admission reviews over
// HTTPS. The first is made of the
// pieces of function-sdk-go, whose own Serve neither survives a panic nor lets
// calls finish when the pod is told to stop.
package server

import (
	"context"
	"crypto/tls"
	stdlog "log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/crossplane/function-sdk-go"
	"github.com/crossplane/function-sdk-go/errors"
	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	fnv1beta1 "github.com/crossplane/function-sdk-go/proto/v1beta1"
	grpcprometheus "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
)

// What a connection may take. Crossplane keeps one to each replica and calls by it for
// as long as both live; the kubelet and Prometheus make one for each request.
const (
	// headerTimeout is how long a TLS handshake and the header of a request of the
	// metrics may take.
	headerTimeout = 5 * time.Second

	// metricsTimeout is how long a request of the metrics may take in all.
	metricsTimeout = 30 * time.Second

	// maxHeaderBytes of a request.
	maxHeaderBytes = 8 << 10

	// idleTimeout closes a connection without calls. gRPC's clients open another when
	// they need it.
	idleTimeout = 10 * time.Minute

	// pingAfter so long without a frame the other side is asked whether it is
	// still there, and has so long again to answer or to take a byte.
	pingAfter = 30 * time.Second

	// maxStreams of a connection. Crossplane makes a hundred calls at once for each
	// kind of composite resource (--max-reconcile-rate).
	maxStreams = 250

	// What a call may send before it is let in, and all of a connection: as much as
	// net/http allows, so that the calls that wait don't hold up the others.
	maxStreamBuffer     = maxConnectionBuffer / maxStreams
	maxConnectionBuffer = 4<<20 - 1
)

// Options of a Server. All are required unless they say otherwise.
type Options struct {
	// Network and Address to listen on, as net.Listen takes them.
	Network string
	Address string

	// TLS demands of clients what they must show. Nil: anybody is answered.
	TLS *tls.Config

	// MaxReceiveBytes is the size of the largest request that is accepted.
	MaxReceiveBytes int

	// MemoryBytes is how much memory the process should take at most. Calls that would
	// take more together wait for each other.
	MemoryBytes int64

	// Patience is how long a call waits for memory before it is refused.
	Patience time.Duration

	// Dispensable says whether the function can do without what it required by a
	// name. It is left out of requests that are too large with it.
	Dispensable func(requirement string) bool

	// Unread says of a field of an object in a request, by its path through objects and
	// its bytes there, that the function never reads it, or else that there are such
	// fields within. These are left out likewise. The path begins with "composite", or
	// with "composed" and the resource's key, or with "required" and the name that it
	// was asked for by.
	Unread func(path []string, bytes int) (unread, within bool)

	// Lightened marks the context of a call whose request was too large.
	Lightened func(context.Context) context.Context

	// MetricsAddress is the TCP address that serves /metrics and /readyz over
	// plain HTTP. Empty: neither is served.
	MetricsAddress string

	// DrainTimeout is how long calls may go on once the server is told to stop.
	DrainTimeout time.Duration
}

// A Server answers RunFunction calls of Crossplane. It listens from the moment
// that it exists, and answers once it is told to Serve.
type Server struct {
	log          logging.Logger
	grpc         *grpc.Server
	health       *health.Server
	drainTimeout time.Duration
	calls        *http.Server
	listener     net.Listener

	// metrics is nil where no metrics are served.
	metrics *plain
}

// Listen returns a Server for the supplied function. It fails when an address
// of the options can't be listened on.
func Listen(ctx context.Context, fn fnv1.FunctionRunnerServiceServer, o Options, log logging.Logger) (*Server, error) {
	lc := net.ListenConfig{}
	listener, err := lc.Listen(ctx, o.Network, o.Address)
	if err != nil {
		return nil, errors.Wrapf(err, "cannot listen for %s connections at address %q", o.Network, o.Address)
	}

	registry := prometheus.NewRegistry()
	m := newMetrics(registry)
	s := &Server{
		log:          log,
		health:       health.NewServer(),
		drainTimeout: o.DrainTimeout,
		listener:     listener,
		grpc:         grpc.NewServer(grpc.MaxRecvMsgSize(maxLightened*o.MaxReceiveBytes), grpc.ChainUnaryInterceptor(m.calls.UnaryServerInterceptor(), answerRefusals)),
	}
	// Crossplane before 1.17 calls v1beta1.
	fn = &recoverer{fn: &limiter{fn: fn}, log: log, panics: m.panics}
	fnv1.RegisterFunctionRunnerServiceServer(s.grpc, fn)
	fnv1beta1.RegisterFunctionRunnerServiceServer(s.grpc, function.ServeBeta(fn))
	healthv1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	m.calls.InitializeMetrics(s.grpc)
	s.calls = s.callServer(newCalls(s.grpc, o, m), o.TLS)

	if o.MetricsAddress == "" {
		return s, nil
	}
	if s.metrics, err = listenPlain(ctx, o.MetricsAddress, s.metricsHandler(registry), log); err != nil {
		_ = listener.Close() // Nothing was served yet, so nothing can be lost.
		return nil, err
	}
	return s, nil
}

// callServer takes calls over HTTP/2, and nothing else.
func (s *Server) callServer(h http.Handler, config *tls.Config) *http.Server {
	protocols := &http.Protocols{}
	protocols.SetHTTP2(config != nil)
	protocols.SetUnencryptedHTTP2(config == nil)
	calls := bounded(h, s.log)
	calls.TLSConfig, calls.Protocols, calls.IdleTimeout = config, protocols, idleTimeout
	calls.HTTP2 = &http.HTTP2Config{
		MaxConcurrentStreams:          maxStreams,
		MaxReceiveBufferPerStream:     maxStreamBuffer,
		MaxReceiveBufferPerConnection: maxConnectionBuffer,
		SendPingTimeout:               pingAfter,
		PingTimeout:                   pingAfter,
		WriteByteTimeout:              pingAfter,
	}
	return calls
}

// bounded is a server of which whoever reaches its port can take only so much before it
// has said anything: what all of our ports have in common.
func bounded(h http.Handler, log logging.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnState:         (&strangers{}).track,
		ErrorLog:          stdlog.New(debugLog{log}, "", 0),
	}
}

// debugLog takes what net/http has to say of connections that fail: whoever reaches a
// port could fill the log.
type debugLog struct{ log logging.Logger }

func (l debugLog) Write(b []byte) (int, error) {
	l.log.Debug("HTTP server", "message", strings.TrimSpace(string(b)))
	return len(b), nil
}

// Serve until the context is done, then lets calls finish for as long as the
// options say. It returns nil after a graceful stop, and an error when serving
// fails or when calls had to be cut off. A Server serves once.
func (s *Server) Serve(ctx context.Context) error {
	failed := make(chan error, 2)
	defer s.grpc.Stop()
	go func() {
		failed <- errors.Wrap(ignoreClosed(s.serveCalls()), "cannot serve gRPC connections")
	}()
	if s.metrics != nil {
		go func() { failed <- s.metrics.serve() }()
		defer s.metrics.close()
	}
	s.log.Info("Serving", "address", s.listener.Addr().String())

	select {
	case err := <-failed:
		_ = s.calls.Close() // The error that ended it matters more.
		return err
	case <-ctx.Done():
		s.log.Info("Stopping", "drainTimeout", s.drainTimeout.String())
		return s.stop(context.WithoutCancel(ctx))
	}
}

// serveCalls until the server is told to stop.
func (s *Server) serveCalls() error {
	if s.calls.TLSConfig == nil {
		return s.calls.Serve(s.listener) //nolint:wrapcheck // The caller does.
	}
	return s.calls.ServeTLS(s.listener, "", "") //nolint:wrapcheck // The caller does.
}

// stop takes no new calls and waits for those under way, at most the drain
// timeout.
func (s *Server) stop(ctx context.Context) error {
	s.health.Shutdown()
	ctx, cancel := context.WithTimeout(ctx, s.drainTimeout)
	defer cancel()
	if err := s.calls.Shutdown(ctx); err != nil {
		_ = s.calls.Close() // That is what cuts them off.
		return errors.Errorf("cannot finish the calls under way within %s", s.drainTimeout)
	}
	return nil
}

// metricsHandler also tells over plain HTTP whether the server is ready, since
// the kubelet can't probe a gRPC port that demands a client certificate.
func (s *Server) metricsHandler(registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		rsp, err := s.health.Check(r.Context(), &healthv1.HealthCheckRequest{})
		if err != nil || rsp.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			http.Error(w, "not serving", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n")) // A probe that hangs up needs no answer.
	})
	return mux
}

// metrics of a server.
type metrics struct {
	calls   *grpcprometheus.ServerMetrics
	panics  prometheus.Counter
	refused *prometheus.CounterVec
	waiting prometheus.Gauge

	// lightened requests were answered, without some of what they held.
	lightened prometheus.Counter
}

func newMetrics(r *prometheus.Registry) *metrics {
	m := &metrics{
		calls: grpcprometheus.NewServerMetrics(grpcprometheus.WithServerHandlingTimeHistogram()),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "function_panics_total",
			Help: "RunFunction calls that panicked and were answered with a fatal result.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "function_requests_refused_total",
			Help: "RunFunction requests that were refused unread: for their size, for how many values they hold, because large ones were being worked on (busy), or because they didn't arrive whole (broken).",
		}, []string{"reason"}),
		lightened: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "function_requests_lightened_total",
			Help: "RunFunction requests that were too large, and were read without the workloads that they held.",
		}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "function_requests_waiting",
			Help: "RunFunction requests that wait for memory.",
		}),
	}
	for _, reason := range []string{refusedSize, refusedValues, refusedBusy, refusedBroken} {
		m.refused.WithLabelValues(reason)
	}
	r.MustRegister(m.calls, m.panics, m.refused, m.lightened, m.waiting, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// ignoreClosed drops the error that every http.Server returns when it is
// closed on purpose.
func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
