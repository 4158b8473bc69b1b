package e2e

import (
	"fmt"
	"maps"
	"testing"
)

const (
	// orders is a second database of a service, which has a name.
	orders = `
  - type: cloudSql
    name: orders
    config: {cloudSqlConnectionName: "my-project-123456:europe-west1:orders", cloudSqlDatabasePort: 5433, cloudSqlServiceAccount: sql-client, ipType: Private}`

	// scratchDisk is a disk that goes with its connection.
	scratchDisk = `
  - {type: disk, name: scratch, config: {diskName: scratch}}`

	// oneDatabaseTwoDisks are what is left without those.
	oneDatabaseTwoDisks = `
- name: api
  connections:
  - type: cloudSql
    config: {cloudSqlConnectionName: "my-project-123456:europe-west1:shop", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: sql-client}
  - {type: disk, config: {diskName: uploads}}
  - {type: disk, name: cache, config: {diskName: cache-storage, mountPath: /cache, readOnly: true}}`
)

// TestSeveral holds that a service gets two databases and three disks, that nothing is
// written as it rests, and that what leaves takes away what is its own.
func TestSeveral(t *testing.T) {
	t.Parallel()
	disturb(t, func(tm *team) {
		m := measure(tm)
		tm.apply(fmt.Sprintf(foreignVolumeClaim, "cache-storage"))
		tm.settledObject("v1", "PersistentVolumeClaim", "cache-storage")
		tm.apply(deployment("api"))
		tm.connect(oneDatabaseTwoDisks + orders + scratchDisk)
		tm.awaitReady()
		tm.awaitConnectedCount("5/5")
		tm.restartIfAsked("api")
		tm.wantSeveral(`
serviceAccount shop-api
volume sc-disk claim uploads readOnly=false
volume sc-disk-cache claim cache-storage readOnly=true
volume sc-disk-scratch claim scratch readOnly=false
sidecar sc-cloud-sql-proxy ` + proxyImage + `
  args my-project-123456:europe-west1:orders?port=5433&private-ip=true my-project-123456:europe-west1:shop?port=5432 --structured-logs --exit-zero-on-sigterm --health-check --http-address=0.0.0.0 --http-port=9801
container api registry.example.org/api:1
  env LOG_LEVEL=info
  env DB_HOST=127.0.0.1
  env DB_INSTANCE_CONNECTION_NAME=my-project-123456:europe-west1:shop
  env DB_PORT=5432
  env ORDERS_DB_HOST=127.0.0.1
  env ORDERS_DB_INSTANCE_CONNECTION_NAME=my-project-123456:europe-west1:orders
  env ORDERS_DB_PORT=5433
  mount sc-disk-cache /cache ro
  mount sc-disk-scratch /data/scratch rw
  mount sc-disk /data/uploads rw
`)
		m.wantRest("with two databases and three disks")

		kept := map[string]string{}
		for _, disk := range []string{"uploads", "cache-storage"} {
			kept[disk] = string(tm.get("v1", "PersistentVolumeClaim", disk).GetUID())
		}
		grant, scratch := tm.the("ServiceAccountIAMMember"), tm.get("v1", "PersistentVolumeClaim", "scratch")
		tm.connect(oneDatabaseTwoDisks)
		tm.awaitReady()
		tm.awaitConnectedCount("3/3")
		tm.restartIfAsked("api")
		tm.wantSeveral(`
serviceAccount shop-api
volume sc-disk claim uploads readOnly=false
volume sc-disk-cache claim cache-storage readOnly=true
sidecar sc-cloud-sql-proxy ` + proxyImage + `
  args my-project-123456:europe-west1:shop?port=5432 --structured-logs --exit-zero-on-sigterm --health-check --http-address=0.0.0.0 --http-port=9801
container api registry.example.org/api:1
  env LOG_LEVEL=info
  env DB_HOST=127.0.0.1
  env DB_INSTANCE_CONNECTION_NAME=my-project-123456:europe-west1:shop
  env DB_PORT=5432
  mount sc-disk-cache /cache ro
  mount sc-disk /data/uploads rw
`)
		tm.awaitGone(scratch)
		tm.same("the database that stays needs the grant", grant)
		for disk, uid := range kept {
			if u := tm.get("v1", "PersistentVolumeClaim", disk); u == nil || string(u.GetUID()) != uid || u.GetDeletionTimestamp() != nil {
				tm.t.Errorf("the volume claim of disk %s, which stays, was %s and is %v", disk, uid, u)
			}
		}
		m.wantRest("with one database and two disks")
	})
}

// wantSeveral waits until the one pod of the team's Deployment has what is published
// for it, and that is all of it.
func (t *team) wantSeveral(want string) {
	t.t.Helper()
	pod := &t.awaitPods("api", 1)[0]
	t.wantInjected(pod, "shop", "api")
	t.wantPod(pod, want)
}

// wantRest of a claim: reconciles write nothing.
func (m *meter) wantRest(as string) {
	m.t.Helper()
	m.awaitRest()
	was := m.versions()
	for range 5 {
		m.awaitReconcile()
	}
	if now := m.versions(); !maps.Equal(was, now) {
		m.t.Errorf("reconciles %s wrote: resource versions were\n%v\nand are\n%v", as, was, now)
	}
}
