// Command podcost measures on a real API server what the admission policies and the
// webhook add to the creation of a pod: by how many ServiceConnections its namespace has,
// how large they are, and how many owners the pod has. It writes a report.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/workload"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/modules"
)

func main() {
	pods := flag.Int("pods", 400, "pods that are created, and not kept, for each figure, or as many as fit in three seconds")
	out := flag.String("out", "docs/podcost.md", "file of the report, by its path in the repository; empty: none")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *pods, *out)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, pods int, out string) (err error) {
	root, err := modules.Root()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "service-connections-podcost-")
	if err != nil {
		return fmt.Errorf("cannot make folder for the control plane: %w", err)
	}
	progress := func(format string, a ...any) { fmt.Fprintf(os.Stderr, format+"\n", a...) }
	cp, err := controlplane.Start(ctx, controlplane.Options{Root: root, Dir: dir, Plain: true, Progress: progress})
	if err != nil {
		return errors.Join(err, fmt.Errorf("logs are in %s", dir))
	}
	defer func() {
		cp.Stop()
		if err != nil {
			err = fmt.Errorf("%w; logs are in %s", err, dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	if err := cp.Install(ctx, controlplane.Namespaced); err != nil {
		return err
	}
	// What it installed stays. It would only read all claims, beside what is measured.
	cp.StopCrossplane()
	m := measurement{ControlPlane: cp, pods: pods, progress: progress}
	if m.injection, err = injection(root); err != nil {
		return err
	}
	r, err := m.measure(ctx)
	if err != nil {
		return err
	}
	text := r.text()
	if _, err := fmt.Fprint(os.Stdout, text); err != nil || out == "" {
		return err //nolint:wrapcheck // Nothing to add: the terminal is gone.
	}
	if err := os.WriteFile(filepath.Join(root, out), []byte(text), 0o644); err != nil {
		return fmt.Errorf("cannot write report: %w", err)
	}
	return nil
}

// injection of a service with two connections, as the tests of the policies have it.
func injection(root string) (claim.Injection, error) {
	b, err := os.ReadFile(filepath.Join(root, "test", "admission", "testdata", "injections.yaml"))
	if err != nil {
		return claim.Injection{}, fmt.Errorf("cannot read injections: %w", err)
	}
	all := map[string]claim.Injection{}
	if err := yaml.Unmarshal(b, &all); err != nil {
		return claim.Injection{}, fmt.Errorf("cannot decode injections: %w", err)
	}
	in, err := workload.Merge(all["podIdentity"], all["cloudSql"])
	if err != nil {
		return claim.Injection{}, fmt.Errorf("cannot merge injections: %w", err)
	}
	in.Hash, in.Complete, in.ServiceAccountName = "0123456789abcdef", true, serviceAccount
	return in, nil
}
