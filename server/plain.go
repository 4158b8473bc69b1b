package server

import (
	"context"
	"net"
	"net/http"

	"github.com/crossplane/function-sdk-go/errors"
	"github.com/crossplane/function-sdk-go/logging"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A plain server answers who asks for metrics or probes over plain HTTP, from the moment
// that it serves.
type plain struct {
	http     *http.Server
	listener net.Listener
}

// listenPlain fails when the TCP address can't be listened on.
func listenPlain(ctx context.Context, address string, h http.Handler, log logging.Logger) (*plain, error) {
	lc := net.ListenConfig{}
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, errors.Wrapf(err, "cannot listen for metrics at address %q", address)
	}
	return &plain{http: plainServer(h, log), listener: listener}, nil
}

// plainServer answers one request a connection, without TLS: who asks for metrics or
// probes twice is far between.
func plainServer(h http.Handler, log logging.Logger) *http.Server {
	m := bounded(h, log)
	m.ReadTimeout, m.WriteTimeout = headerTimeout, metricsTimeout
	m.SetKeepAlivesEnabled(false)
	return m
}

// serve until it is closed, and then return nil.
func (p *plain) serve() error {
	return errors.Wrap(ignoreClosed(p.http.Serve(p.listener)), "cannot serve metrics")
}

// close at once: whoever asks comes again, and there is nobody to tell of an error.
func (p *plain) close() { _ = p.http.Close() }

// A MetricsServer serves /metrics, /readyz and /livez over plain HTTP, and nothing else.
type MetricsServer struct {
	plain *plain
	log   logging.Logger
}

// ListenMetrics returns a server of what is gathered, which is ready when that says no
// error. It fails when the TCP address can't be listened on.
func ListenMetrics(ctx context.Context, address string, g prometheus.Gatherer, ready func() error, log logging.Logger) (*MetricsServer, error) {
	p, err := listenPlain(ctx, address, plainHandler(g, ready), log)
	if err != nil {
		return nil, err
	}
	return &MetricsServer{plain: p, log: log}, nil
}

// Serve until the context is done. It returns nil then, and serves once.
func (s *MetricsServer) Serve(ctx context.Context) error {
	s.log.Info("Serving metrics", "address", s.plain.listener.Addr().String())
	stop := context.AfterFunc(ctx, s.plain.close)
	defer stop()
	return s.plain.serve()
}

// plainHandler of what is gathered, and of whether the process is ready and alive.
func plainHandler(g prometheus.Gatherer, ready func() error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n")) // A probe that hangs up needs no answer.
	})
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n")) // A probe that hangs up needs no answer.
	})
	return mux
}
