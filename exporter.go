package main

import (
	"github.com/serviceconnections/function-service-connections/exporter"
)

// exporterMemoryLimit in bytes, from which the garbage collector works harder: less than
// the limit of its container. GOMEMLIMIT overrides it.
const exporterMemoryLimit = 96 * mebibyte

// ExporterFlags are those of the exporter.
type ExporterFlags struct {
	Debug bool `help:"Emit debug logs in addition to info logs." short:"d"`

	MetricsAddress string `default:":8080" help:"Address at which to serve /metrics, /readyz and /livez over HTTP."`
}

// Run the exporter until SIGTERM or SIGINT.
func (f *ExporterFlags) Run() error {
	limitMemory(exporterMemoryLimit)
	log, client, err := connect(f.Debug)
	if err != nil {
		return err
	}
	ctx, stop := untilTold()
	defer stop()
	return exporter.Run(ctx, exporter.Options{Config: client, Address: f.MetricsAddress}, log)
}
