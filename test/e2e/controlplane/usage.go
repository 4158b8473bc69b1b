package controlplane

import (
	"fmt"

	"github.com/prometheus/procfs"
)

// A Usage is what a process has taken since it started: CPU time in seconds, and the
// most memory that was resident at once, in bytes.
type Usage struct {
	CPU  float64
	Peak uint64
}

// CrossplaneUsage of the core that runs.
func (c *ControlPlane) CrossplaneUsage() (Usage, error) { return c.crossplane.usage() }

// APIServerUsage of the API server that runs.
func (c *ControlPlane) APIServerUsage() (Usage, error) { return c.apiServer.usage() }

// FunctionUsage of a function that runs, by its name.
func (c *ControlPlane) FunctionUsage(name string) (Usage, error) {
	p, ok := c.functions[name]
	if !ok {
		return Usage{}, fmt.Errorf("cannot tell the usage of function %q: it doesn't run", name)
	}
	return p.usage()
}

func (p *process) usage() (Usage, error) {
	proc, err := procfs.NewProc(p.cmd.Process.Pid)
	if err != nil {
		return Usage{}, fmt.Errorf("cannot find the process of %s: %w", p.name, err)
	}
	stat, err := proc.Stat()
	if err != nil {
		return Usage{}, fmt.Errorf("cannot read the usage of %s: %w", p.name, err)
	}
	status, err := proc.NewStatus()
	if err != nil {
		return Usage{}, fmt.Errorf("cannot read the usage of %s: %w", p.name, err)
	}
	return Usage{CPU: stat.CPUTime(), Peak: status.VmHWM}, nil
}
