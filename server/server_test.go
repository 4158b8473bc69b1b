package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crossplane/function-sdk-go/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	fnv1beta1 "github.com/crossplane/function-sdk-go/proto/v1beta1"
	"github.com/crossplane/function-sdk-go/response"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"
)

// deadline of every wait in these tests. Reaching it is a failure.
const deadline = 20 * time.Second

// A functionFunc is a function in the form of a Go function.
type functionFunc func(ctx context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error)

// An answerer is a function that answers with what its functionFunc says.
type answerer struct {
	fnv1.UnimplementedFunctionRunnerServiceServer

	run functionFunc
}

func (a answerer) RunFunction(ctx context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	return a.run(ctx, req)
}

// echo returns what it gets.
func echo(_ context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	return response.To(req, response.DefaultTTL), nil
}

// A running server, with the means to stop it.
type running struct {
	*Server

	stop context.CancelFunc
	// done yields what Serve returned.
	done <-chan error
}

// serve the supplied function on loopback until the test ends.
func serve(t testing.TB, fn functionFunc, change func(*Options)) *running {
	t.Helper()
	o := Options{
		Network:         "tcp",
		Address:         "127.0.0.1:0",
		MaxReceiveBytes: 4 << 20,
		MemoryBytes:     160 << 20,
		Patience:        deadline,
		Dispensable:     func(name string) bool { return strings.HasPrefix(name, "dispensable") },
		Unread:          unreadStatus,
		Lightened:       func(ctx context.Context) context.Context { return ctx },
		MetricsAddress:  "127.0.0.1:0",
		DrainTimeout:    deadline,
	}
	if change != nil {
		change(&o)
	}
	ctx, stop := context.WithCancel(t.Context())
	s, err := Listen(ctx, answerer{run: fn}, o, logging.NewNopLogger())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		done <- s.Serve(ctx)
		close(ended)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return &running{Server: s, stop: stop, done: done}
}

// dial the server until the test ends.
func (r *running) dial(t *testing.T, creds credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(r.listener.Addr().String(), grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// get a path of the metrics server.
func (r *running) get(t *testing.T, path string) (statusCode int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.metrics.listener.Addr().String()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(rsp.Body)
	if err := errors.Join(err, rsp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return rsp.StatusCode, string(b)
}

// waitUntil the condition holds.
func waitUntil(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("timed out waiting until %s", what)
		}
	}
}

// receive from the channel.
func receive[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(deadline):
		t.Fatalf("timed out waiting for %s", what)
		panic("unreachable")
	}
}

