package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/crossplane/function-sdk-go/errors"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	fnv1beta1 "github.com/crossplane/function-sdk-go/proto/v1beta1"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// prefixBytes before a message: whether it is compressed, and its length (grpc,
	// PROTOCOL-HTTP2.md, Length-Prefixed-Message).
	prefixBytes = 5

	// otherBytes are enough for a message of any method but RunFunction.
	otherBytes = 64 << 10

	// maxLightening is how many times the largest request a request may have that is
	// that large without what is left out of it: a hundred workloads, ServiceAccounts and
	// volume claims, each as large as etcd takes it, are less.
	maxLightening = 128

	// maxLightened is how many times the largest request one may have that was too
	// large, without what is left out of it. What it takes in memory follows from its
	// values, of which it may hold no more than others.
	maxLightened = 2

	// readTimeout is how long the sender of a message may take, once there is room
	// for it. In a cluster the largest takes a fraction of a second.
	readTimeout = 10 * time.Second
)

// Why requests are refused, as the metrics have it.
const (
	refusedSize   = "size"
	refusedValues = "values"
	refusedBusy   = "busy"
	refusedBroken = "broken"
)

// calls of the function are let in by their size, before they take memory. Until
// then a call takes no more than what its stream may send unasked.
//
// It is an http.Handler in front of gRPC, since gRPC's own server reads a message whole
// before it asks anybody.
type calls struct {
	grpc       http.Handler
	wire, heap gate
	maxBytes   int
	maxValues  int
	request    *layout
	lightener  lightener
	lightly    func(context.Context) context.Context
	patience   time.Duration
	refused    *prometheus.CounterVec
	lightened  prometheus.Counter
	waiting    prometheus.Gauge
}

func newCalls(next http.Handler, o Options, m *metrics) *calls {
	wire, heap := gates(o.MemoryBytes, o.MaxReceiveBytes)
	request := (&fnv1.RunFunctionRequest{}).ProtoReflect().Descriptor()
	return &calls{
		grpc:      next,
		wire:      wire,
		heap:      heap,
		maxBytes:  o.MaxReceiveBytes,
		maxValues: o.MaxReceiveBytes / bytesPerValue,
		request:   layoutOf(request),
		lightener: newLightener(request, o.Dispensable, o.Unread),
		lightly:   o.Lightened,
		patience:  o.Patience,
		refused:   m.refused,
		lightened: m.lightened,
		waiting:   m.waiting,
	}
}

// ServeHTTP of gRPC, of one call.
func (c *calls) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case fnv1.FunctionRunnerService_RunFunction_FullMethodName, fnv1beta1.FunctionRunnerService_RunFunction_FullMethodName:
	default:
		r.Body = http.MaxBytesReader(w, r.Body, otherBytes)
		c.grpc.ServeHTTP(w, r)
		return
	}
	m, leave, err := c.admit(w, r)
	defer leave()
	ctx := r.Context()
	switch {
	case err != nil:
		// gRPC answers, so that it is counted and told as all errors are.
		m.bytes, ctx = make([]byte, prefixBytes), context.WithValue(ctx, refusal{}, err)
	case m.left > 0:
		ctx = c.lightly(ctx)
	}
	r = r.WithContext(ctx)
	r.Body = &body{m.bytes}
	c.grpc.ServeHTTP(w, r)
}

// admit a call: its message with the prefix, once there is memory for it, which is
// given back by leaving.
func (c *calls) admit(w http.ResponseWriter, r *http.Request) (m received, leave func(), err error) {
	var left []func()
	leave = func() {
		for _, f := range left {
			f()
		}
	}
	var prefix [prefixBytes]byte
	if _, err := io.ReadFull(r.Body, prefix[:]); err != nil {
		return m, leave, c.broken(r, err)
	}
	size := int(binary.BigEndian.Uint32(prefix[1:]))
	if size/maxLightening > c.maxBytes {
		return m, leave, c.tooLarge(size)
	}
	enter := func(ctx context.Context, g gate, taken int64) error {
		c.waiting.Inc()
		defer c.waiting.Dec()
		ctx, cancel := context.WithTimeout(ctx, c.patience)
		defer cancel()
		f, err := g.enter(ctx, taken)
		if err == nil {
			left = append(left, f)
			return nil
		}
		if r.Context().Err() != nil {
			return status.FromContextError(r.Context().Err()).Err()
		}
		return c.refuse(refusedBusy, "cannot take a request of %d bytes: the memory for large requests was in use for %s; nothing was changed, and it will be tried again", size, c.patience)
	}
	if err := enter(r.Context(), c.wire, int64(min(size, maxLightened*c.maxBytes))); err != nil {
		return m, leave, err
	}
	// A stream that has ended can't have a deadline, and needs none.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readTimeout))
	if m, err = c.read(r, prefix, size); err != nil {
		return m, leave, err
	}
	return m, leave, enter(r.Context(), c.heap, weight(len(m.bytes), m.values))
}

