package workload

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// dbPort is a variable that a claim may name.
var dbPort = Variable{Name: "DB_PORT", Names: PortNames, Given: func(v claim.Variables) string { return v.Port }}

// TestVariableNames holds which names a claim may give to a database's variables: those
// that applications look for, and none that a process obeys before it connects to anything.
func TestVariableNames(t *testing.T) {
	t.Parallel()
	all := map[string]*regexp.Regexp{"host": HostNames, "port": PortNames, "instance": InstanceNames}
	cases := map[string]struct {
		reason string
		names  []string
		// of what they may be; empty: of nothing.
		of string
	}{
		"Hosts": {
			reason: "Clients and frameworks look for these.",
			names:  []string{"PGHOST", "MYSQL_HOST", "ORDERS_DB_HOST", "DATABASE_HOST", "POSTGRES_HOST", "DB_HOST", "DBHOST", "DB_ORDERS_HOST", "POSTGRESQL_READER_HOST", "SQLSERVER_HOST", "INSTANCE_HOST"},
			of:     "host",
		},
		"Ports": {
			reason: "Likewise; MySQL's own clients look for the second.",
			names:  []string{"PGPORT", "MYSQL_TCP_PORT", "ORDERS_DB_PORT", "DATABASE_PORT"},
			of:     "port",
		},
		"Instances": {
			reason: "Google's connectors and examples call it so.",
			names:  []string{"SQL_INSTANCE", "INSTANCE_CONNECTION_NAME", "CLOUD_SQL_CONNECTION_NAME", "CLOUDSQL_INSTANCE_NAME", "DB_INSTANCE_CONNECTION_NAME"},
			of:     "instance",
		},
		"Defaults": {
			reason: "A connection's own name may be any.",
			names:  []string{Variable{Name: "DB_HOST"}.Of("a", nil), Variable{Name: "DB_HOST"}.Of("a--b-2", nil), Variable{Name: "DB_HOST"}.Of(strings.Repeat("x", 20), nil)},
			of:     "host",
		},
		"Loaders": {
			reason: "These run what they name, or find what runs.",
			names:  []string{"LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GCONV_PATH", "PATH", "IFS", "ENV", "BASH_ENV", "SHELLOPTS", "PS4", "HOME", "TMPDIR", "EDITOR"},
		},
		"Runtimes": {
			reason: "A language's runtime obeys these.",
			names:  []string{"NODE_OPTIONS", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONINSPECT", "RUBYOPT", "PERL5OPT", "PERL5LIB", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH", "DOTNET_STARTUP_HOOKS", "CORECLR_PROFILER_PATH", "PHP_INI_SCAN_DIR", "GODEBUG", "GIT_SSH_COMMAND"},
		},
		"Network": {
			reason: "These lead to another host, or let it be any.",
			names:  []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "HOSTALIASES", "LOCALDOMAIN", "RES_OPTIONS", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "GOOGLE_APPLICATION_CREDENTIALS"},
		},
		"Hostlike": {
			reason: "They end as a database's do, and lead to something else.",
			names: []string{
				"HOST", "PORT", "INSTANCE", "HOST_PORT", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBERNETES_PORT", "DOCKER_HOST", "GCE_METADATA_HOST", "AZURE_AUTHORITY_HOST",
				"PUBSUB_EMULATOR_HOST", "SPANNER_EMULATOR_HOST", "DATASTORE_EMULATOR_HOST", "BIGTABLE_EMULATOR_HOST", "STORAGE_EMULATOR_HOST", "FIREBASE_DATABASE_EMULATOR_HOST",
				"OTEL_EXPORTER_JAEGER_AGENT_HOST", "DD_AGENT_HOST", "VAULT_HOST", "SMTP_HOST", "PROXY_HOST",
			},
		},
		"Shapes": {
			reason: "They aren't names of this kind.",
			names:  []string{"", "pghost", "9_DB_HOST", "_DB_HOST", "PGHOST\n", "PG HOST", "PG-HOST", "PGHOSTS", "XPGHOST", "DB_EXPORT", "DB_HOST=x", "Ä_DB_HOST", "PGPASSWORD", "DB_PASSWORD"},
		},
		"Long": {
			reason: "Statuses have bounds.",
			names:  []string{strings.Repeat("X", MaxVariable) + "_DB_HOST"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, n := range tc.names {
				for of, form := range all {
					if got, want := (Variable{Names: form}).may(n), of == tc.of; got != want {
						t.Errorf("%s\n%q may be of a database's %s: %t, want %t", tc.reason, n, of, got, want)
					}
				}
			}
		})
	}
}

// TestGivenNames holds that what a connection has in an injection is found by the names
// that its claim gave, and by no others.
func TestGivenNames(t *testing.T) {
	t.Parallel()
	host := Variable{Name: "DB_HOST", Names: HostNames, Given: func(v claim.Variables) string { return v.Host }}
	forms := Forms{Env: map[string]string{"DB_HOST": "^h$", "DB_PORT": "^[0-9]+$"}, Variables: []Variable{host, dbPort}}
	given := &claim.Variables{Host: "PGHOST"}
	cases := map[string]struct {
		reason     string
		env        []string
		connection string
		given      *claim.Variables
		want       []string
		renamed    []string
	}{
		"Given": {
			reason: "What isn't given has its name by default, and that follows the connection's.",
			env:    []string{"ORDERS_DB_HOST", "ORDERS_DB_PORT", "PGHOST"}, connection: "orders", given: given,
			want: []string{"ORDERS_DB_PORT", "PGHOST"}, renamed: []string{"NEXT_DB_PORT", "PGHOST"},
		},
		"Unnamed": {
			reason: "It doesn't have its variables by default, which may be another one's.",
			env:    []string{"DB_HOST", "DB_PORT", "PGHOST"}, given: given,
			want: []string{"DB_PORT", "PGHOST"}, renamed: []string{"NEXT_DB_PORT", "PGHOST"},
		},
		"AnothersDefault": {
			reason: "A connection may be given what is another one's by default.",
			env:    []string{"DB_HOST", "ORDERS_DB_PORT", "PGHOST"}, connection: "orders", given: &claim.Variables{Host: "DB_HOST"},
			want: []string{"DB_HOST", "ORDERS_DB_PORT"}, renamed: []string{"DB_HOST", "NEXT_DB_PORT"},
		},
		"NotGiven": {
			reason: "What was published before claims could give names is found as before.",
			env:    []string{"DB_HOST", "DB_PORT", "PGHOST"},
			want:   []string{"DB_HOST", "DB_PORT"}, renamed: []string{"NEXT_DB_HOST", "NEXT_DB_PORT"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := claim.Injection{Hash: "0123456789abcdef", ServiceAccountName: "shop-api"}
			for _, n := range tc.env {
				value := "h"
				if PortNames.MatchString(n) {
					value = "1"
				}
				whole.Env = append(whole.Env, claim.EnvVar{Name: n, Value: value})
			}
			part, ok := forms.Part(whole, tc.connection, tc.given)
			if diff := cmp.Diff(tc.want, envNames(part)); diff != "" || !ok {
				t.Errorf("%s\nfits: %t, variables, -want +got:\n%s", tc.reason, ok, diff)
			}
			if diff := cmp.Diff(tc.renamed, envNames(forms.Renamed(part, tc.connection, "next", tc.given))); diff != "" {
				t.Errorf("%s\nunder another name, -want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// envNames of an injection, sorted.
func envNames(in claim.Injection) []string {
	names := contentsOf(in).env
	slices.Sort(names)
	return names
}
