package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/procfs"
)

// A load is what one peer did with some number of clients at once.
type load struct {
	latencies []time.Duration
	elapsed   time.Duration
}

func (l *load) percentile(p float64) time.Duration {
	if len(l.latencies) == 0 {
		return 0
	}
	return l.latencies[int(p*float64(len(l.latencies)-1))]
}

func (l *load) perSecond() float64 { return float64(len(l.latencies)) / l.elapsed.Seconds() }

// A measurement of one peer.
type measurement struct {
	peer *peer

	// loads by the number of clients.
	loads map[int]*load

	// Resident memory before and after, and at most, in bytes, and CPU time in
	// seconds.
	before, after, most int
	cpu                 float64

	inProcess benchmark
}

// calls of all loads.
func (m *measurement) calls() (n int) {
	for _, l := range m.loads {
		n += len(l.latencies)
	}
	return n
}

// clients of a load.
var clients = []int{1, 4, 16}

// measure the peers in turns, so that what else the machine does meets all of them
// alike: some rounds, of which each gives every peer a while with every number of
// clients.
func measure(ctx context.Context, ps []*peer, rounds int, while time.Duration) ([]*measurement, error) {
	ms := make([]*measurement, len(ps))
	for i, p := range ps {
		ms[i] = &measurement{peer: p, loads: map[int]*load{}}
		for _, n := range clients {
			ms[i].loads[n] = &load{}
		}
		u, err := usageOf(p)
		if err != nil {
			return nil, err
		}
		ms[i].before, ms[i].cpu = u.resident, -u.cpu
	}
	for range rounds {
		for _, n := range clients {
			for _, m := range ms {
				if err := m.loads[n].add(ctx, m.peer, n, while); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, m := range ms {
		u, err := usageOf(m.peer)
		if err != nil {
			return nil, err
		}
		m.after, m.most = u.resident, u.most
		m.cpu += u.cpu
		for _, l := range m.loads {
			slices.Sort(l.latencies)
		}
	}
	return ms, nil
}

// add the calls of some clients for a while, one after the other each.
func (l *load) add(ctx context.Context, p *peer, clients int, while time.Duration) error {
	ctx, failed := context.WithCancelCause(ctx)
	defer failed(nil)
	var (
		mu  sync.Mutex
		all sync.WaitGroup
	)
	start := time.Now()
	for range clients {
		all.Go(func() {
			var took []time.Duration
			for ctx.Err() == nil && time.Since(start) < while {
				call := time.Now()
				if _, err := p.run(ctx, p.request); err != nil {
					failed(err)
					return
				}
				took = append(took, time.Since(call))
			}
			mu.Lock()
			defer mu.Unlock()
			l.latencies = append(l.latencies, took...)
		})
	}
	all.Wait()
	l.elapsed += time.Since(start)
	return context.Cause(ctx) //nolint:wrapcheck // A call's error names the function.
}

// A usage of a process: memory in bytes, CPU time in seconds.
type usage struct {
	resident, most int
	cpu            float64
}

func usageOf(p *peer) (usage, error) {
	proc, err := procfs.NewProc(p.process.PID)
	if err != nil {
		return usage{}, fmt.Errorf("cannot find process of %s: %w", p.name, err)
	}
	stat, err := proc.Stat()
	if err != nil {
		return usage{}, fmt.Errorf("cannot read usage of %s: %w", p.name, err)
	}
	status, err := proc.NewStatus()
	if err != nil {
		return usage{}, fmt.Errorf("cannot read usage of %s: %w", p.name, err)
	}
	return usage{resident: stat.ResidentMemory(), most: int(status.VmHWM), cpu: stat.CPUTime()}, nil //nolint:gosec // No process has 8 EiB.
}
