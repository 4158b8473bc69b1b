package e2e

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/e2e/postgres"
)

// TestCloudSQLClient goes all the way to a database: by the real Cloud SQL Auth Proxy,
// with the injected sidecar's arguments, to an instance that lets in whoever has a
// certificate of the Cloud SQL Admin API, and on to PostgreSQL.
func TestCloudSQLClient(t *testing.T) {
	t.Parallel()
	long(t)
	if runtime.GOOS != "linux" {
		t.Skip("instances of Cloud SQL share a port, and only Linux has a loopback address for each")
	}
	eachMode(t, func(team *team) {
		if !postgres.Installed() {
			team.t.Skip("this machine has no PostgreSQL")
		}
		db, err := postgres.Start(team.t.Context(), team.namespace)
		if err != nil {
			team.t.Fatal(err)
		}
		team.t.Cleanup(db.Stop)
		instance := fmt.Sprintf("%s:europe-west1:%s", project, team.namespace)
		if err := team.doors.OpenInstance(team.t.Context(), instance, db.Socket); err != nil {
			team.t.Fatal(err)
		}
		address, err := controlplane.FreeAddress(team.t.Context())
		if err != nil {
			team.t.Fatal(err)
		}
		_, port, _ := strings.Cut(address, ":")
		number, err := strconv.ParseInt(port, 10, 32)
		if err != nil {
			team.t.Fatal(err)
		}
		team.connect("- name: api\n  connections: [{type: cloudSql, config: {cloudSqlConnectionName: '" + instance + "', cloudSqlDatabasePort: " + port + ", cloudSqlServiceAccount: sql-client}}]")
		team.awaitReady()
		team.awaitInjecting("shop", "api")
		pod := func(name string, args ...string) *corev1.Pod {
			p := clientOf("api", "postgres", args...)
			p.Name = name
			p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "PGUSER", Value: "shop"}}
			return team.admit(p)
		}
		connected := pod("connected")
		team.onGKE(connected).wantLogin(connected, "^shop in postgres$")

		// An application that has a port of its own for the database finds nobody there.
		other, err := controlplane.FreeAddress(team.t.Context())
		if err != nil {
			team.t.Fatal(err)
		}
		_, otherPort, _ := strings.Cut(other, ":")
		wrong := pod("wrong-port", "-port="+otherPort)
		team.onGKE(wrong).wantNoLogin(wrong, "connection refused")

		// What the function can't see, and the documentation says so: the proxy tells it.
		const account = "sql-client@" + project + ".iam.gserviceaccount.com"
		team.cloud.RevokeProject(account)
		team.t.Cleanup(func() { team.cloud.GrantProject(account, "roles/cloudsql.client") })
		p := pod("without-role")
		results, err := team.onGKE(p).node.Run(team.t.Context(), p)
		if err != nil {
			team.t.Fatal(err)
		}
		proxy := results["sc-cloud-sql-proxy"]
		if says := "boss::NOT_AUTHORIZED"; results["main"].Code == 0 || !strings.Contains(proxy.Output+proxy.Errors, says) {
			team.t.Errorf("the client ends with %d: %s%s, and the proxy says %s%s; want an error with %q",
				results["main"].Code, results["main"].Output, results["main"].Errors, proxy.Output, proxy.Errors, says)
		}

		// One that listens itself where the proxy would gets no proxy, and the status
		// says so.
		listens := corev1.ContainerPort{ContainerPort: int32(number)}
		team.applyf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: main, image: main, ports: [{containerPort: %s}]}]}`, port)
		team.awaitReason("api", claim.TypeCloudSQL, "PortConflict")
		taken := clientOf("api", "postgres", "-host=127.0.0.1", "-port="+port)
		taken.Name, taken.Spec.Containers[0].Ports = "taken-port", []corev1.ContainerPort{listens}
		team.admit(taken)
		team.wantPlain(taken)
		team.wantNoLogin(taken, "connection refused")
	})
}
