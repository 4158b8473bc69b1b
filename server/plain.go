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

// A MetricsServer serves /metrics, /readyz and /livez over plain HTTP, and nothing else.
type MetricsServer struct {
	http     *http.Server
	listener net.Listener
	log      logging.Logger
}

// ListenMetrics returns a server of what is gathered, which is ready when that says no
// error. It fails when the TCP address can't be listened on.
func ListenMetrics(ctx context.Context, address string, g prometheus.Gatherer, ready func() error, log logging.Logger) (*MetricsServer, error) {
	lc := net.ListenConfig{}
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, errors.Wrapf(err, "cannot listen for metrics at address %q", address)
	}
	return &MetricsServer{http: plainServer(plainHandler(g, ready), log), listener: listener, log: log}, nil
}

// Serve until the context is done. It returns nil then, and serves once.
func (s *MetricsServer) Serve(ctx context.Context) error {
	s.log.Info("Serving metrics", "address", s.listener.Addr().String())
	stop := context.AfterFunc(ctx, func() { _ = s.http.Close() }) // Whoever asks comes again.
	defer stop()
	return errors.Wrap(ignoreClosed(s.http.Serve(s.listener)), "cannot serve metrics")
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
