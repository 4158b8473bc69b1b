package main

import (
	_ "embed"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"text/template"

	"github.com/serviceconnections/function-service-connections/test/e2e/machine"
	"github.com/serviceconnections/function-service-connections/test/page"
)

//go:embed report.md.tmpl
var reportTemplate string

const mebibyte = 1 << 20

// A figure of a turn, held against a goal.
type figure struct {
	name  string
	of    func(t turn) float64
	write string

	// goal for the ratio to function-patch-and-transform's, or for the figure itself
	// where absolute.
	goal     float64
	absolute bool
}

// figures of the largest burst.
var figures = []figure{
	{name: "until all are ready", of: func(t turn) float64 { return t.seconds }, write: "%.1f s", goal: 1},
	{name: "CPU of Crossplane and functions, a claim", of: func(t turn) float64 { return perClaim(t, t.cpu()*1000) }, write: "%.0f ms", goal: 1},
	{name: "CPU of the API server, a claim", of: func(t turn) float64 { return perClaim(t, t.apiServerCPU*1000) }, write: "%.0f ms", goal: 1},
	{name: "writes of Crossplane, a claim", of: func(t turn) float64 { return perClaim(t, t.written()) }, write: "%.0f", goal: 1},
	{name: "writes that changed something, of everybody, a claim", of: func(t turn) float64 { return perClaim(t, t.stored) }, write: "%.0f", goal: 1},
	{name: "reconciles, a claim", of: func(t turn) float64 { return perClaim(t, t.reconciles) }, write: "%.1f", goal: 1},
	{name: "calls, a reconcile", of: func(t turn) float64 { return t.calls / t.reconciles }, write: "%.2f", goal: 1.2, absolute: true},
	{name: "memory of Crossplane at most", of: func(t turn) float64 { return t.peak / mebibyte }, write: "%.0f MiB", goal: 1.1},
}

// alone is the figure of one claim that nothing happens beside.
var alone = figure{name: "one claim alone until ready", of: func(t turn) float64 { return t.seconds }, write: "%.2f s", goal: 1}

func perClaim(t turn, sum float64) float64 { return sum / float64(t.burst.claims) }

// A row of a table.
type row []string

// A chart as Mermaid draws it, with a line for each implementation.
type chart struct {
	title, x, y string
	labels      []string
	values      [][]float64
}

// turns of a burst by an implementation, in the order of the rounds.
func turnsOf(all []turn, i *implementation, b string) []turn {
	return slices.DeleteFunc(slices.Clone(all), func(t turn) bool { return t.of != i || t.burst.name != b })
}

// median of a figure.
func (f figure) median(ts []turn) float64 {
	vs := make([]float64, 0, len(ts))
	for _, t := range ts {
		vs = append(vs, f.of(t))
	}
	slices.Sort(vs)
	return vs[len(vs)/2]
}

// row of the table of ratios: both medians, the ratio of each round, and the goal.
func (f figure) row(all []turn, b string) row {
	a, p := turnsOf(all, ours, b), turnsOf(all, theirs, b)
	rounds, worst := make([]string, 0, len(a)), 0.0
	for i := range min(len(a), len(p)) {
		v := f.of(a[i])
		if !f.absolute {
			v /= f.of(p[i])
		}
		rounds = append(rounds, fmt.Sprintf("%.2f", v))
		worst = max(worst, v)
	}
	met := "met"
	if worst > f.goal {
		met = "**missed**"
	}
	goal := fmt.Sprintf("≤ %.1f, %s", f.goal, met)
	return row{f.name, fmt.Sprintf(f.write, f.median(a)), fmt.Sprintf(f.write, f.median(p)), strings.Join(rounds, ", "), goal}
}

// growth rows have a burst each.
func (o *Flags) growth(all []turn) (rows []row, c chart) {
	cpu, seconds := figures[1], figures[0]
	rows = append(rows, row{"Claims", "ready after: this", "peer", "CPU a claim: this", "peer", "writes a claim: this", "peer"})
	c = chart{title: "CPU of Crossplane and functions a claim", x: "claims at once", y: "ms", values: make([][]float64, len(implementations))}
	for _, b := range o.mixed() {
		compared := []figure{seconds, cpu, figures[3]}
		r := make(row, 0, 1+len(compared)*len(implementations))
		r = append(r, b.name)
		for _, f := range compared {
			for _, i := range implementations {
				r = append(r, fmt.Sprintf(f.write, f.median(turnsOf(all, i, b.name))))
			}
		}
		rows = append(rows, r)
		c.labels = append(c.labels, b.name)
		for n, i := range implementations {
			c.values[n] = append(c.values[n], cpu.median(turnsOf(all, i, b.name)))
		}
	}
	return rows, c
}

