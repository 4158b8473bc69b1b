package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// sized request, which weighs more than half of what a server of little has for large
// requests.
func sized(tag string) *fnv1.RunFunctionRequest {
	req := dense(5000)
	req.Meta = &fnv1.RequestMeta{Tag: tag}
	return req
}

// little memory, of which 2.25 MiB is for large requests.
func little(o *Options) { o.MemoryBytes = 3 << 20 }

// A held function answers small requests at once, and others once it is told.
type held struct {
	started chan string
	finish  chan struct{}
}

func (h held) run(ctx context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	if req.GetInput() != nil {
		h.started <- req.GetMeta().GetTag()
		<-h.finish
	}
	return echo(ctx, req)
}

func run(ctx context.Context, conn *grpc.ClientConn, req *fnv1.RunFunctionRequest) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := fnv1.NewFunctionRunnerServiceClient(conn).RunFunction(ctx, req)
		done <- err
	}()
	return done
}

// waiting calls, as the metrics have it.
func (r *running) waiting(t *testing.T, n string) {
	t.Helper()
	waitUntil(t, n+" calls wait", func() bool {
		_, body := r.get(t, "/metrics")
		return strings.Contains(body, "\nfunction_requests_waiting "+n+"\n")
	})
}

func TestLargeCallsWaitForEachOther(t *testing.T) {
	t.Parallel()

	h := held{started: make(chan string, 3), finish: make(chan struct{})}
	s := serve(t, h.run, little)
	conn := s.dial(t, insecure.NewCredentials())

	first := run(t.Context(), conn, sized("first"))
	receive(t, "the first call", h.started)
	ctx, cancel := context.WithCancel(t.Context())
	cancelled := run(ctx, conn, sized("cancelled"))
	s.waiting(t, "1")
	third := run(t.Context(), conn, sized("third"))
	s.waiting(t, "2")

	if err := receive(t, "a small call beside them", run(t.Context(), conn, request(t))); err != nil {
		t.Errorf("a small call beside large ones: %v", err)
	}
	cancel()
	if err := receive(t, "the cancelled call", cancelled); status.Code(err) != codes.Canceled {
		t.Errorf("the cancelled call: want Canceled, got %v", err)
	}
	s.waiting(t, "1")
	close(h.finish)
	for name, call := range map[string]<-chan error{"first": first, "third": third} {
		if err := receive(t, "the call "+name, call); err != nil {
			t.Errorf("the call %s: %v", name, err)
		}
	}
	if got := receive(t, "the third call", h.started); got != "third" {
		t.Errorf("a call that was cancelled while it waited: want it never to reach the function, got %s", got)
	}
	s.waiting(t, "0")
	if _, body := s.get(t, "/metrics"); !strings.Contains(body, "\nfunction_requests_refused_total{reason=\"busy\"} 0\n") {
		t.Errorf("/metrics counts a call as refused that was cancelled:\n%s", body)
	}
}

func TestImpatience(t *testing.T) {
	t.Parallel()

	h := held{started: make(chan string, 1), finish: make(chan struct{})}
	s := serve(t, h.run, func(o *Options) { little(o); o.Patience = time.Second })
	conn := s.dial(t, insecure.NewCredentials())
	first := run(t.Context(), conn, sized("first"))
	receive(t, "the first call", h.started)

	err := receive(t, "the second call", run(t.Context(), conn, sized("second")))
	want := status.New(codes.ResourceExhausted, "cannot take a request of 20029 bytes: the memory for large requests was in use for 1s; nothing was changed, and it will be tried again")
	if diff := cmp.Diff(want.String(), status.Convert(err).String()); diff != "" {
		t.Errorf("a large call that waits too long: -want, +got:\n%s", diff)
	}
	if _, body := s.get(t, "/metrics"); !strings.Contains(body, "\nfunction_requests_refused_total{reason=\"busy\"} 1\n") {
		t.Errorf("/metrics doesn't count the call:\n%s", body)
	}
	close(h.finish)
	if err := receive(t, "the first call", first); err != nil {
		t.Errorf("the first call: %v", err)
	}
}

// post a body to RunFunction, as no gRPC client would.
func (r *running) post(t *testing.T, ctx context.Context, client *http.Client, body io.Reader) (string, error) { //nolint:revive // The test comes first.
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+r.listener.Addr().String()+fnv1.FunctionRunnerService_RunFunction_FullMethodName, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc")
	rsp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer rsp.Body.Close() //nolint:errcheck // It has been read.
	_, err = io.Copy(io.Discard, rsp.Body)
	code := rsp.Trailer.Get("Grpc-Status")
	if code == "" {
		code = rsp.Header.Get("Grpc-Status")
	}
	return code, err
}