// request that names the claim and has desired state and context of an earlier
// step.
func request(t *testing.T) *fnv1.RunFunctionRequest {
	t.Helper()
	object := func(fields map[string]any) *structpb.Struct {
		s, err := structpb.NewStruct(fields)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return &fnv1.RunFunctionRequest{
		Meta:     &fnv1.RequestMeta{Tag: "tag"},
		Observed: &fnv1.State{Composite: &fnv1.Resource{Resource: object(map[string]any{"metadata": map[string]any{"namespace": "team-a", "name": "shop"}})}},
		Desired: &fnv1.State{Resources: map[string]*fnv1.Resource{
			"earlier-step": {Resource: object(map[string]any{"kind": "Deployment"}), Ready: fnv1.Ready_READY_TRUE},
		}},
		Context: object(map[string]any{"key": "value"}),
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()

	fatal := func(req *fnv1.RunFunctionRequest, message string) *fnv1.RunFunctionResponse {
		rsp := response.To(req, response.DefaultTTL)
		response.Fatal(rsp, errors.New(message))
		return rsp
	}
	call := func(t *testing.T, conn *grpc.ClientConn, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
		t.Helper()
		return fnv1.NewFunctionRunnerServiceClient(conn).RunFunction(t.Context(), req)
	}
	callBeta := func(t *testing.T, conn *grpc.ClientConn, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
		t.Helper()
		beta, rsp := &fnv1beta1.RunFunctionRequest{}, &fnv1.RunFunctionResponse{}
		convert(t, req, beta)
		betaRsp, err := fnv1beta1.NewFunctionRunnerServiceClient(conn).RunFunction(t.Context(), beta)
		convert(t, betaRsp, rsp)
		return rsp, err
	}
	var nilMap map[string]string

	cases := map[string]struct {
		reason string
		call   func(*testing.T, *grpc.ClientConn, *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error)
		panics func()
		want   string
	}{
		"Value": {
			reason: "A panic is a fatal result that says so.",
			call:   call,
			panics: func() { panic("boom") },
			want:   "cannot run function: it panicked: boom; nothing was changed, please report this with the function's log",
		},
		"RuntimeError": {
			reason: "A mistake in the code is a panic like any other.",
			call:   call,
			panics: func() { nilMap["key"] = "value" },
			want:   "cannot run function: it panicked: assignment to entry in nil map; nothing was changed, please report this with the function's log",
		},
		"NotUTF8": {
			reason: "A message that protobuf can't carry must not turn the result into a gRPC error.",
			call:   call,
			panics: func() { panic("boom \xff") },
			want:   "cannot run function: it panicked: boom \uFFFD; nothing was changed, please report this with the function's log",
		},
		"Beta": {
			reason: "Callers of v1beta1 are protected as those of v1 are.",
			call:   callBeta,
			panics: func() { panic("boom") },
			want:   "cannot run function: it panicked: boom; nothing was changed, please report this with the function's log",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s := serve(t, func(ctx context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
				if req.GetMeta().GetTag() == "panic" {
					tc.panics()
				}
				return echo(ctx, req)
			}, nil)
			conn := s.dial(t, insecure.NewCredentials())

			req := request(t)
			req.Meta.Tag = "panic"
			rsp, err := tc.call(t, conn, req)
			if err != nil {
				t.Fatalf("\n%s\nRunFunction(...): %v", tc.reason, err)
			}
			if diff := cmp.Diff(fatal(req, tc.want), rsp, protocmp.Transform()); diff != "" {
				t.Errorf("\n%s\nRunFunction(...): -want, +got:\n%s", tc.reason, diff)
			}

			req = request(t)
			rsp, err = tc.call(t, conn, req)
			if err != nil {
				t.Fatalf("the call after a panic: %v", err)
			}
			if diff := cmp.Diff(response.To(req, response.DefaultTTL), rsp, protocmp.Transform()); diff != "" {
				t.Errorf("the call after a panic: -want, +got:\n%s", diff)
			}
			if _, body := s.get(t, "/metrics"); !strings.Contains(body, "\nfunction_panics_total 1\n") {
				t.Errorf("/metrics doesn't count the panic:\n%s", body)
			}
		})
	}
}

func TestStopLetsCallsFinish(t *testing.T) {
	t.Parallel()

	started, finish := make(chan struct{}), make(chan struct{})
	s := serve(t, func(ctx context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
		close(started)
		<-finish
		return echo(ctx, req)
	}, nil)
	conn := s.dial(t, insecure.NewCredentials())

	called := make(chan error, 1)
	go func() {
		_, err := fnv1.NewFunctionRunnerServiceClient(conn).RunFunction(t.Context(), &fnv1.RunFunctionRequest{})
		called <- err
	}()
	receive(t, "the call to start", started)

	s.stop()
	waitUntil(t, "the server isn't ready any more", func() bool {
		code, _ := s.get(t, "/readyz")
		return code == http.StatusServiceUnavailable
	})
	select {
	case err := <-called:
		t.Fatalf("the call ended before the function did: %v", err)
	case err := <-s.done:
		t.Fatalf("the server ended before the call did: %v", err)
	default:
	}

	close(finish)
	if err := receive(t, "the call", called); err != nil {
		t.Errorf("the call under way: %v", err)
	}
	if err := receive(t, "the server to stop", s.done); err != nil {
		t.Errorf("Serve(...): %v", err)
	}
	if _, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.listener.Addr().String()); err == nil {
		t.Error("the stopped server accepts connections")
	}
}