// A received message.
type received struct {
	// bytes of it, with the prefix.
	bytes []byte

	// values that it holds.
	values int

	// left out of it, in bytes.
	left int
}

// read a message of a size. One that is too large is read without what the function can
// do without.
func (c *calls) read(r *http.Request, prefix [prefixBytes]byte, size int) (received, error) {
	if size > c.maxBytes {
		return c.lighten(r, r.Body, prefix, size)
	}
	m := received{bytes: make([]byte, prefixBytes+size)}
	copy(m.bytes, prefix[:])
	if _, err := io.ReadFull(r.Body, m.bytes[prefixBytes:]); err != nil {
		return received{}, c.broken(r, err)
	}
	if m.values = c.request.values(m.bytes[prefixBytes:], c.maxValues, maxDepth); m.values > c.maxValues {
		return c.lighten(r, bytes.NewReader(m.bytes[prefixBytes:]), prefix, size)
	}
	return m, nil
}

// lighten a message.
func (c *calls) lighten(r *http.Request, from io.Reader, prefix [prefixBytes]byte, size int) (received, error) {
	if prefix[0] != 0 {
		return received{}, c.tooLarge(size) // It is compressed, and so can't be looked into.
	}
	b, left, err := c.lightener.read(from, size, prefix[:], maxLightened*c.maxBytes, largestPolicy)
	n := 0
	if err == nil {
		n = c.request.values(b[prefixBytes:], c.maxValues, maxDepth)
	}
	if n > c.maxValues {
		var more int
		b, more, err = c.lightener.read(bytes.NewReader(b[prefixBytes:]), len(b)-prefixBytes, slices.Clone(prefix[:]), maxLightened*c.maxBytes, largestOfMany)
		left += more
	}
	switch {
	case errors.Is(err, errTooLarge):
		return received{}, c.tooLarge(size)
	case err != nil:
		return received{}, c.broken(r, err)
	}
	if n > c.maxValues {
		n = c.request.values(b[prefixBytes:], c.maxValues, maxDepth)
	}
	if n > c.maxValues {
		return received{}, c.refuse(refusedValues, "cannot read a request of %d bytes: its maps and lists hold more than %d values or are nested too deeply, and so would take too much memory; nothing was changed; split the composite resource into several, or start the function with a larger --max-recv-message-size", size, c.maxValues)
	}
	if left > 0 {
		c.lightened.Inc()
	}
	binary.BigEndian.PutUint32(b[1:], uint32(len(b)-prefixBytes)) //nolint:gosec // It was bounded.
	return received{bytes: b, values: n, left: left}, nil
}

// tooLarge is a request that has too many bytes.
func (c *calls) tooLarge(size int) error {
	return c.refuse(refusedSize, "cannot read a request of %d bytes: it may have %d without what the function can do without; nothing was changed; split the composite resource into several, or start the function with a larger --max-recv-message-size", size, maxLightened*c.maxBytes)
}

// refuse a call, for a reason that the metrics have as a label.
func (c *calls) refuse(reason, format string, args ...any) error {
	c.refused.WithLabelValues(reason).Inc()
	return status.Errorf(codes.ResourceExhausted, format, args...)
}

// broken is a call whose message doesn't arrive whole.
func (c *calls) broken(r *http.Request, err error) error {
	if r.Context().Err() != nil {
		return status.FromContextError(r.Context().Err()).Err() //nolint:wrapcheck // It is gRPC's.
	}
	c.refused.WithLabelValues(refusedBroken).Inc()
	return status.Error(codes.InvalidArgument, errors.Wrap(err, "cannot read request").Error()) //nolint:wrapcheck // It is gRPC's.
}

// refusal is the key of the error that a call's context has where it isn't let in.
type refusal struct{}

// answerRefusals to calls that weren't let in.
func answerRefusals(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err, ok := ctx.Value(refusal{}).(error); ok {
		return nil, err
	}
	return handler(ctx, req)
}

// A body that has been read.
type body struct{ unread []byte }

func (b *body) Read(p []byte) (int, error) {
	if len(b.unread) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.unread)
	b.unread = b.unread[n:]
	return n, nil
}

func (*body) Close() error { return nil }
