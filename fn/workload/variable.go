package workload

import (
	"regexp"
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// A Variable of Forms.Env that a connection gives under a name of its own: after the
// connection's, or as its claim says.
type Variable struct {
	// Name of it where neither the connection has one, nor the claim gives one.
	Name string

	// Names are those that it may have instead, of at most MaxVariable characters.
	Names *regexp.Regexp

	// Given is the name that a claim gives it, empty where it gives none.
	Given func(claim.Variables) string `json:"-"`
}

// MaxVariable is how long a variable's name may be that a claim gives.
const MaxVariable = 63

// The names of a database's variables. Each holds what it is for: it has a word for
// databases in it, and ends in what of one it says. So whoever writes a claim, or a status
// by hand, can call none of them by a name that a process obeys before it connects to
// anything. That no such name is among them was held against those of the loader and of
// shells (LD_PRELOAD, PATH, BASH_ENV), of runtimes (NODE_OPTIONS, PYTHONPATH,
// JAVA_TOOL_OPTIONS, DOTNET_STARTUP_HOOKS), of proxies and certificates (HTTPS_PROXY,
// SSL_CERT_FILE), of the port that an application serves (PORT), and of those that lead
// to a host, too: KUBERNETES_SERVICE_HOST and _PORT, DOCKER_HOST, the clouds' metadata and
// logins (GCE_METADATA_HOST, AZURE_AUTHORITY_HOST) and Google's emulators
// (PUBSUB_EMULATOR_HOST). FIREBASE_DATABASE_EMULATOR_HOST, at which a client of Firebase
// sends no credentials, is why other words may stand between the two only where the name
// begins with the one for databases.
var (
	HostNames     = namesOf("HOST")
	PortNames     = namesOf("PORT")
	InstanceNames = namesOf("(INSTANCE|INSTANCE_NAME|CONNECTION_NAME)")
)

// namesOf a database's variable that ends so: PGHOST, ORDERS_DB_HOST, MYSQL_TCP_PORT, and
// after a connection's name those that it has by default. What Google's own examples call
// INSTANCE_HOST and INSTANCE_CONNECTION_NAME is among them.
func namesOf(end string) *regexp.Regexp {
	const word = "(CLOUDSQL|DATABASE|DB|INSTANCE|MSSQL|MYSQL|PG|POSTGRES|POSTGRESQL|SQL|SQLSERVER)"
	return regexp.MustCompile("^(([A-Z][A-Z0-9_]*_)?" + word + "_?|" + word + "_[A-Z0-9_]*_)" + end + "$")
}

// Of a connection is the variable's name in its pods: what its claim gives, or else for
// orders ORDERS_DB_HOST.
func (v Variable) Of(connection string, given *claim.Variables) string {
	if given != nil && v.Given != nil {
		if name := v.Given(*given); name != "" {
			return name
		}
	}
	if connection == "" {
		return v.Name
	}
	return strings.ToUpper(strings.ReplaceAll(connection, "-", "_")) + "_" + v.Name
}

// may says whether a variable may have a name that isn't its own.
func (v Variable) may(name string) bool {
	return len(name) <= MaxVariable && v.Names.MatchString(name)
}