// services rows: the same services in one claim and in many.
func (o *Flags) services(all []turn) []row {
	if o.Services == 0 {
		return nil
	}
	rows := []row{{fmt.Sprintf("%d services in", o.Services), "ready after: this", "peer", "CPU: this", "peer", "writes: this", "peer"}}
	for _, name := range []string{wide, narrow} {
		r := row{name}
		for _, f := range []figure{
			figures[0],
			{of: func(t turn) float64 { return t.cpu() }, write: "%.1f s"},
			{of: func(t turn) float64 { return t.written() }, write: "%.0f"},
		} {
			for _, i := range implementations {
				r = append(r, fmt.Sprintf(f.write, f.median(turnsOf(all, i, name))))
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// resting rows: what claims cost that are ready.
func (o *Flags) resting(all []turn, b string) []row {
	rows := []row{{"Claims at rest", "this", "peer"}}
	add := func(what, format string, of func(t turn) float64) {
		f := figure{of: of, write: format}
		rows = append(rows, row{what, fmt.Sprintf(format, f.median(turnsOf(all, ours, b))), fmt.Sprintf(format, f.median(turnsOf(all, theirs, b)))})
	}
	minutes := o.Rest.Minutes()
	add(fmt.Sprintf("objects that were written in %s", o.Rest), "%.0f", func(t turn) float64 { return float64(t.changed) })
	add("reconciles a minute and claim", "%.2f", func(t turn) float64 { return perClaim(t, t.resting.reconciles) / minutes })
	add("CPU of Crossplane and functions a minute and claim", "%.2f ms", func(t turn) float64 { return perClaim(t, t.resting.cpu()*1000) / minutes })
	add("one more reconcile: CPU of Crossplane", "%.1f ms", func(t turn) float64 { return t.again.crossplaneCPU / t.again.reconciles * 1000 })
	add("one more reconcile: CPU of functions", "%.2f ms", func(t turn) float64 { return t.again.functionsCPU / t.again.reconciles * 1000 })
	add("one more reconcile: CPU of the API server", "%.1f ms", func(t turn) float64 { return t.again.apiServerCPU / t.again.reconciles * 1000 })
	add("functions' memory at most", "%.0f MiB", func(t turn) float64 { return t.functionsPeak / mebibyte })
	return rows
}

// report of all turns, in Markdown.
func (o *Flags) report(all []turn) (string, error) {
	t, err := template.New("report").Parse(reportTemplate)
	if err != nil {
		return "", fmt.Errorf("cannot parse template of report: %w", err)
	}
	largest := o.mixed()[len(o.Claims)-1].name
	ratios := []row{{largest + " claims at once", "this", "peer", "ratio in each round", "goal"}}
	for _, f := range figures {
		ratios = append(ratios, f.row(all, largest))
	}
	if slices.Contains(o.Claims, 1) {
		ratios = append(ratios, alone.row(all, "1"))
	}
	growth, chart := o.growth(all)
	var loads []string
	for _, t := range all {
		if t.burst.name == largest {
			loads = append(loads, t.load)
		}
	}
	var b strings.Builder
	if err := t.Execute(&b, map[string]any{
		"Processor": machine.CPUModel(), "Cores": runtime.NumCPU(), "Loads": strings.Join(loads, ", "), "Rounds": o.Rounds,
		"Ratios": page.Table(ratios), "Growth": page.Table(growth), "Chart": chart.mermaid(), "Services": page.Table(o.services(all)), "Rest": page.Table(o.resting(all, largest)),
	}); err != nil {
		return "", fmt.Errorf("cannot write report: %w", err)
	}
	return b.String(), nil
}

// mermaid draws the chart, as GitHub shows it.
func (c chart) mermaid() string {
	top := 0.0
	var b strings.Builder
	for _, vs := range c.values {
		top = max(top, slices.Max(vs))
	}
	fmt.Fprintf(&b, "```mermaid\nxychart-beta\n  title %q\n  x-axis %q [%s]\n  y-axis %q 0 --> %.0f\n", c.title, c.x, strings.Join(c.labels, ", "), c.y, top*1.1)
	for _, vs := range c.values {
		texts := make([]string, 0, len(vs))
		for _, v := range vs {
			texts = append(texts, fmt.Sprintf("%.0f", v))
		}
		fmt.Fprintf(&b, "  line [%s]\n", strings.Join(texts, ", "))
	}
	b.WriteString("```\n")
	return b.String()
}
