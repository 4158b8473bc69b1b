package plan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// TestHoldParts holds what stays of a published injection, connection by
// connection.
func TestHoldParts(t *testing.T) {
	t.Parallel()

	const (
		disk   = `{type: disk, config: {diskName: scratch}}`
		broken = `{type: disk, config: {diskName: "Not Valid"}}`

		asShopAPI = `services: [{name: api, workload: {apiVersion: apps/v1, kind: Deployment, name: api}, connections: [{type: disk, ready: true}, {type: gcpServiceAccount, ready: true}],
			injection: {hash: "0123456789abcdef", complete: true, serviceAccountName: shop-api, volumes: [{name: sc-disk, persistentVolumeClaim: {claimName: old}}, {name: forged, persistentVolumeClaim: {claimName: theirs}}], volumeMounts: [{name: sc-disk, mountPath: /data}]}}]`
	)
	bound := `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: scratch, namespace: team-a}, status: {phase: Bound}}`
	service := func(of string, connections ...string) string {
		return `[{` + of + `, connections: [` + strings.Join(connections, ", ") + `]}]`
	}
	google := func(email string) string { return `{type: gcpServiceAccount, serviceAccountEmail: ` + email + `}` }
	account := map[string]string{"shop-api.serviceaccount": serviceAccount}
	unnamed := map[string]string{"shop-api.serviceaccount": serviceAccount, "shop-api.member.0123456789": member("api/gcpServiceAccount", sqlEmail)}
	granted := map[string]string{"shop-api.serviceaccount": strings.Replace(serviceAccount, "namespace: team-a", `namespace: team-a, annotations: {iam.gke.io/gcp-service-account: "`+sqlEmail+`"}`, 1), "shop-api.member.0123456789": member("api/gcpServiceAccount", sqlEmail)}
	asTheOldDiskOf := func(volume string) *claim.Injection {
		return &claim.Injection{
			Volumes:      []claim.Volume{{Name: volume, PersistentVolumeClaim: &claim.PersistentVolumeClaimVolume{ClaimName: "old"}}},
			VolumeMounts: []claim.VolumeMount{{Name: volume, MountPath: "/data"}},
		}
	}
	asTheOldDisk := asTheOldDiskOf("sc-disk")
	cases := map[string]struct {
		reason  string
		world   world
		want    []*claim.Injection
		account string
	}{
		"AnotherNameOfTheConnection": {
			reason: "naming a connection takes nothing from the pods, also where there is a mistake in the same edit",
			world:  world{services: service("name: api", `{type: disk, name: cache, config: {diskName: "Not Valid"}}`), composed: account, previous: asShopAPI},
			want:   []*claim.Injection{asTheOldDiskOf("sc-disk-cache")}, account: "shop-api",
		},
		"AnotherConnectionOfItsType": {
			reason: "what is published for one that is in the claim still is no other's",
			world:  world{services: service("name: api", disk, `{type: disk, name: cache, config: {diskName: "Not Valid"}}`), composed: account, objects: []string{bound}, previous: asShopAPI},
			want:   []*claim.Injection{nil, nil}, account: "shop-api",
		},
		"TwoNamesAtOnce": {
			reason: "the one with the same disk is it",
			world:  world{services: service("name: api", `{type: disk, name: new, config: {diskName: gone}}`, `{type: disk, name: cache, config: {diskName: old}}`), composed: account, previous: strings.Replace(asShopAPI, "type: disk, ready: true", "type: disk, identity: old, ready: true", 1)},
			want:   []*claim.Injection{nil, asTheOldDiskOf("sc-disk-cache")}, account: "shop-api",
		},
		"NothingPublished": {
			reason: "what comes first doesn't wait",
			world:  world{services: service("name: api", broken), composed: account},
			want:   []*claim.Injection{nil}, account: "shop-api",
		},
		"Mistake": {
			reason: "of what was published, only what a disk has in it stays",
			world:  world{services: service("name: api", broken), composed: account, previous: asShopAPI},
			want:   []*claim.Injection{asTheOldDisk}, account: "shop-api",
		},
		"SuccessorIsNotThere": {
			reason: "pods would wait for a volume claim that isn't there",
			world:  world{services: service("name: api", disk), composed: account, previous: asShopAPI},
			want:   []*claim.Injection{asTheOldDisk}, account: "shop-api",
		},
		"SuccessorWorks": {
			reason: "it takes over",
			world:  world{services: service("name: api", disk), composed: account, objects: []string{bound}, previous: asShopAPI},
			want:   []*claim.Injection{nil}, account: "shop-api",
		},
		"RegisteredForOthers": {
			reason: "what a list revokes isn't held",
			world:  world{services: service("name: api", broken), settings: cluster + `disks: [{name: old, namespaces: [team-b]}]`, composed: account, previous: asShopAPI},
			want:   []*claim.Injection{nil}, account: "shop-api",
		},
		"NewConnection": {
			reason: "nothing was published for it",
			world:  world{services: service("name: api", `{type: awsRole, role: my-app-s3}`), composed: account, previous: asShopAPI},
			want:   []*claim.Injection{nil}, account: "shop-api",
		},
		"IdentityThatNothingGrants": {
			reason: "the status alone is no proof of a grant",
			world:  world{services: service("name: api", google("nobody@elsewhere.iam.gserviceaccount.com")), composed: account, previous: asShopAPI},
			want:   []*claim.Injection{nil}, account: "shop-api",
		},
		"IdentityThatPodsDoNotHave": {
			reason: "a grant alone is nothing to pods whose ServiceAccount doesn't name it",
			world:  world{services: service("name: api", google("nobody@elsewhere.iam.gserviceaccount.com")), composed: unnamed, previous: asShopAPI},
			want:   []*claim.Injection{nil}, account: "shop-api",
		},
		"IdentityThatIsGranted": {
			reason: "a mistake takes nothing that pods have",
			world:  world{services: service("name: api", google("nobody@elsewhere.iam.gserviceaccount.com")), composed: granted, previous: asShopAPI},
			want:   []*claim.Injection{{}}, account: "shop-api",
		},
		"IdentityThatIsGrantedWhileItsProviderFails": {
			reason: "what a provider tried last, and couldn't, takes nothing that is granted",
			world: world{
				services: service("name: api", google("nobody@elsewhere.iam.gserviceaccount.com")),
				composed: map[string]string{
					"shop-api.serviceaccount":    granted["shop-api.serviceaccount"],
					"shop-api.member.0123456789": strings.Replace(granted["shop-api.member.0123456789"], `{type: Synced, status: "True"}`, `{type: Synced, status: "False", reason: ReconcileError}`, 1),
				},
				previous: strings.NewReplacer("complete: true, ", "", "ready: true", "ready: false").Replace(asShopAPI),
			},
			want: []*claim.Injection{{}}, account: "shop-api",
		},
		"IdentityThatIsRevoked": {
			reason: "revoking always works",
			world:  world{services: service("name: api", google("nobody@elsewhere.iam.gserviceaccount.com")), settings: strings.Replace(cluster, "name: sql-client", "name: somebody", 1), composed: granted, previous: asShopAPI},
			want:   []*claim.Injection{nil}, account: "shop-api",
		},
		"AnotherServiceAccount": {
			reason: "all go over together, also those that work already",
			world:  world{services: service("name: api, serviceAccountName: mine", disk, google(sqlEmail)), composed: granted, objects: []string{bound, mine}, previous: asShopAPI},
			want:   []*claim.Injection{asTheOldDisk, {}}, account: "shop-api",
		},
		"AnotherName": {
			reason: "the pods are the same",
			world:  world{services: service("name: backend, workload: {name: api}", disk), composed: account, previous: asShopAPI},
			want:   []*claim.Injection{asTheOldDisk}, account: "shop-api",
		},
		"WorkloadThatNeverTookIt": {
			reason: "its pods run as another ServiceAccount than the one that was published, and so never had anything",
			world: world{
				services: service("name: api, serviceAccountName: mine", disk), composed: account, previous: asShopAPI,
				objects: []string{mine, bound, strings.Replace(deployment, "containers:", "serviceAccountName: mine, containers:", 1)},
			},
			want: []*claim.Injection{nil}, account: "mine",
		},
		"AnotherWorkload": {
			reason: "its pods never had what the others have",
			world:  world{services: service("name: api, workload: {name: new}", disk), composed: account, previous: asShopAPI},
			want:   []*claim.Injection{nil}, account: "shop-api",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hs := hold(grantWishes(wishFor(gather(tc.world.input(t)))))
			got := make([]*claim.Injection, len(hs.parts))
			for i, p := range hs.parts {
				if p != nil {
					got[i] = &p.Injection
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: parts that stay, -want, +got:\n%s", tc.reason, diff)
			}
			want(t, tc.account, hs.former[0].account, "ServiceAccount, "+tc.reason)
		})
	}
}
