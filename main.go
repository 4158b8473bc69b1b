// Command function-service-connections is a Crossplane composition function. It
// expands a ServiceConnection into managed resources and workload patches. As
// function-service-connections webhook it gives pods what the status publishes, and as
// function-service-connections exporter it tells Prometheus how ServiceConnections stand.
package main

import (
	"context"
	"crypto/tls"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/crossplane/function-sdk-go"
	"github.com/crossplane/function-sdk-go/errors"
	"github.com/crossplane/function-sdk-go/logging"

	"github.com/serviceconnections/function-service-connections/buildinfo"
	"github.com/serviceconnections/function-service-connections/fn"
	"github.com/serviceconnections/function-service-connections/server"
)

const (
	// mebibyte in bytes.
	mebibyte = 1 << 20

	// maxReceiveMiB keeps the limit within the 31 bits that a protobuf message
	// may have in bytes.
	maxReceiveMiB = 2047

	// memoryLimit in bytes makes the garbage collector work harder from there on.
	// Under load the function needs a fifth of it. A hostile request of the largest
	// size decodes to most of it, and would take twice that before it is collected.
	// GOMEMLIMIT overrides it.
	memoryLimit = 160 * mebibyte

	// patience of a call that waits for memory. Crossplane has a hundred workers for
	// each kind of composite resource (--max-reconcile-rate), and each that waits here
	// serves nobody: better it takes up another claim, and comes back to this one after
	// the delay that it gives to claims that fail.
	patience = 5 * time.Second

	// drainTimeout is well within the 30 seconds that Kubernetes gives a pod to
	// stop, and longer than any call takes.
	drainTimeout = 10 * time.Second
)

// version is set by the linker where a release is built.
var version string

// Flags of the function: those that every Crossplane function has, so that a
// DeploymentRuntimeConfig written for another works here.
type Flags struct {
	Debug bool `help:"Emit debug logs in addition to info logs." short:"d"`

	Network            string `default:"tcp" help:"Network on which to listen for gRPC connections."`
	Address            string `default:":9443" help:"Address at which to listen for gRPC connections."`
	TLSCertsDir        string `env:"TLS_SERVER_CERTS_DIR" help:"Directory containing server certs (tls.key, tls.crt) and the CA used to verify client certificates (ca.crt)." name:"tls-certs-dir"`
	Insecure           bool   `help:"Run without mTLS credentials. --tls-certs-dir is then ignored."`
	MaxRecvMessageSize int    `default:"4" help:"Maximum size of received messages in MiB."`
	MetricsAddress     string `default:":8080" help:"Address at which to serve /metrics and /readyz over HTTP. Empty: not at all."`
}

// A CommandLine chooses what the process is: by default the function.
type CommandLine struct {
	Function Flags         `cmd:"" default:"withargs" help:"Serve the composition function. The default."`
	Webhook  WebhookFlags  `cmd:"" help:"Serve the admission webhook that gives pods their injection where the admission policies can't."`
	Exporter ExporterFlags `cmd:"" help:"Serve metrics of how the ServiceConnections of the cluster stand."`

	Version kong.VersionFlag `help:"Print the version and exit."`
}

// Validate the flags; kong calls it once they are parsed.
func (f *Flags) Validate() error {
	if f.MaxRecvMessageSize < 1 || f.MaxRecvMessageSize > maxReceiveMiB {
		return errors.Errorf("--max-recv-message-size is %d MiB; it must be between 1 and %d", f.MaxRecvMessageSize, maxReceiveMiB)
	}
	if !f.Insecure && f.TLSCertsDir == "" {
		return errors.New("no credentials: set --tls-certs-dir (or TLS_SERVER_CERTS_DIR), or --insecure to serve without mTLS")
	}
	return nil
}

// Run the function until SIGTERM or SIGINT.
func (f *Flags) Run() error {
	limitMemory(memoryLimit)
	log, err := function.NewLogger(f.Debug)
	if err != nil {
		return errors.Wrap(err, "cannot create logger")
	}
	config, err := f.tls(log)
	if err != nil {
		return err
	}
	ctx, stop := untilTold()
	defer stop()

	served := fn.New(log)
	s, err := server.Listen(ctx, served, server.Options{
		Network:         f.Network,
		Address:         f.Address,
		TLS:             config,
		MaxReceiveBytes: f.MaxRecvMessageSize * mebibyte,
		MemoryBytes:     debug.SetMemoryLimit(-1),
		Patience:        patience,
		Dispensable:     fn.Dispensable,
		Unread:          served.Unread,
		Lightened:       fn.Lightened,
		MetricsAddress:  f.MetricsAddress,
		DrainTimeout:    drainTimeout,
	}, log)
	if err != nil {
		return err
	}
	return s.Serve(ctx)
}

// limitMemory to so many bytes, unless GOMEMLIMIT says otherwise.
func limitMemory(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes)
	}
}

// untilTold to stop, by SIGTERM or SIGINT. From the first signal on, a second one ends
// the process at once.
func untilTold() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// tls configuration that clients of the function must meet, nil for none.
func (f *Flags) tls(log logging.Logger) (*tls.Config, error) {
	if f.Insecure {
		return nil, nil //nolint:nilnil // No configuration is what was asked for.
	}
	return server.MutualTLS(f.TLSCertsDir, log)
}

// parser of the command line.
func parser(c *CommandLine, o ...kong.Option) (*kong.Kong, error) {
	p, err := kong.New(c, append([]kong.Option{
		kong.Name("function-service-connections"),
		kong.Description("A Crossplane composition function that connects services to cloud resources without keys."),
		kong.Vars{"version": buildinfo.Version(version)},
	}, o...)...)
	return p, errors.Wrap(err, "cannot make parser of flags")
}

func main() {
	p, err := parser(&CommandLine{})
	if err != nil {
		panic(err) // A mistake in the struct tags above, which the tests find.
	}
	ctx, err := p.Parse(os.Args[1:])
	p.FatalIfErrorf(err)
	p.FatalIfErrorf(ctx.Run())
}
