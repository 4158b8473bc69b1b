// Package server serves a composition function over gRPC. It is made of the
// pieces of function-sdk-go, whose own Serve neither survives a panic nor lets
// calls finish when the pod is told to stop.
package server

import (
	"context"
	"net"
	"net/http"
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
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
)

// readHeaderTimeout keeps a slow client from holding a connection to the
// metrics endpoint open for ever.
const readHeaderTimeout = 30 * time.Second

// Options of a Server. All are required unless they say otherwise.
type Options struct {
	// Network and Address to listen on, as net.Listen takes them.
	Network string
	Address string

	// Credentials that clients must meet.
	Credentials credentials.TransportCredentials

	// MaxReceiveBytes is the size of the largest request that is accepted.
	MaxReceiveBytes int

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
	listener     net.Listener

	// metrics and metricsListener are nil where no metrics are served.
	metrics         *http.Server
	metricsListener net.Listener
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
	calls := grpcprometheus.NewServerMetrics(grpcprometheus.WithServerHandlingTimeHistogram())
	panics := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "function_panics_total",
		Help: "RunFunction calls that panicked and were answered with a fatal result.",
	})
	registry.MustRegister(calls, panics, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	s := &Server{
		log:          log,
		health:       health.NewServer(),
		drainTimeout: o.DrainTimeout,
		listener:     listener,
		grpc: grpc.NewServer(
			grpc.Creds(o.Credentials),
			grpc.MaxRecvMsgSize(o.MaxReceiveBytes),
			grpc.ForceServerCodecV2(newBoundedCodec(o.MaxReceiveBytes)),
			grpc.ChainUnaryInterceptor(calls.UnaryServerInterceptor()),
		),
	}
	// Crossplane before 1.17 calls v1beta1.
	fn = &recoverer{fn: &limiter{fn: fn}, log: log, panics: panics}
	fnv1.RegisterFunctionRunnerServiceServer(s.grpc, fn)
	fnv1beta1.RegisterFunctionRunnerServiceServer(s.grpc, function.ServeBeta(fn))
	healthv1.RegisterHealthServer(s.grpc, s.health)
	reflection.Register(s.grpc)
	calls.InitializeMetrics(s.grpc)

	if o.MetricsAddress == "" {
		return s, nil
	}
	s.metricsListener, err = lc.Listen(ctx, "tcp", o.MetricsAddress)
	if err != nil {
		_ = listener.Close() // Nothing was served yet, so nothing can be lost.
		return nil, errors.Wrapf(err, "cannot listen for metrics at address %q", o.MetricsAddress)
	}
	s.metrics = &http.Server{Handler: s.metricsHandler(registry), ReadHeaderTimeout: readHeaderTimeout}
	return s, nil
}

// Serve until the context is done, then lets calls finish for as long as the
// options say. It returns nil after a graceful stop, and an error when serving
// fails or when calls had to be cut off. A Server serves once.
func (s *Server) Serve(ctx context.Context) error {
	failed := make(chan error, 2)
	go func() {
		failed <- errors.Wrap(s.grpc.Serve(s.listener), "cannot serve gRPC connections")
	}()
	if s.metrics != nil {
		go func() {
			failed <- errors.Wrap(ignoreClosed(s.metrics.Serve(s.metricsListener)), "cannot serve metrics")
		}()
		defer s.metrics.Close() //nolint:errcheck // The process ends; there is nobody left to tell.
	}
	s.log.Info("Serving", "address", s.listener.Addr().String())

	select {
	case err := <-failed:
		s.grpc.Stop()
		return err
	case <-ctx.Done():
		s.log.Info("Stopping", "drainTimeout", s.drainTimeout.String())
		return s.stop()
	}
}

// stop takes no new calls and waits for those under way, at most the drain
// timeout.
func (s *Server) stop() error {
	s.health.Shutdown()

	drained := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(drained)
	}()

	timeout := time.NewTimer(s.drainTimeout)
	defer timeout.Stop()
	select {
	case <-drained:
		return nil
	case <-timeout.C:
		s.grpc.Stop()
		return errors.Errorf("cannot finish the calls under way within %s", s.drainTimeout)
	}
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

// ignoreClosed drops the error that every http.Server returns when it is
// closed on purpose.
func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