func TestStopCutsCallsOff(t *testing.T) {
	t.Parallel()

	started := make(chan struct{})
	s := serve(t, func(ctx context.Context, _ *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
		close(started)
		<-ctx.Done()
		return nil, ctx.Err()
	}, func(o *Options) { o.DrainTimeout = time.Millisecond })
	conn := s.dial(t, insecure.NewCredentials())

	called := make(chan error, 1)
	go func() {
		_, err := fnv1.NewFunctionRunnerServiceClient(conn).RunFunction(t.Context(), &fnv1.RunFunctionRequest{})
		called <- err
	}()
	receive(t, "the call to start", started)

	s.stop()
	err := receive(t, "the server to stop", s.done)
	if diff := cmp.Diff("cannot finish the calls under way within 1ms", errorText(err)); diff != "" {
		t.Errorf("Serve(...): -want, +got:\n%s", diff)
	}
	if err := receive(t, "the call", called); status.Code(err) != codes.Unavailable {
		t.Errorf("the call that was cut off: want Unavailable, got %v", err)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()

	s := serve(t, echo, nil)
	rsp, err := healthv1.NewHealthClient(s.dial(t, insecure.NewCredentials())).Check(t.Context(), &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	want := &healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_SERVING}
	if diff := cmp.Diff(want, rsp, protocmp.Transform()); diff != "" {
		t.Errorf("Check(...): -want, +got:\n%s", diff)
	}
	if code, body := s.get(t, "/readyz"); code != http.StatusOK {
		t.Errorf("/readyz: want 200, got %d: %s", code, body)
	}
}

func TestMaxReceiveBytes(t *testing.T) {
	t.Parallel()

	const limit = 1 << 10
	cases := map[string]struct {
		reason string
		bytes  int
		want   codes.Code
	}{
		"Within": {
			reason: "A request within the limit is answered.",
			bytes:  limit / 2,
			want:   codes.OK,
		},
		"Above": {
			reason: "A request is refused that is larger than the limit for what can't be left out of it, so that no request can exhaust the pod's memory.",
			bytes:  maxLightened*limit + 1,
			want:   codes.ResourceExhausted,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s := serve(t, echo, func(o *Options) { o.MaxReceiveBytes = limit })
			conn := s.dial(t, insecure.NewCredentials())
			req := &fnv1.RunFunctionRequest{Meta: &fnv1.RequestMeta{Tag: strings.Repeat("x", tc.bytes)}}
			_, err := fnv1.NewFunctionRunnerServiceClient(conn).RunFunction(t.Context(), req)
			if diff := cmp.Diff(tc.want.String(), status.Code(err).String()); diff != "" {
				t.Errorf("\n%s\nRunFunction(...): -want, +got:\n%s\n%v", tc.reason, diff, err)
			}
		})
	}
}

func TestListenError(t *testing.T) {
	t.Parallel()

	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	address := taken.Addr().String()

	cases := map[string]struct {
		reason  string
		options Options
		want    string
	}{
		"AddressTaken": {
			reason:  "The address of the function names itself when it is taken.",
			options: Options{Network: "tcp", Address: address},
			want:    `cannot listen for tcp connections at address "` + address + `": listen tcp ` + address + `: bind: address already in use`,
		},
		"MetricsAddressTaken": {
			reason:  "The address of the metrics names itself when it is taken.",
			options: Options{Network: "tcp", Address: "127.0.0.1:0", MetricsAddress: address},
			want:    `cannot listen for metrics at address "` + address + `": listen tcp ` + address + `: bind: address already in use`,
		},
		"UnknownNetwork": {
			reason:  "A network that Go doesn't know is named.",
			options: Options{Network: "carrier-pigeon", Address: "127.0.0.1:0"},
			want:    `cannot listen for carrier-pigeon connections at address "127.0.0.1:0": listen carrier-pigeon: unknown network carrier-pigeon`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := Listen(t.Context(), answerer{run: echo}, tc.options, logging.NewNopLogger())
			if diff := cmp.Diff(tc.want, errorText(err)); diff != "" {
				t.Errorf("\n%s\nListen(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// errorText is empty for nil.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
