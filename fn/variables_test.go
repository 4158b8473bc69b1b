package fn

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// calling is a connection whose claim gives names to its variables.
func calling(connection, env string) string {
	return strings.Replace(connection, "config: ", "env: {"+env+"}, config: ", 1)
}

// variables of the next pods.
func (c *cluster) variables() map[string]string {
	all := map[string]string{}
	for _, v := range list(c.service("api"), "injection", "env") {
		e, _ := v.(map[string]any)
		all[str(e, "name")] = str(e, "value")
	}
	return all
}

// cloudDown for the databases: what is granted stays, and what is new doesn't work.
func (c *cluster) cloudDown() {
	status, _ := c.only("ServiceAccountIAMMember")["status"].(map[string]any)
	status["conditions"] = []any{
		map[string]any{"type": "Ready", "status": "True"},
		map[string]any{"type": "Synced", "status": "False", "reason": "ReconcileError", "message": "observe failed: the cloud is down"},
	}
}

// TestGivenVariables holds what pods get as a claim gives other names to the variables of
// its databases: at once where all works, and else as it was, so that no name leads to
// another database and none is taken before its successor works.
func TestGivenVariables(t *testing.T) {
	t.Parallel()
	const orders, users = "my-project-123456:europe-west1:orders", "my-project-123456:europe-west1:users"
	ordersDB, usersDB := databaseNamed("orders", 5432, "sql-client"), databaseNamed("users", 5433, "sql-client")
	const pg, mysql = "host: PGHOST, port: PGPORT, instanceConnectionName: PG_INSTANCE", "host: MYSQL_HOST, port: MYSQL_TCP_PORT, instanceConnectionName: MYSQL_INSTANCE"
	byDefault := map[string]string{"ORDERS_DB_HOST": "127.0.0.1", "ORDERS_DB_PORT": "5432", "ORDERS_DB_INSTANCE_CONNECTION_NAME": orders}
	asPG := map[string]string{"PGHOST": "127.0.0.1", "PGPORT": "5432", "PG_INSTANCE": orders}
	asMySQL := map[string]string{"MYSQL_HOST": "127.0.0.1", "MYSQL_TCP_PORT": "5432", "MYSQL_INSTANCE": orders}
	both := func(pgPort, pgInstance, mysqlPort, mysqlInstance string) map[string]string {
		return map[string]string{"PGHOST": "127.0.0.1", "PGPORT": pgPort, "PG_INSTANCE": pgInstance, "MYSQL_HOST": "127.0.0.1", "MYSQL_TCP_PORT": mysqlPort, "MYSQL_INSTANCE": mysqlInstance}
	}
	cases := map[string]struct {
		reason        string
		before, after string
		// down are the variables after the edit while the cloud is down, and want once it
		// is back.
		down, want map[string]string
	}{
		"Given": {
			reason: "what is published under the names by default stays until what the edit asks for works",
			before: ordersDB, after: calling(ordersDB, pg), down: byDefault, want: asPG,
		},
		"GivenOthers": {
			reason: "so does what is published under given names, which nothing but the last status tells",
			before: calling(ordersDB, pg), after: calling(ordersDB, mysql), down: asPG, want: asMySQL,
		},
		"GivenBack": {
			reason: "and where the names leave the claim",
			before: calling(ordersDB, pg), after: ordersDB, down: asPG, want: byDefault,
		},
		"Some": {
			reason: "what isn't given is as by default",
			before: calling(ordersDB, "port: PGPORT"), after: calling(ordersDB, "host: PGHOST"),
			down: map[string]string{"ORDERS_DB_HOST": "127.0.0.1", "PGPORT": "5432", "ORDERS_DB_INSTANCE_CONNECTION_NAME": orders},
			want: map[string]string{"PGHOST": "127.0.0.1", "ORDERS_DB_PORT": "5432", "ORDERS_DB_INSTANCE_CONNECTION_NAME": orders},
		},
		"Exchanged": {
			reason: "two databases exchange their names at once, and not before both work",
			before: calling(ordersDB, pg) + ", " + calling(usersDB, mysql), after: calling(ordersDB, mysql) + ", " + calling(usersDB, pg),
			down: both("5432", orders, "5433", users), want: both("5433", users, "5432", orders),
		},
		"AnotherConnection": {
			reason: "a name that one database had and another one takes leads to the other one from the start",
			before: calling(ordersDB, pg), after: calling(usersDB, pg),
			down: map[string]string{"PGHOST": "127.0.0.1", "PGPORT": "5433", "PG_INSTANCE": users},
			want: map[string]string{"PGHOST": "127.0.0.1", "PGPORT": "5433", "PG_INSTANCE": users},
		},
		"AnotherName": {
			reason: "given names don't follow the connection's, and it is the same database",
			before: calling(ordersDB, "host: PGHOST"), after: calling(strings.Replace(ordersDB, `name: "orders"`, `name: "mine"`, 1), "host: PGHOST"),
			down: map[string]string{"PGHOST": "127.0.0.1", "MINE_DB_PORT": "5432", "MINE_DB_INSTANCE_CONNECTION_NAME": orders},
			want: map[string]string{"PGHOST": "127.0.0.1", "MINE_DB_PORT": "5432", "MINE_DB_INSTANCE_CONNECTION_NAME": orders},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, service("api", tc.before), allSettings)
			c.add(deployment("api", ""))
			c.settle()
			c.cloudDown()
			c.setServices(service("api", tc.after))
			for range 3 {
				c.reconcile()
				if diff := cmp.Diff(tc.down, c.variables()); diff != "" {
					t.Errorf("%s: while the cloud is down, -want +got:\n%s", tc.reason, diff)
				}
			}
			c.provide()
			c.settle()
			if diff := cmp.Diff(tc.want, c.variables()); diff != "" {
				t.Errorf("%s: once the cloud is back, -want +got:\n%s", tc.reason, diff)
			}
			if !c.ready() {
				t.Errorf("%s: it isn't ready once the cloud is back: %v", tc.reason, c.service("api"))
			}
			want(t, "kubectl -n team-a rollout restart deployment/api", str(c.service("api"), "restart"), "restart")
		})
	}
}

