// Command kubectl-serviceconnections is a kubectl plugin: it moves a team over
// from porter.yaml, and shows what a ServiceConnection will do and what it did.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"

	"github.com/serviceconnections/function-service-connections/buildinfo"
	"github.com/serviceconnections/function-service-connections/plugin"
)

// version is set by the linker where a release is built.
var version string

func main() {
	// What fails is told by the plugin itself. The client library logs besides that a watch
	// was cut off, as by --timeout, in lines that are no answer to anybody.
	klog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// From the first signal on, a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	code := plugin.Run(ctx, buildinfo.Version(version), genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}
