package fn

import (
	"fmt"
	"strings"
	"testing"
)

// databaseNamed is a connection to a database of the same name.
func databaseNamed(name string, port int, account string) string {
	return fmt.Sprintf(`{type: cloudSql, name: %q, config: {cloudSqlConnectionName: "my-project-123456:europe-west1:%s", cloudSqlDatabasePort: %d, cloudSqlServiceAccount: %s}}`, name, name, port, account)
}

// TestRenamedDatabases holds that pods never reach one database by the name of another:
// which connection goes on under another name is told by what it connects to.
func TestRenamedDatabases(t *testing.T) {
	t.Parallel()
	const orders, users = "my-project-123456:europe-west1:orders", "my-project-123456:europe-west1:users"
	unnamed := strings.Replace(databaseNamed("orders", 5432, "sql-client"), `name: "orders", `, "", 1)
	cases := map[string]struct {
		reason string
		before string
		after  string
		want   map[string]string
	}{
		"AnotherOne": {
			reason: "the database that left isn't the one that came",
			before: databaseNamed("orders", 5432, "sql-client"),
			after:  databaseNamed("users", 5432, "sql-client"),
		},
		"ANameAndAnotherOne": {
			reason: "the one that was there goes on under its name, whatever stands before it",
			before: unnamed,
			after:  databaseNamed("users", 5433, "sql-client") + ", " + databaseNamed("orders", 5432, "sql-client"),
			want:   map[string]string{"ORDERS_DB_INSTANCE_CONNECTION_NAME": orders},
		},
		"AName": {
			reason: "it is the same database",
			before: unnamed,
			after:  databaseNamed("orders", 5432, "sql-client"),
			want:   map[string]string{"ORDERS_DB_INSTANCE_CONNECTION_NAME": orders},
		},
		"NamesExchanged": {
			reason: "what is published under a name stays until its successor works",
			before: databaseNamed("orders", 5432, "sql-client") + ", " + databaseNamed("users", 5433, "sql-client"),
			after: strings.NewReplacer(`"orders"`, `"users"`, `"users"`, `"orders"`).Replace(
				databaseNamed("orders", 5432, "sql-client") + ", " + databaseNamed("users", 5433, "sql-client")),
			want: map[string]string{"ORDERS_DB_INSTANCE_CONNECTION_NAME": orders, "USERS_DB_INSTANCE_CONNECTION_NAME": users},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, service("api", tc.before), allSettings)
			c.add(deployment("api", ""))
			c.settle()
			// The edit comes while its provider can't reach the cloud.
			c.cloudDown()
			c.setServices(service("api", tc.after))
			for range 2 {
				c.reconcile()
				got := map[string]string{}
				for _, v := range list(c.service("api"), "injection", "env") {
					if e, _ := v.(map[string]any); strings.HasSuffix(str(e, "name"), "DB_INSTANCE_CONNECTION_NAME") {
						got[str(e, "name")] = str(e, "value")
					}
				}
				for name, is := range got {
					want := tc.want[name]
					if want == "" {
						// Published anew, it is what the claim says.
						want = "my-project-123456:europe-west1:" + strings.ToLower(strings.TrimSuffix(name, "_DB_INSTANCE_CONNECTION_NAME"))
					}
					if is != want {
						t.Errorf("%s: %s is %s, want %s", tc.reason, name, is, want)
					}
				}
				for name := range tc.want {
					if got[name] == "" {
						t.Errorf("%s: next pods lack %s", tc.reason, name)
					}
				}
			}
			c.provide()
			c.settle()
			if !c.ready() {
				t.Errorf("%s: it isn't ready once the cloud is back: %v", tc.reason, c.service("api"))
			}
		})
	}
}