// TestVariablesThatAreNone holds that names which pods can't have take nothing from them,
// and what is said of it.
func TestVariablesThatAreNone(t *testing.T) {
	t.Parallel()
	const orders = "my-project-123456:europe-west1:orders"
	ordersDB, usersDB := databaseNamed("orders", 5432, "sql-client"), databaseNamed("users", 5433, "sql-client")
	before := calling(ordersDB, "host: PGHOST, port: PGPORT")
	published := map[string]string{"PGHOST": "127.0.0.1", "PGPORT": "5432", "ORDERS_DB_INSTANCE_CONNECTION_NAME": orders}
	cases := map[string]struct {
		reason  string
		after   string
		verdict string
		message string
		want    map[string]string
	}{
		"Loader": {
			reason: "a process would obey it", after: calling(ordersDB, "host: LD_PRELOAD"),
			verdict: "InvalidField", message: `env.host: Invalid value: "LD_PRELOAD": must be capital letters`, want: published,
		},
		"Misspelt": {
			reason: "somebody relies on it", after: calling(ordersDB, "hst: PGHOST"),
			verdict: "InvalidField", message: "env.hst: Forbidden: unknown field; the fields here are host, port, instanceConnectionName", want: published,
		},
		"NoObject": {
			reason: "it could be either's", after: strings.Replace(ordersDB, "config: ", "env: PGHOST, config: ", 1),
			verdict: "InvalidField", message: "env: Invalid value: \"PGHOST\": must be an object", want: published,
		},
		"OfTwo": {
			reason: "one variable has one value, and the pods keep what they had", after: before + ", " + calling(usersDB, "port: PGPORT"),
			verdict: "NameConflict", message: `the connections of service "api" exclude each other: cannot merge injections: two connections differ in variable "PGPORT", 5432 and 5433`, want: published,
		},
		"AnothersDefault": {
			reason: "so has one that another database has by default", after: before + ", " + calling(usersDB, "instanceConnectionName: ORDERS_DB_INSTANCE_CONNECTION_NAME"),
			verdict: "NameConflict", message: `differ in variable "ORDERS_DB_INSTANCE_CONNECTION_NAME", ` + orders + ` and my-project-123456:europe-west1:users`, want: published,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, service("api", before), allSettings)
			c.add(deployment("api", ""))
			c.settle()
			c.setServices(service("api", tc.after))
			for range 3 {
				c.reconcile()
				c.provide()
				if diff := cmp.Diff(tc.want, c.variables()); diff != "" {
					t.Errorf("%s: -want +got:\n%s", tc.reason, diff)
				}
			}
			got := c.connection("api", "cloudSql/orders")
			want(t, tc.verdict, str(got, "reason"), "verdict")
			if !strings.Contains(str(got, "message"), tc.message) {
				t.Errorf("%s: message %q, want %q in it", tc.reason, str(got, "message"), tc.message)
			}
		})
	}
}

// TestOwnVariables holds that a container's own variable stays, whatever a claim calls its
// database's.
func TestOwnVariables(t *testing.T) {
	t.Parallel()
	c := rendering(t, service("api", calling(databaseNamed("orders", 5432, "sql-client"), "host: PGHOST, port: PGPORT")),
		strings.Replace(deployment("api", ""), "image: x,", "image: x, env: [{name: PGHOST, value: db.example.org}],", 1))
	c.settle()
	container, _ := list(c.pods(), "spec", "containers")[0].(map[string]any)
	got := map[string]string{}
	for _, v := range list(container, "env") {
		e, _ := v.(map[string]any)
		got[str(e, "name")] = str(e, "value")
	}
	if diff := cmp.Diff(map[string]string{"PGHOST": "db.example.org", "PGPORT": "5432", "ORDERS_DB_INSTANCE_CONNECTION_NAME": "my-project-123456:europe-west1:orders"}, got); diff != "" {
		t.Errorf("the container's variables, -want +got:\n%s", diff)
	}
}
