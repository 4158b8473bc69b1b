// Command providers runs one of the providers of the tests: upjet's own
// controllers on the providers' own Go types, over a cloud of which the tests know
// all. Only the resources of Terraform and the cloud are ours. What it knows of
// what it has begun is lost when it ends, as that of the real ones is.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	stdlog "log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
	"github.com/serviceconnections/function-service-connections/test/providers/aws"
	"github.com/serviceconnections/function-service-connections/test/providers/azure"
	"github.com/serviceconnections/function-service-connections/test/providers/controller"
	"github.com/serviceconnections/function-service-connections/test/providers/google"
	"github.com/serviceconnections/function-service-connections/test/providers/terraform"
)

func main() {
	var o controller.Options
	name := flag.String("provider", "", "provider-aws, provider-azure or provider-gcp")
	address := flag.String("cloud", "", "address of the cloud, such as http://127.0.0.1:12345")
	debug := flag.Bool("debug", false, "log what the controllers do")
	flag.DurationVar(&o.PollInterval, "poll", 10*time.Minute, "interval at which what is up to date is read again")
	flag.DurationVar(&o.CreationGrace, "creation-grace", 30*time.Second, "how long what was created and isn't found is waited for")
	flag.DurationVar(&o.MinRetry, "min-retry", time.Second, "delay before what has failed once is tried again")
	flag.DurationVar(&o.MaxRetry, "max-retry", time.Minute, "longest delay before what has failed is tried again")
	flag.IntVar(&terraform.Haste, "haste", 1, "divides how long Terraform's providers wait for the cloud")
	// The --kubeconfig of controller-runtime is among the flags.
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *name, cloudapi.Client{Address: *address}, o, *debug)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, name string, cloud cloudapi.Client, o controller.Options, debug bool) error {
	// Terraform's SDK logs each step by the standard library.
	stdlog.SetOutput(io.Discard)
	log := zap.New(zap.UseDevMode(debug))
	ctrl.SetLogger(zap.New(zap.WriteTo(io.Discard)))
	var p controller.Provider
	var err error
	switch name {
	case "provider-aws":
		p, err = aws.Provider(cloud)
	case "provider-azure":
		p, err = azure.Provider(cloud)
	case "provider-gcp":
		p = google.Provider(cloud)
	default:
		err = fmt.Errorf("there is no provider %q", name)
	}
	cfg, cfgErr := ctrl.GetConfig()
	if err := errors.Join(err, cfgErr); err != nil {
		return err
	}
	return controller.Run(ctx, cfg, p, o, logging.NewLogrLogger(log.WithName(name)))
}
