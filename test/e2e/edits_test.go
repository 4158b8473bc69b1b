package e2e

import (
	"testing"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// TestEditRole holds that a role is switched in place: the ServiceAccount is
// never without one, and pods need no restart, since EKS looks at the
// association for each of them anew.
func TestEditRole(t *testing.T) {
	t.Parallel()
	eachMode(t, func(tm *team) {
		tm.connect("- name: api\n  connections: [{type: awsRole, role: my-app-s3-access}]")
		tm.awaitReady()
		tm.apply(deployment("api"))
		pod := tm.awaitConnected("api", "shop-api")
		association, sa, role := tm.the("PodIdentityAssociation"), tm.the("ServiceAccount"), tm.the("Role")

		tm.connect("- name: api\n  connections: [{type: awsRole, role: my-app-other}]")
		tm.awaitContents("the new role, with its path", "shop-api -> arn:aws:iam::123456789012:role/apps/my-app-other")
		tm.awaitReady()
		tm.awaitGone(role)
		tm.same("the role changes in place", association)
		tm.same("running pods keep their ServiceAccount", sa)
		tm.awaitNoRestart("api")
		if now := tm.awaitConnected("api", "shop-api"); now.UID != pod.UID {
			tm.t.Errorf("pod %s was replaced by %s", pod.Name, now.Name)
		}
	})
}

// TestEditIdentityName holds that an Azure identity is switched without a gap:
// the old credential goes when the new one works and the pods have restarted.
func TestEditIdentityName(t *testing.T) {
	t.Parallel()
	alone(t, func(tm *team) {
		const annotation = "azure.workload.identity/client-id"
		tm.connect("- name: api\n  connections: [{type: azureManagedIdentity, identityName: shop, resourceGroup: rg-shop}]")
		tm.awaitReady()
		tm.apply(deployment("api"))
		tm.awaitConnected("api", "shop-api")
		old, sa := tm.the("FederatedIdentityCredential"), tm.the("ServiceAccount")

		tm.cloud.Hold("FederatedIdentityCredential")
		tm.connect("- name: api\n  connections: [{type: azureManagedIdentity, identityName: other, resourceGroup: rg-shop}]")
		tm.awaitContents("the credential on both identities", armID("shop"), armID("other"))
		tm.awaitReason("api", claim.TypeAzureManagedIdentity, "Creating")
		tm.awaitNote("api", "Superseded", "stays until its successor is ready and the pods of service \"api\" have restarted")
		tm.same("the old credential stays while the new one isn't ready", old)
		if now := tm.get("v1", "ServiceAccount", "shop-api"); now.GetAnnotations()[annotation] != sa.GetAnnotations()[annotation] {
			tm.t.Error("the ServiceAccount's client id switched before the new credential was ready")
		}
		tm.awaitNoRestart("api")

		tm.cloud.Release("FederatedIdentityCredential")
		tm.awaitReason("api", claim.TypeAzureManagedIdentity, "Connected")
		tm.awaitRestart("api")
		if now := tm.get("v1", "ServiceAccount", "shop-api"); now.GetAnnotations()[annotation] == sa.GetAnnotations()[annotation] {
			tm.t.Error("the ServiceAccount's client id hasn't switched with the new credential")
		}
		tm.same("the old credential stays until the pods have restarted", old)
		tm.same("running pods keep their ServiceAccount", sa)

		tm.restart("api")
		tm.awaitGone(old)
		tm.awaitContents("the credential on the new identity", armID("other"))
		tm.same("the ServiceAccount is never made anew", sa)
		tm.awaitConnected("api", "shop-api")
		tm.awaitReady()
	})
}

// TestEditClusterName holds that a new name of the EKS cluster in the settings
// moves associations without a gap.
func TestEditClusterName(t *testing.T) {
	t.Parallel()
	alone(t, func(tm *team) {
		tm.connect("- name: api\n  connections: [{type: awsRole, role: my-app-s3-access}]")
		tm.awaitReady()
		tm.apply(deployment("api"))
		pod := tm.awaitConnected("api", "shop-api")
		old := tm.the("PodIdentityAssociation")

		tm.cloud.Hold("PodIdentityAssociation")
		tm.changeSettings(func(data map[string]any) { section(data, "aws")["clusterName"] = "renamed" })
		tm.awaitContents("an association in both", "association one ", "association renamed ")
		tm.awaitNote("api", "Superseded", old.GetName())
		tm.same("the old association stays while the new one isn't ready", old)

		tm.cloud.Release("PodIdentityAssociation")
		tm.awaitGone(old)
		tm.awaitReady()
		tm.awaitContents("the new association", "association renamed ")
		if now := tm.awaitConnected("api", "shop-api"); now.UID != pod.UID {
			tm.t.Errorf("pod %s was replaced by %s", pod.Name, now.Name)
		}
	})
}

// TestEditServiceAccountName holds that pods which run as the old ServiceAccount
// keep all of it until they are replaced.
func TestEditServiceAccountName(t *testing.T) {
	t.Parallel()
	eachMode(t, func(tm *team) {
		tm.connect("- name: api\n  connections: [{type: awsRole, role: my-app-s3-access}]")
		tm.awaitReady()
		tm.apply(deployment("api"))
		tm.awaitConnected("api", "shop-api")
		sa, old := tm.the("ServiceAccount"), tm.the("PodIdentityAssociation")

		tm.apply(serviceAccount("own"))
		tm.connect("- name: api\n  serviceAccountName: own\n  connections: [{type: awsRole, role: my-app-s3-access}]")
		tm.awaitContents("an association for both", "/shop-api ->", "/own ->")
		tm.awaitReason("api", claim.TypeAWSRole, "Connected")
		tm.awaitRestart("api")
		tm.same("running pods keep their association", old)
		tm.same("running pods keep their ServiceAccount", sa)

		tm.restart("api")
		tm.awaitConnected("api", "own")
		tm.awaitGone(old)
		tm.awaitContents("the new association", "/own ->")
		tm.same("tokens are refreshed through the ServiceAccount while the service is in the claim", sa)
		tm.awaitReady()
	})
}

// TestEditDiskName holds that no volume claim goes with an edit: one that was
// made to be retained never, any other with its connection.
func TestEditDiskName(t *testing.T) {
	t.Parallel()
	eachMode(t, func(tm *team) {
		tm.connect("- name: api\n  connections: [{type: disk, config: {diskName: uploads}}]")
		tm.awaitReady()
		uploads, object := tm.get("v1", "PersistentVolumeClaim", "uploads"), tm.the("Object")

		tm.connect("- name: api\n  connections: [{type: disk, config: {diskName: scratch}}]")
		tm.awaitReason("api", claim.TypeDisk, "Connected")
		tm.awaitNote("api", "Superseded", "holds data, and stays until the disk connection of service \"api\" leaves the claim")
		scratch := tm.the("PersistentVolumeClaim")
		tm.same("data stays", uploads)
		tm.same("what holds data goes only with its connection", object)

		tm.connect("- name: api\n  connections: [{type: disk, config: {diskName: uploads}}]")
		tm.awaitReason("api", claim.TypeDisk, "Connected")
		tm.same("the way back finds the same volume claim", uploads)
		tm.same("data stays, whatever its policy, while the service has a disk", scratch)

		tm.connect("- name: api\n  connections: [{type: awsRole, role: my-app-s3-access}]")
		tm.awaitReason("api", claim.TypeAWSRole, "Connected")
		tm.awaitGone(object)
		tm.awaitGone(scratch)
		tm.same("a volume claim that is retained outlives its connection", uploads)
	})
}

// TestEditDeletionPolicy holds that a disk keeps the form that it was created in.
func TestEditDeletionPolicy(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason, disk string
		kind         string
		from, to     string
		survives     bool
	}{
		"RetainToDelete": {
			reason: "data that was promised to be retained is", disk: "uploads", kind: "Object",
			from: "Retain", to: "Delete", survives: true,
		},
		"DeleteToRetain": {
			reason: "a composed volume claim can't be taken out of the claim's hands without its deletion, which the warning says", disk: "scratch", kind: "PersistentVolumeClaim",
			from: "Delete", to: "Retain", survives: false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alone(t, func(tm *team) {
				tm.connect("- name: api\n  connections: [{type: disk, config: {diskName: " + tc.disk + "}}]")
				tm.awaitReady()
				volume, form := tm.get("v1", "PersistentVolumeClaim", tc.disk), tm.the(tc.kind)

				tm.changeSettings(func(data map[string]any) {
					disks, _ := data["disks"].([]any)
					for _, d := range disks {
						if m, _ := d.(map[string]any); m["name"] == tc.disk {
							m["deletionPolicy"] = tc.to
						}
					}
				})
				tm.awaitNote("api", "DiskPolicyPinned", "although the cluster settings have changed")
				tm.awaitReady()
				tm.same(tc.reason, volume)
				tm.same(tc.reason, form)

				tm.connect("- name: api\n  connections: [{type: awsRole, role: my-app-s3-access}]")
				tm.awaitGone(form)
				if tc.survives {
					tm.same(tc.reason, volume)
				}
			})
		})
	}
}

