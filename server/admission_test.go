package server

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestGate(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason string
		inside []int64
		comes  int64
		want   bool
	}{
		"Empty":             {reason: "Where there is room, nobody waits.", comes: 10, want: true},
		"Fits":              {reason: "Calls of a lane share its budget.", inside: []int64{10}, comes: 10, want: true},
		"LaneIsFull":        {reason: "Beyond the budget a call waits.", inside: []int64{10, 10}, comes: 1, want: false},
		"SmallBesideLarge":  {reason: "A small call never waits for large ones.", inside: []int64{100, 10}, comes: 10, want: true},
		"LargeBesideSmall":  {reason: "A large call never waits for small ones.", inside: []int64{10, 10}, comes: 100, want: true},
		"LargerThanItsLane": {reason: "What is larger than all of its lane gets that for itself, or it would never be answered.", comes: 1000, want: true},
		"LargerThanIsFree":  {reason: "And it waits until it does.", inside: []int64{11}, comes: 1000, want: false},
		"SmallerThanItself": {reason: "While it is inside, all others of its lane wait.", inside: []int64{1000}, comes: 11, want: false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			g := gate{newLane(10, 20), newLane(math.MaxInt64, 100)}
			leave := make([]func(), 0, len(tc.inside))
			for _, n := range tc.inside {
				l, err := g.enter(t.Context(), n)
				if err != nil {
					t.Fatal(err)
				}
				leave = append(leave, l)
			}
			patience := deadline
			if !tc.want {
				patience = 20 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := g.enter(ctx, tc.comes)
			if diff := cmp.Diff(tc.want, err == nil); diff != "" {
				t.Errorf("\n%s\nenter(..., %d) in time: -want, +got:\n%s\n%v", tc.reason, tc.comes, diff, err)
			}
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("\n%s\nenter(..., %d): want the context's error, got %v", tc.reason, tc.comes, err)
			}
			if tc.want {
				return
			}
			for _, l := range leave {
				l()
			}
			if _, err := g.enter(t.Context(), tc.comes); err != nil {
				t.Errorf("\n%s\nenter(..., %d) once the others have left: %v", tc.reason, tc.comes, err)
			}
		})
	}
}

// TestWeight holds that what is let in fits into the memory of the function together.
func TestWeight(t *testing.T) {
	t.Parallel()

	const memory, message = 160 << 20, 4 << 20
	wire, heap := gates(memory, message)
	var most int64
	for _, g := range []gate{wire, heap} {
		for _, l := range g {
			most += l.budget
		}
	}
	if most > memory*11/10 {
		t.Errorf("gates(...): want budgets of %d bytes in all, got %d", memory, most)
	}
	if got := heap[len(heap)-1].budget; got < weight(message, message/bytesPerValue)*9/10 {
		t.Errorf("gates(...): want room for the largest request, which takes %d, got %d", weight(message, message/bytesPerValue), got)
	}
}
