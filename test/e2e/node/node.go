// Package node runs the containers of a pod as processes, as a node does as far as
// whoever logs in notices: init containers in their order, native sidecars first and
// until the end, the pod's environment, and its volumes with the tokens that the API
// server signs for them. It isolates nothing: all share the machine and its ports. What
// is mounted is in a folder of each container, and values of its environment that name
// a mounted path name that. Disks are mounted there by the kernel, read-only where the
// pod says so, and belong to the pod's fsGroup. A container with a disk has the user that it
// is to have, where the node runs as root.
package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/process"
)

// startTimeout is how long a sidecar may take until its startup probe succeeds.
const startTimeout = 30 * time.Second

// A Node runs pods.
type Node struct {
	// Client that may request the tokens of ServiceAccounts.
	Client client.Client

	// Dir for the volumes of pods.
	Dir string

	// Programs by image, each a file.
	Programs map[string]string

	// Network is the environment that a process has beside its pod's: by it, it reaches
	// what a pod reaches by its network.
	Network []string
}

// A Result of a container.
type Result struct {
	// Output and Errors are what it has written to its streams.
	Output, Errors string

	// Code with which it has ended.
	Code int
}

// Run a pod until all its containers have ended, and return their results by name. Its
// sidecars are stopped then.
func (n *Node) Run(ctx context.Context, pod *corev1.Pod) (map[string]Result, error) {
	dir := filepath.Join(n.Dir, string(pod.UID))
	// Whoever a container's user is, it may go through to what is its own.
	err := os.MkdirAll(dir, 0o711) //nolint:gosec // As above.
	if err != nil {
		return nil, fmt.Errorf("cannot make folder of pod %s: %w", pod.Name, err)
	}
	volumes, err := n.volumes(ctx, pod, dir)
	if err != nil {
		return nil, fmt.Errorf("cannot start pod %s: %w", pod.Name, err)
	}
	if len(pod.Spec.InitContainers) > 0 {
		free, err := lockPorts(ctx)
		if err != nil {
			return nil, fmt.Errorf("cannot start pod %s: %w", pod.Name, err)
		}
		defer free()
	}
	ctx, stop := context.WithCancel(ctx)
	r := &run{Node: n, pod: pod, dir: dir, volumes: volumes, results: map[string]Result{}}
	err = r.all(ctx)
	stop()
	for _, s := range r.sidecars {
		r.results[s.name] = s.wait()
	}
	if err != nil {
		err = fmt.Errorf("cannot run pod %s: %w: %v", pod.Name, err, r.results)
	}
	return r.results, err
}

// A run of a pod.
type run struct {
	*Node

	pod *corev1.Pod
	dir string

	// volumes by name.
	volumes  map[string]volume
	sidecars []*container
	results  map[string]Result
}

// A container that runs.
type container struct {
	name           string
	cmd            *exec.Cmd
	ended          <-chan error
	stdout, stderr bytes.Buffer
}

func (r *run) all(ctx context.Context) error {
	for i := range r.pod.Spec.InitContainers {
		spec := &r.pod.Spec.InitContainers[i]
		c, err := r.start(ctx, spec)
		if err != nil {
			return err
		}
		if spec.RestartPolicy != nil && *spec.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			r.sidecars = append(r.sidecars, c)
			if err := started(ctx, spec); err != nil {
				return fmt.Errorf("sidecar %s doesn't start: %w", c.name, err)
			}
			continue
		}
		if r.results[c.name] = c.wait(); r.results[c.name].Code != 0 {
			return fmt.Errorf("init container %s ended with %d", c.name, r.results[c.name].Code)
		}
	}
	running := make([]*container, 0, len(r.pod.Spec.Containers))
	var failed error
	for i := range r.pod.Spec.Containers {
		c, err := r.start(ctx, &r.pod.Spec.Containers[i])
		if failed = errors.Join(failed, err); err == nil {
			running = append(running, c)
		}
	}
	for _, c := range running {
		r.results[c.name] = c.wait()
	}
	return failed
}

// started waits for the startup probe of a sidecar, after which a kubelet goes on.
func started(ctx context.Context, spec *corev1.Container) error {
	probe := spec.StartupProbe
	if probe == nil {
		return nil
	}
	if probe.HTTPGet == nil {
		return fmt.Errorf("its startup probe is no request")
	}
	url := fmt.Sprintf("http://127.0.0.1:%s%s", probe.HTTPGet.Port.String(), probe.HTTPGet.Path)
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not within %s", startTimeout))
	defer cancel()
	return controlplane.Poll(ctx, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return fmt.Errorf("cannot probe: %w", err)
		}
		rsp, err := http.DefaultClient.Do(req)
		if err != nil {
			return fmt.Errorf("cannot probe: %w", err)
		}
		_ = rsp.Body.Close() // It isn't read.
		if rsp.StatusCode >= http.StatusBadRequest {
			return fmt.Errorf("%s answers %s", url, rsp.Status)
		}
		return nil
	})
}

// start the process of a container.
func (r *run) start(ctx context.Context, spec *corev1.Container) (*container, error) {
	program, ok := r.Programs[spec.Image]
	if !ok {
		return nil, fmt.Errorf("container %s: there is no image %s", spec.Name, spec.Image)
	}
	mounts, err := r.mount(spec)
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", spec.Name, err)
	}
	c := &container{name: spec.Name}
	user := r.userOf(spec, mounts)
	if program, err = r.forUser(user, spec, program); err != nil {
		return nil, fmt.Errorf("container %s: %w", spec.Name, err)
	}
	command := append([]string{program}, spec.Args...)
	for i := range command {
		// The pod's own addresses are loopback here.
		command[i] = strings.Replace(command[i], "=0.0.0.0", "=127.0.0.1", 1)
	}
	command = mounts.command(r.asUser(user, command))
	c.cmd = exec.CommandContext(ctx, command[0], command[1:]...)
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	c.cmd.Dir = filepath.Join(r.dir, spec.Name)
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(syscall.SIGTERM) }
	c.cmd.WaitDelay = startTimeout
	// The pod's comes last, and so wins.
	c.cmd.Env = append([]string{"HOME=" + c.cmd.Dir}, r.Network...)
	for _, e := range spec.Env {
		if e.ValueFrom != nil {
			return nil, fmt.Errorf("container %s: cannot resolve the value of %s", spec.Name, e.Name)
		}
		c.cmd.Env = append(c.cmd.Env, e.Name+"="+mounts.in(e.Value))
	}
	if c.ended, err = process.Attach(c.cmd); err != nil {
		return nil, fmt.Errorf("container %s: cannot start %s: %w", spec.Name, program, err)
	}
	return c, nil
}

// wait until the container has ended.
func (c *container) wait() Result {
	<-c.ended //nolint:errcheck // The code says it.
	return Result{Output: c.stdout.String(), Errors: c.stderr.String(), Code: c.cmd.ProcessState.ExitCode()}
}
