package server

import (
	"context"
	"math"

	"golang.org/x/sync/semaphore"
)

// A gate lets calls in while the memory that they take is free, and keeps the others
// waiting. It has lanes by how much a call takes, and each lane has memory of its
// own: a call waits for those of its own size, and never for larger ones.
type gate []lane

// A lane of a gate, for calls that take no more than most.
type lane struct {
	most   int64
	budget int64
	free   *semaphore.Weighted
}

// newLane in which calls of at most so many bytes share a budget of bytes. It must
// have room for one call.
func newLane(most, budget int64) lane {
	budget = max(budget, 1)
	return lane{most: most, budget: budget, free: semaphore.NewWeighted(budget)}
}

// enter with what takes so many bytes, once they are free or never: the error is that
// of the context. In a lane it is first come, first served. What is larger than
// all of its lane waits until it has that for itself.
func (g gate) enter(ctx context.Context, bytes int64) (leave func(), err error) {
	for _, l := range g {
		if bytes > l.most {
			continue
		}
		bytes = min(bytes, l.budget)
		if err := l.free.Acquire(ctx, bytes); err != nil {
			return nil, err //nolint:wrapcheck // It is the context's, and the caller says what was waited for.
		}
		return func() { l.free.Release(bytes) }, nil
	}
	return func() {}, nil
}

// What a decoded request takes, together with what is made of it until it is
// answered, as TestTogether measures: for each value in a map or list and for each
// byte.
const (
	bytesOfValue = 400
	bytesOfByte  = 6
)

// weight of a request in bytes of memory, as an estimate that is rather too high.
func weight(bytes, values int) int64 {
	return int64(bytes)*bytesOfByte + int64(values)*bytesOfValue
}

// gates of a server that may use so much memory, for messages of a size at most, all
// in bytes.
//
// A message is on the wire until its call is answered, since gRPC may hold it as long. Two
// of the largest have room: one is worked on while the next is read.
func gates(memory int64, message int) (wire, heap gate) {
	const kibibyte = 1 << 10
	largest := int64(message)
	wire = gate{
		newLane(64*kibibyte, largest),
		newLane(512*kibibyte, largest),
		newLane(math.MaxInt64, 2*largest),
	}
	heap = gate{
		newLane(memory/128, memory/10),
		newLane(memory/20, memory/7),
		newLane(math.MaxInt64, memory*3/4),
	}
	return wire, heap
}
