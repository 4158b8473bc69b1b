package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFlags(t *testing.T) {
	defaults := Flags{
		Network:            "tcp",
		Address:            ":9443",
		MaxRecvMessageSize: 4,
		MetricsAddress:     ":8080",
	}
	with := func(change func(*Flags)) Flags {
		f := defaults
		change(&f)
		return f
	}

	cases := map[string]struct {
		reason string
		env    string
		args   []string
		want   Flags
		err    string
	}{
		"Insecure": {
			reason: "The defaults are those of every Crossplane function.",
			args:   []string{"--insecure"},
			want:   with(func(f *Flags) { f.Insecure = true }),
		},
		"CertificatesFromEnvironment": {
			reason: "Crossplane tells a function by TLS_SERVER_CERTS_DIR where its certificates are.",
			env:    "/tls/server",
			want:   with(func(f *Flags) { f.TLSCertsDir = "/tls/server" }),
		},
		"All": {
			reason: "Each flag is taken as it is written.",
			args:   []string{"-d", "--network=tcp4", "--address=:1", "--tls-certs-dir=/tls", "--max-recv-message-size=8", "--metrics-address="},
			want: Flags{
				Debug:              true,
				Network:            "tcp4",
				Address:            ":1",
				TLSCertsDir:        "/tls",
				MaxRecvMessageSize: 8,
			},
		},
		"NoCredentials": {
			reason: "Serving without mTLS must be asked for.",
			want:   defaults,
			err:    "function: no credentials: set --tls-certs-dir (or TLS_SERVER_CERTS_DIR), or --insecure to serve without mTLS",
		},
		"ZeroSize": {
			reason: "A limit of zero would refuse every request.",
			args:   []string{"--insecure", "--max-recv-message-size=0"},
			want:   with(func(f *Flags) { f.Insecure, f.MaxRecvMessageSize = true, 0 }),
			err:    "function: --max-recv-message-size is 0 MiB; it must be between 1 and 2047",
		},
		"SizeInBytes": {
			reason: "Bytes where MiB are meant are no limit at all.",
			args:   []string{"--insecure", "--max-recv-message-size=4194304"},
			want:   with(func(f *Flags) { f.Insecure, f.MaxRecvMessageSize = true, 4194304 }),
			err:    "function: --max-recv-message-size is 4194304 MiB; it must be between 1 and 2047",
		},
		"Unknown": {
			reason: "A misspelt flag is an error, not ignored.",
			args:   []string{"--insecur"},
			err:    "unknown flag --insecur, did you mean \"--insecure\"?",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TLS_SERVER_CERTS_DIR", tc.env)

			line := CommandLine{}
			p, err := parser(&line)
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.Parse(tc.args)
			text := ""
			if err != nil {
				text = err.Error()
			}
			if diff := cmp.Diff(tc.err, text); diff != "" {
				t.Errorf("\n%s\nParse(...): -want, +got error:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.want, line.Function); diff != "" {
				t.Errorf("\n%s\nParse(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestWebhookFlags(t *testing.T) {
	t.Parallel()
	defaults := WebhookFlags{
		Address: ":9443", MetricsAddress: ":8080", CertsDir: "/certificates", Namespace: "service-connections",
		Host: "service-connections-webhook.service-connections.svc", Rotate: true,
	}
	cases := map[string]struct {
		reason string
		args   []string
		change func(*WebhookFlags)
	}{
		"Defaults": {reason: "They are as package/webhook has it, whose arguments are none.", change: func(*WebhookFlags) {}},
		"CertManager": {
			reason: "Somebody else may make the certificate.", args: []string{"--no-rotate"},
			change: func(f *WebhookFlags) { f.Rotate = false },
		},
		"Elsewhere": {
			reason: "It may run by another name.", args: []string{"--namespace=a", "--host=b.a.svc", "--certs-dir=/c"},
			change: func(f *WebhookFlags) { f.Namespace, f.Host, f.CertsDir = "a", "b.a.svc", "/c" },
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line := CommandLine{}
			p, err := parser(&line)
			if err != nil {
				t.Fatal(err)
			}
			ctx, err := p.Parse(append([]string{"webhook"}, tc.args...))
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			want := defaults
			tc.change(&want)
			if diff := cmp.Diff(want, line.Webhook); diff != "" || ctx.Command() != "webhook" {
				t.Errorf("%s\n%s: -want, +got:\n%s", tc.reason, ctx.Command(), diff)
			}
		})
	}
}
