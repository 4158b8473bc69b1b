package main

import (
	"os"
	"runtime/debug"

	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/webhook"
)

// webhookMemoryLimit in bytes, from which the garbage collector works harder: less than
// the limit of its container. A thousand ServiceConnections take a fraction of it.
// GOMEMLIMIT overrides it.
const webhookMemoryLimit = 160 * mebibyte

// webhookGarbage in percent of what is kept, after which the collector runs. GOGC
// overrides it.
const webhookGarbage = 50

// WebhookFlags are those of the admission webhook.
type WebhookFlags struct {
	Debug bool `help:"Emit debug logs in addition to info logs." short:"d"`

	Address        string `default:":9443" help:"Address at which to listen for admission reviews."`
	MetricsAddress string `default:":8080" help:"Address at which to serve /metrics and /readyz over HTTP. Empty: not at all."`
	CertsDir       string `default:"/certificates" help:"Directory containing the server's certs (tls.key, tls.crt), mounted from Secret service-connections-webhook-certificates."`
	Namespace      string `default:"service-connections" help:"Namespace of the webhook and its Secrets."`
	Host           string `default:"service-connections-webhook.service-connections.svc" help:"Name by which the API server calls the webhook: that of its Service."`
	Rotate         bool   `default:"true" help:"Make the certificate and renew it in time. Without, cert-manager or somebody else does." negatable:""`
}

// Run the webhook until SIGTERM or SIGINT.
func (f *WebhookFlags) Run() error {
	limitMemory(webhookMemoryLimit)
	if os.Getenv("GOGC") == "" {
		// What is kept hardly changes, so collecting twice as often costs next to nothing.
		debug.SetGCPercent(webhookGarbage)
	}
	log, client, err := connect(f.Debug)
	if err != nil {
		return err
	}
	ctx, stop := untilTold()
	defer stop()
	return webhook.Run(ctx, webhook.Options{
		Config:         client,
		Forms:          connection.Builtin().Forms(),
		Address:        f.Address,
		MetricsAddress: f.MetricsAddress,
		CertificateDir: f.CertsDir,
		Rotate:         f.Rotate,
		Namespace:      f.Namespace,
		Host:           f.Host,
		DrainTimeout:   drainTimeout,
	}, log)
}
