package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/serviceconnections/function-service-connections/test/modules"
	"github.com/serviceconnections/function-service-connections/test/process"
)

// The module that a platform team would otherwise use, and tools/ pins.
const (
	patchAndTransform     = "function-patch-and-transform"
	patchAndTransformPath = "github.com/crossplane-contrib/" + patchAndTransform
)

var (
	//go:embed patch-and-transform.yaml
	patchAndTransformInput []byte

	//go:embed inprocess/patchandtransform_test.go.txt
	patchAndTransformBenchmark []byte
)

// A peer is one of the functions that are measured side by side.
type peer struct {
	name string

	// request of the claim at rest.
	request *fnv1.RunFunctionRequest

	// process of the function, and a client of it.
	process *process.Process
	client  fnv1.FunctionRunnerServiceClient

	// benchmark is the test binary that measures it in process.
	benchmark string
}

func (p *peer) run(ctx context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	rsp, err := p.client.RunFunction(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("cannot call %s: %w", p.name, err)
	}
	return rsp, nil
}

// peers that run, until they are stopped.
type peers struct {
	ours, theirs, floor *peer

	stop []func()
}

// all peers, in the order of the tables.
func (p *peers) all() []*peer { return []*peer{p.ours, p.theirs, p.floor} }

// Stop all that was started.
func (p *peers) Stop() {
	for _, stop := range p.stop {
		stop()
	}
}

// startPeers builds the functions into dir, starts them, and settles the example
// with each.
func startPeers(ctx context.Context, root, dir string, e *example) (ps *peers, err error) {
	ps = &peers{
		ours:   &peer{name: "function-service-connections"},
		theirs: &peer{name: patchAndTransform},
		floor:  &peer{name: "floor"},
	}
	defer func() {
		if err != nil {
			ps.Stop()
		}
	}()
	if err := build(ctx, dir, root, ps.ours.name, "."); err != nil {
		return nil, err
	}
	if err := build(ctx, dir, filepath.Join(root, "test", "bench"), ps.floor.name, "./floor"); err != nil {
		return nil, err
	}
	if err := build(ctx, dir, filepath.Join(root, "tools", patchAndTransform), ps.theirs.name, patchAndTransformPath); err != nil {
		return nil, err
	}
	// The SDK's server serves metrics on every address, unless the port is taken.
	// Where it is taken already, so much the better.
	if taken, err := (&net.ListenConfig{}).Listen(ctx, "tcp", ":8080"); err == nil {
		defer taken.Close() //nolint:errcheck // Nothing was accepted.
	}
	for _, p := range ps.all() {
		args := []string{"--insecure"}
		if p == ps.ours {
			args = append(args, "--metrics-address=")
		}
		if err := ps.start(ctx, p, filepath.Join(dir, p.name), args...); err != nil {
			return nil, err
		}
	}
	if err := ps.settle(ctx, e); err != nil {
		return nil, err
	}
	return ps, nil
}

// build a package of a module into dir, as releases are built.
func build(ctx context.Context, dir, module, name, pkg string) error {
	return goCommand(ctx, module, "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, name), pkg)
}

// goCommand in a module's folder.
func goCommand(ctx context.Context, module string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot run go %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (p *peers) start(ctx context.Context, one *peer, binary string, args ...string) (err error) {
	if one.process, err = process.Start(ctx, io.Discard, binary, args...); err != nil {
		return err
	}
	p.stop = append(p.stop, one.process.Stop)
	conn, err := grpc.NewClient(one.process.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("cannot make a client of %s: %w", one.name, err)
	}
	p.stop = append(p.stop, func() { _ = conn.Close() })
	one.client = fnv1.NewFunctionRunnerServiceClient(conn)
	return nil
}

func (p *peers) settle(ctx context.Context, e *example) (err error) {
	if p.ours.request, err = e.request(); err != nil {
		return err
	}
	if p.theirs.request, err = e.patchAndTransform(patchAndTransformInput); err != nil {
		return err
	}
	for _, one := range []*peer{p.ours, p.theirs} {
		if _, err := e.settle(ctx, one.run, one.request); err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
	}
	p.floor.request = p.ours.request
	return nil
}

// buildBenchmarks compiles the benchmarks in process into dir.
func (p *peers) buildBenchmarks(ctx context.Context, root, dir string) error {
	bench := filepath.Join(root, "test", "bench")
	for one, pkg := range map[*peer]string{p.ours: ".", p.floor: "./floor"} {
		one.benchmark = filepath.Join(dir, one.name+".test")
		if err := goCommand(ctx, bench, "test", "-c", "-o", one.benchmark, pkg); err != nil {
			return err
		}
	}
	p.theirs.benchmark = filepath.Join(dir, p.theirs.name+".test")
	return buildTheirBenchmark(ctx, root, dir, p.theirs.benchmark)
}

// buildTheirBenchmark compiles a benchmark of ours into a copy of
// function-patch-and-transform, whose Function is in package main, with the
// dependencies that tools/ pins.
func buildTheirBenchmark(ctx context.Context, root, dir, binary string) error {
	dirs, err := modules.Dirs(ctx, patchAndTransform, patchAndTransformPath)
	if err != nil {
		return err
	}
	copied := filepath.Join(dir, "copy")
	if err := copyFiles(os.DirFS(dirs[patchAndTransformPath]), copied); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(copied, "bench_test.go"), patchAndTransformBenchmark, 0o600); err != nil {
		return fmt.Errorf("cannot write benchmark: %w", err)
	}
	tool := filepath.Join(root, "tools", patchAndTransform)
	for _, file := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(tool, file))
		if err != nil {
			return fmt.Errorf("cannot read the versions that are pinned: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
			return fmt.Errorf("cannot write the versions that are pinned: %w", err)
		}
	}
	modfile := "-modfile=" + filepath.Join(dir, "go.mod")
	if err := goCommand(ctx, tool, "mod", "edit", "-replace="+patchAndTransformPath+"="+copied, filepath.Join(dir, "go.mod")); err != nil {
		return err
	}
	return goCommand(ctx, tool, "test", "-c", modfile, "-o", binary, patchAndTransformPath)
}

// copyFiles of a module, without its tests. Files of the module cache can't be
// written over, so os.CopyFS, which keeps their modes, won't do.
func copyFiles(from fs.FS, to string) error {
	err := fs.WalkDir(from, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := fs.ReadFile(from, path)
		if err != nil {
			return err //nolint:wrapcheck // It names the file.
		}
		file := filepath.Join(to, path)
		return errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, content, 0o600))
	})
	if err != nil {
		return fmt.Errorf("cannot copy %s: %w", patchAndTransform, err)
	}
	return nil
}
