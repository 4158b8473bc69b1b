package main

import (
	_ "embed"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/prometheus/procfs"
	"google.golang.org/protobuf/proto"

	"github.com/serviceconnections/function-service-connections/test/page"
)

//go:embed report.md.tmpl
var reportTemplate string

// A row of a table.
type row []string

// loadOf the machine, as it waits and computes for others.
func loadOf(fs procfs.FS) (float64, error) {
	load, err := fs.LoadAvg()
	if err != nil {
		return 0, fmt.Errorf("cannot read how busy this machine is: %w", err)
	}
	return load.Load1, nil
}

// writeReport in Markdown.
func writeReport(w io.Writer, fs procfs.FS, load float64, ms []*measurement, g growth, binary int64) error {
	cpus, err := fs.CPUInfo()
	if err != nil || len(cpus) == 0 {
		return fmt.Errorf("cannot read which processor this is: %w", err)
	}
	t, err := template.New("report").Parse(reportTemplate)
	if err != nil {
		return fmt.Errorf("cannot parse template of report: %w", err)
	}
	request := ms[0].peer.request
	err = t.Execute(w, map[string]any{
		"Processor": strings.TrimSpace(cpus[0].ModelName),
		"Cores":     runtime.NumCPU(),
		"Go":        runtime.Version(),
		"Load":      fmt.Sprintf("%.1f", load),
		"Resources": len(request.GetObserved().GetResources()),
		"Request":   kib(float64(proto.Size(request))),
		"Peers":     page.Table(peerRows(ms)),
		"Growth":    page.Table(growthRows(g)),
		"Binary":    mib(int(binary)),
		"Ratios":    ratios(ms),
	})
	if err != nil {
		return fmt.Errorf("cannot write report: %w", err)
	}
	return nil
}

// peerRows have a peer in each column.
func peerRows(ms []*measurement) []row {
	var rows []row
	add := func(what string, value func(m *measurement) string) {
		r := make(row, 1+len(ms))
		r[0] = what
		for i, m := range ms {
			r[1+i] = value(m)
		}
		rows = append(rows, r)
	}
	add("", func(m *measurement) string { return m.peer.name })
	for _, n := range clients {
		at := fmt.Sprintf("%d clients", n)
		if n == 1 {
			at = "1 client"
		}
		add("p50, "+at, func(m *measurement) string { return milliseconds(m.loads[n].percentile(0.5)) })
		add("p99, "+at, func(m *measurement) string { return milliseconds(m.loads[n].percentile(0.99)) })
		add("calls a second, "+at, func(m *measurement) string { return fmt.Sprintf("%.0f", m.loads[n].perSecond()) })
	}
	add("CPU time of the server a call", func(m *measurement) string {
		return milliseconds(time.Duration(m.cpu / float64(m.calls()) * float64(time.Second)))
	})
	add("resident memory before", func(m *measurement) string { return mib(m.before) })
	add("resident memory after", func(m *measurement) string { return mib(m.after) })
	add("resident memory at most", func(m *measurement) string { return mib(m.most) })
	add("time a call in process", func(m *measurement) string { return milliseconds(time.Duration(m.inProcess["ns/op"])) })
	add("bytes allocated a call in process", func(m *measurement) string { return kib(m.inProcess["B/op"]) })
	add("allocations a call in process", func(m *measurement) string { return fmt.Sprintf("%.0f", m.inProcess["allocs/op"]) })
	return rows
}

// growthRows have a size of the claim each, and beside what a call costs what it
// costs for each service, in parts of what it costs for one.
func growthRows(g growth) []row {
	rows := make([]row, 0, 1+len(g))
	rows = append(rows, row{"services", "time", "for each, of one", "bytes allocated", "for each, of one", "request", "response"})
	for _, n := range slices.Sorted(maps.Keys(g)) {
		part := func(unit string) string { return fmt.Sprintf("%.2f", g[n][unit]/float64(n)/g[1][unit]) }
		rows = append(rows, row{
			fmt.Sprint(n), milliseconds(time.Duration(g[n]["ns/op"])), part("ns/op"), kib(g[n]["B/op"]), part("B/op"),
			kib(g[n]["request-B"]), kib(g[n]["response-B"]),
		})
	}
	return rows
}

// ratios of the second peer to the first.
func ratios(ms []*measurement) string {
	ours, theirs := ms[0], ms[1]
	most := clients[len(clients)-1]
	return fmt.Sprintf("%.1f times as long (p50, 1 client), %.2f times the calls a second (%d clients), %.1f times the CPU time, %.1f times the bytes",
		float64(theirs.loads[1].percentile(0.5))/float64(ours.loads[1].percentile(0.5)),
		theirs.loads[most].perSecond()/ours.loads[most].perSecond(), most,
		theirs.cpu/float64(theirs.calls())/(ours.cpu/float64(ours.calls())),
		theirs.inProcess["B/op"]/ours.inProcess["B/op"])
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1000) }

func kib(bytes float64) string { return fmt.Sprintf("%.0f KiB", bytes/1024) }

func mib(bytes int) string { return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20)) }
