package main

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	"github.com/serviceconnections/function-service-connections/test/e2e/machine"
)

// measure everything, in an order in which one part doesn't spoil the next, and
// report it.
func (m *measurement) measure(ctx context.Context) (string, error) {
	if least := crowded(); m.claims < least {
		return "", fmt.Errorf("cannot measure %d claims: there must be at least %d, to have namespaces with %v of them", m.claims, least, crowds)
	}
	r := &report{}
	for _, part := range []struct {
		name    string
		measure func(context.Context, *report) error
	}{
		{"fill", m.reportFill},
		{"rest", m.reportRest},
		{"admission", m.reportAdmission},
		{"memory", m.reportMemory},
	} {
		m.progress("%s", part.name)
		if err := part.measure(ctx, r); err != nil {
			return "", fmt.Errorf("cannot measure %s: %w", part.name, err)
		}
	}
	return strings.Join(r.lines, "\n") + "\n", nil
}

// A report in Markdown.
type report struct{ lines []string }

func (r *report) linef(format string, a ...any) { r.lines = append(r.lines, fmt.Sprintf(format, a...)) }

func (m *measurement) reportFill(ctx context.Context, r *report) error {
	average := machine.LoadAverage()
	l, err := m.fill(ctx)
	if err != nil {
		return err
	}
	function, err := m.FunctionMetrics(ctx, m.function)
	if err != nil {
		return err
	}
	n := float64(m.claims)
	r.linef("# A full control plane")
	r.linef("")
	r.linef("<!-- Written by make scale. -->")
	r.linef("")
	r.linef("%d claims with three services and six connections each, on one machine that also runs", m.claims)
	r.linef("etcd, Kubernetes, Crossplane and the function: %s, %d cores. Crossplane and the", machine.CPUModel(), runtime.NumCPU())
	r.linef("function run with their defaults; the clouds are a fake behind upjet's own controllers")
	r.linef("(test/providers). `make scale` measures it anew.")
	r.linef("")
	r.linef("The load average of the machine before was %s. Where that is more than 1, times are too", average)
	r.linef("long; CPU, requests and memory hold.")
	r.linef("")
	r.linef("| Claims are applied one after another | |")
	r.linef("|---|---|")
	r.linef("| composed objects | %d |", m.Composed())
	r.linef("| until all claims are ready | %.0f s |", l.seconds)
	r.linef("| until one claim is ready: median, slowest | %.0f s, %.0f s |", l.median.Seconds(), l.worst.Seconds())
	r.linef("| calls of the function, a claim | %.1f |", l.calls/n)
	r.linef("| reconciles of Crossplane, a claim | %.1f |", l.reconciles/n)
	r.linef("| CPU of the function, a call | %.2f ms |", l.functionCPU/l.calls*1000)
	r.linef("| CPU of Crossplane, a reconcile | %.1f ms |", l.coreCPU/l.reconciles*1000)
	r.linef("| write requests of Crossplane, a claim | %s |", perClaim(l.requests, n))
	r.linef("| write requests of everybody, a claim | %.0f |", l.writesOfAll/n)
	r.linef("| memory of the function | %.0f MiB |", sizeOf(function).resident)
	return nil
}

func (m *measurement) reportRest(ctx context.Context, r *report) error {
	resting, err := m.rest(ctx)
	if err != nil {
		return err
	}
	again, seconds, err := m.reconcile(ctx)
	if err != nil {
		return err
	}
	r.linef("")
	r.linef("| All claims are ready | %s at rest | one reconcile of each |", m.options.rest)
	r.linef("|---|---|---|")
	r.linef("| took | | %.1f s |", seconds)
	r.linef("| objects that changed | 0 | 0 |")
	r.linef("| calls of the function | %.0f | %.0f |", resting.calls, again.calls)
	r.linef("| CPU of the function, a call | | %.2f ms |", again.functionCPU/again.calls*1000)
	r.linef("| CPU of Crossplane, a reconcile | | %.1f ms |", again.coreCPU/again.reconciles*1000)
	r.linef("| write requests of Crossplane | %.0f | %s a claim |", total(resting.requests), perClaim(again.requests, float64(m.claims)))
	r.linef("")
	r.linef("A reconcile applies each composed object again, as it does with any function; the API")
	r.linef("server finds that nothing changes, and stores nothing.")
	return nil
}

func (m *measurement) reportAdmission(ctx context.Context, r *report) error {
	pods, err := m.admissions(ctx, unconnected)
	if err != nil {
		return err
	}
	r.linef("")
	r.linef("| Claims in a pod's namespace | creation of the pod | more a claim | CPU of the API server | more a claim |")
	r.linef("|---|---|---|---|---|")
	for _, p := range pods {
		more, moreCPU := "", ""
		if p.claims > 0 {
			more = fmt.Sprintf("%.3f ms", milliseconds(p.median-pods[0].median)/float64(p.claims))
			moreCPU = fmt.Sprintf("%.3f ms", milliseconds(p.cpu-pods[0].cpu)/float64(p.claims))
		}
		r.linef("| %d | %.2f ms | %s | %.2f ms | %s |", p.claims, milliseconds(p.median), more, milliseconds(p.cpu), moreCPU)
	}
	r.linef("")
	r.linef("The pod is one that no claim names. Nearly all that a claim adds is the API server's own")
	r.linef("conversion of it to what CEL reads, before any condition runs: a policy whose only")
	r.linef("condition is `false` costs nine tenths of it (`BenchmarkOtherClaim` in test/admission).")
	return nil
}

func (m *measurement) reportMemory(ctx context.Context, r *report) error {
	r.linef("")
	r.linef("| Crossplane, started anew with %d Deployments in the cluster | resident | heap |", 3*m.claims)
	r.linef("|---|---|---|")
	for _, inspect := range []bool{true, false} {
		s, err := m.memory(ctx, inspect)
		if err != nil {
			return err
		}
		r.linef("| `workload.inspect: %v` | %.0f MiB | %.0f MiB |", inspect, s.resident, s.heap)
	}
	return nil
}

func total(requests map[string]float64) (sum float64) {
	for _, method := range writes {
		sum += requests[method]
	}
	return sum
}

func perClaim(requests map[string]float64, claims float64) string {
	parts := []string{}
	for _, method := range writes {
		if requests[method] > 0 {
			parts = append(parts, fmt.Sprintf("%.1f %s", requests[method]/claims, method))
		}
	}
	return fmt.Sprintf("%.1f (%s)", total(requests)/claims, strings.Join(parts, ", "))
}
