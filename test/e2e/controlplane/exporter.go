package controlplane

import (
	"context"
	"net/http"
)

// exporterNamespace is where package/monitoring installs the exporter.
const exporterNamespace = "service-connections-monitoring"

// exporterManifests but for its Deployment, whose pod is a process here, and for what only
// the Prometheus operator knows.
var exporterManifests = []string{"package/monitoring/namespace.yaml", "package/monitoring/rbac.yaml"}

// An Exporter is the exporter as install-monitoring.yaml installs it: a process with no
// more rights than that gives.
type Exporter struct {
	process *process
	address string
}

// StartExporter and wait until it knows what there is.
func (c *ControlPlane) StartExporter(ctx context.Context) (*Exporter, error) {
	if err := c.ApplyFiles(ctx, exporterManifests...); err != nil {
		return nil, err
	}
	kubeconfig, err := c.writeKubeconfig(exporter)
	if err != nil {
		return nil, err
	}
	address, err := FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	p, err := start(c.Dir, program{
		name: "exporter", path: c.tool(FunctionBinary), env: []string{"KUBECONFIG=" + kubeconfig},
		args: []string{"exporter", "--metrics-address=" + address},
	})
	if err != nil {
		return nil, err
	}
	ready := func(ctx context.Context) error { return get(ctx, "http://"+address+"/readyz") }
	if err := inTime(ctx, func(ctx context.Context) error { return p.await(ctx, ready) }); err != nil {
		p.stop()
		return nil, err
	}
	return &Exporter{process: p, address: address}, nil
}

// Metrics as Prometheus gets them.
func (e *Exporter) Metrics(ctx context.Context) (Metrics, error) {
	return readMetrics(ctx, http.DefaultClient, "http://"+e.address+"/metrics")
}

// Stop the exporter.
func (e *Exporter) Stop() { e.process.stop() }