// TestEditOneOfTwoUsers holds that what two connections share stays while one
// needs it.
func TestEditOneOfTwoUsers(t *testing.T) {
	t.Parallel()
	const account = "sql-client@my-project-123456.iam.gserviceaccount.com"
	for name, tc := range map[string]struct {
		reason, both, one string
		kind              string
	}{
		"GoogleAccount": {
			reason: "a database and an API are used as one Google account",
			both: `
- name: api
  connections:
  - {type: gcpServiceAccount, serviceAccountEmail: ` + account + `}
  - type: cloudSql
    config: {cloudSqlConnectionName: "my-project-123456:europe-west1:shop", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: sql-client}
`,
			one: `
- name: api
  connections:
  - {type: gcpServiceAccount, serviceAccountEmail: ` + account + `}
`,
			kind: "ServiceAccountIAMMember",
		},
		"Disk": {
			reason: "two services mount one disk",
			both: `
- name: api
  connections: [{type: disk, config: {diskName: scratch}}]
- name: web
  connections: [{type: disk, config: {diskName: scratch}}]
`,
			one: `
- name: web
  connections: [{type: disk, config: {diskName: scratch}}]
`,
			kind: "PersistentVolumeClaim",
		},
		"ServiceAccount": {
			reason: "two services run as one ServiceAccount, and have one association",
			both: `
- name: api
  serviceAccountName: own
  connections: [{type: awsRole, role: my-app-s3-access}]
- name: web
  serviceAccountName: own
  connections: [{type: awsRole, role: my-app-s3-access}]
`,
			one: `
- name: web
  serviceAccountName: own
  connections: [{type: awsRole, role: my-app-s3-access}]
`,
			kind: "PodIdentityAssociation",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(tm *team) {
				tm.apply(serviceAccount("own"))
				tm.connect(tc.both)
				tm.awaitReady()
				shared := tm.the(tc.kind)
				tm.connect(tc.one)
				tm.awaitConnectedCount("1/1")
				tm.awaitReady()
				tm.same(tc.reason, shared)
			})
		})
	}
}