// overHTTP2 without TLS.
func overHTTP2(t testing.TB) *http.Client {
	t.Helper()
	p := &http.Protocols{}
	p.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: p}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// message with its prefix.
func message(compressed byte, size int, content []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{compressed}, uint32(size)) //nolint:gosec // Tests send sizes that fit.
	return append(b, content...)
}

func TestMalformedMessages(t *testing.T) {
	t.Parallel()

	valid, err := proto.Marshal(request(t))
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason string
		body   []byte
		want   codes.Code
	}{
		"Valid":      {reason: "The tests' own client is answered.", body: message(0, len(valid), valid), want: codes.OK},
		"Nothing":    {reason: "A call without a message says so.", want: codes.InvalidArgument},
		"HalfPrefix": {reason: "A prefix that ends early is no message.", body: []byte{0, 0}, want: codes.InvalidArgument},
		"Short":      {reason: "A message that ends early isn't waited for.", body: message(0, len(valid), valid[:10]), want: codes.InvalidArgument},
		"Huge":       {reason: "A length that nobody may send takes no memory.", body: message(0, 1<<32-1, nil), want: codes.ResourceExhausted},
		"Compressed": {reason: "What is compressed could be of any size, and Crossplane compresses nothing.", body: message(1, len(valid), valid), want: codes.Internal},
		"NoProtobuf": {reason: "A message that can't be decoded is an error of that call.", body: message(0, 3, []byte{0xff, 0xff, 0xff}), want: codes.Internal},
		"More":       {reason: "What comes after the message isn't read.", body: append(message(0, len(valid), valid), message(0, 1<<32-1, nil)...), want: codes.OK},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			s := serve(t, echo, nil)
			got, err := s.post(t, t.Context(), overHTTP2(t), bytes.NewReader(tc.body))
			if err != nil {
				t.Fatalf("\n%s\n%v", tc.reason, err)
			}
			if diff := cmp.Diff(strconv.Itoa(int(tc.want)), got); diff != "" {
				t.Errorf("\n%s\n-want, +got status:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestManyAtOnce sends calls of all sizes, whole and broken, and cancels some at any
// moment. What they took must all be given back.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()

	var inside, most atomic.Int64
	s := serve(t, func(ctx context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
		if req.GetMeta().GetTag() == "large" {
			n := inside.Add(1)
			defer inside.Add(-1)
			for {
				was := most.Load()
				if n <= was || most.CompareAndSwap(was, n) {
					break
				}
			}
		}
		return echo(ctx, req)
	}, little)
	conn := s.dial(t, insecure.NewCredentials())
	client := overHTTP2(t)
	large, err := proto.Marshal(sized("large"))
	if err != nil {
		t.Fatal(err)
	}
	const attempts = 200
	done := make(chan error, attempts)
	for i := range attempts {
		ctx, cancel := context.WithCancel(t.Context())
		if i%4 == 1 {
			time.AfterFunc(time.Duration(rand.Int64N(int64(50*time.Millisecond))), cancel) //nolint:gosec // Any moment will do.
		}
		go func() {
			defer cancel()
			switch {
			case i%4 < 2:
				_, err := fnv1.NewFunctionRunnerServiceClient(conn).RunFunction(ctx, sized("large"))
				if i%4 == 1 && status.Code(err) == codes.Canceled {
					err = nil
				}
				done <- err
			case i%4 == 2:
				_, err := s.post(t, ctx, client, bytes.NewReader(message(0, len(large), large[:i])))
				done <- err
			default:
				_, err := fnv1.NewFunctionRunnerServiceClient(conn).RunFunction(ctx, request(t))
				done <- err
			}
		}()
	}
	for range attempts {
		if err := receive(t, "a call", done); err != nil {
			t.Errorf("a call: %v", err)
		}
	}
	if most.Load() != 1 {
		t.Errorf("want one large call at a time, got %d", most.Load())
	}
	s.waiting(t, "0")
	h := s.calls.Handler.(*calls)
	for _, g := range []gate{h.wire, h.heap} {
		for _, l := range g {
			waitUntil(t, "everything is given back", func() bool {
				ok := l.free.TryAcquire(l.budget)
				if ok {
					l.free.Release(l.budget)
				}
				return ok
			})
		}
	}
}

// FuzzMessage sends anything as the body of a call.
func FuzzMessage(f *testing.F) {
	valid, err := proto.Marshal(dense(3))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(message(0, len(valid), valid))
	f.Add(message(1, len(valid), valid))
	f.Add(message(0, 1<<32-1, valid))
	f.Add([]byte{})
	s := serve(f, echo, nil)
	client := overHTTP2(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := s.post(t, t.Context(), client, bytes.NewReader(b)); err != nil {
			t.Errorf("post(%x): want an answer, got %v", b, err)
		}
	})
}
