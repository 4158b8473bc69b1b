package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"
	"google.golang.org/protobuf/proto"

	"github.com/serviceconnections/function-service-connections/test/bench/inprocess"
)

// A benchmark is what go test says of one: values by their unit, the median of
// all runs.
type benchmark map[string]float64

// measureInProcess runs each peer's benchmark some times, in turns.
func measureInProcess(ctx context.Context, dir string, ms []*measurement, rounds int, benchtime string) error {
	runs := make([][]benchmark, len(ms))
	for range rounds {
		for i, m := range ms {
			b, err := proto.Marshal(m.peer.request)
			if err != nil {
				return fmt.Errorf("cannot encode request of %s: %w", m.peer.name, err)
			}
			request := filepath.Join(dir, "request")
			if err := os.WriteFile(request, b, 0o600); err != nil {
				return fmt.Errorf("cannot write request: %w", err)
			}
			rs, err := runBenchmark(ctx, dir, m.peer.benchmark, "^BenchmarkRunFunction$", benchtime, inprocess.Request+"="+request)
			if err != nil {
				return err
			}
			runs[i] = append(runs[i], rs["RunFunction"])
		}
	}
	for i, m := range ms {
		m.inProcess = median(runs[i])
	}
	return nil
}

// A growth is what a call costs by the number of services in its claim.
type growth map[int]benchmark

// measureGrowth by the benchmark of package fn, whose tests have a cluster that
// brings claims of any size to rest.
func measureGrowth(ctx context.Context, root, dir string, rounds int, benchtime string) (growth, error) {
	binary := filepath.Join(dir, "fn.test")
	if err := goCommand(ctx, root, "test", "-c", "-o", binary, "./fn"); err != nil {
		return nil, err
	}
	runs := map[int][]benchmark{}
	for range rounds {
		rs, err := runBenchmark(ctx, filepath.Join(root, "fn"), binary, "^BenchmarkRunFunction$", benchtime)
		if err != nil {
			return nil, err
		}
		for name, b := range rs {
			_, size, _ := strings.Cut(name, "services=")
			n, err := strconv.Atoi(size)
			if err != nil {
				return nil, fmt.Errorf("cannot read benchmark %q: it must end in the number of services: %w", name, err)
			}
			runs[n] = append(runs[n], b)
		}
	}
	g := growth{}
	for n, bs := range runs {
		g[n] = median(bs)
	}
	return g, nil
}

// runBenchmark of a test binary in a folder. It returns the results by their names.
func runBenchmark(ctx context.Context, dir, binary, pattern, benchtime string, env ...string) (map[string]benchmark, error) {
	cmd := exec.CommandContext(ctx, binary, "-test.run=^$", "-test.bench="+pattern, "-test.benchtime="+benchtime)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot run benchmark %s: %w: %s%s", filepath.Base(binary), err, out, stderr.Bytes())
	}
	rs := map[string]benchmark{}
	r := benchfmt.NewReader(bytes.NewReader(out), filepath.Base(binary))
	for r.Scan() {
		result, ok := r.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		b := benchmark{}
		for _, v := range result.Values {
			b[v.Unit] = v.Value
			if v.OrigUnit != "" {
				b[v.OrigUnit] = v.OrigValue
			}
		}
		// The number of processors goes after a dash.
		name := result.Name.String()
		if i := strings.LastIndexByte(name, '-'); i >= 0 {
			name = name[:i]
		}
		rs[name] = b
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("cannot read output of benchmark %s: %w", filepath.Base(binary), err)
	}
	if len(rs) == 0 {
		return nil, fmt.Errorf("cannot run benchmark %s: it printed no result: %s%s", filepath.Base(binary), out, stderr.Bytes())
	}
	return rs, nil
}

// median of each value.
func median(bs []benchmark) benchmark {
	values := map[string][]float64{}
	for _, b := range bs {
		for unit, v := range b {
			values[unit] = append(values[unit], v)
		}
	}
	m := benchmark{}
	for unit, vs := range values {
		slices.Sort(vs)
		m[unit] = vs[len(vs)/2]
	}
	return m
}
