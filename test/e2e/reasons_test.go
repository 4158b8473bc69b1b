package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// TestReasons reads what a team is told of the usual mistakes that no other test
// makes. NS stands for the team's namespace.
func TestReasons(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason   string
		objects  string
		cloud    func(*team)
		services string
		service  string
		typ      claim.ConnectionType
		// want reason, of the connection or one of its warnings, and its message.
		want, message string
	}{
		"ServiceAccountNotRegistered": {
			reason:   "a Google account is the platform team's to give",
			services: "- {name: api, connections: [{type: gcpServiceAccount, serviceAccountEmail: unknown@my-project-123456.iam.gserviceaccount.com}]}",
			typ:      claim.TypeGCPServiceAccount, want: "ServiceAccountNotRegistered",
			message: `Google service account "unknown@my-project-123456.iam.gserviceaccount.com" is not registered in the cluster settings`,
		},
		"DiskNotRegistered": {
			reason:   "where disks are listed, others may not be used",
			services: "- {name: api, connections: [{type: disk, config: {diskName: unknown}}]}",
			typ:      claim.TypeDisk, want: "DiskNotRegistered", message: `disk "unknown" is not registered in the cluster settings`,
		},
		"TwoGoogleAccounts": {
			reason:   "a ServiceAccount can act as one only",
			services: "- {name: api, connections: [" + cloudSQL + ", {type: gcpServiceAccount, serviceAccountEmail: other-client@my-project-123456.iam.gserviceaccount.com}]}",
			typ:      claim.TypeGCPServiceAccount, want: "TwoGoogleAccounts", message: "other-client@my-project-123456.iam.gserviceaccount.com",
		},
		"ServiceAccountConflict": {
			reason:  "two services of one ServiceAccount can't have two roles",
			objects: serviceAccount("shared"),
			services: `
- {name: api, serviceAccountName: shared, connections: [{type: awsRole, role: my-app-s3-access}]}
- {name: web, serviceAccountName: shared, connections: [{type: awsRole, role: my-app-other}]}`,
			service: "web", typ: claim.TypeAWSRole, want: "ServiceAccountConflict", message: `ServiceAccount "shared"`,
		},
		"WorkloadConflict": {
			reason: "two services can't both give a workload its ServiceAccount",
			services: `
- {name: api, connections: [{type: awsRole, role: my-app-s3-access}]}
- {name: web, workload: {name: api}, connections: [{type: awsRole, role: my-app-other}]}`,
			service: "web", typ: claim.TypeAWSRole, want: "WorkloadConflict", message: `Deployment "api"`,
		},
		"ServiceAccountNotFound": {
			reason:   "one that is named is somebody's to make",
			services: "- {name: api, serviceAccountName: missing, connections: [{type: awsRole, role: my-app-s3-access}]}",
			typ:      claim.TypeAWSRole, want: "ServiceAccountNotFound", message: `ServiceAccount "missing" does not exist in namespace "NS"`,
		},
		"ServiceAccountNotAnnotated": {
			reason:   "the function writes nothing of the team's",
			objects:  serviceAccount("own"),
			services: "- {name: api, serviceAccountName: own, connections: [{type: azureManagedIdentity, identityName: shop, resourceGroup: rg-shop}]}",
			typ:      claim.TypeAzureManagedIdentity, want: "ServiceAccountNotAnnotated", message: "kubectl -n NS annotate serviceaccount own --overwrite azure.workload.identity/client-id=",
		},
		"VolumeClaimLost": {
			reason: "its data may be gone, so nothing new is made",
			objects: `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: cache-storage, annotations: {pv.kubernetes.io/bind-completed: "yes"}}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", volumeName: gone, resources: {requests: {storage: 1Gi}}}`,
			services: "- {name: api, connections: [{type: disk, config: {diskName: cache-storage}}]}",
			typ:      claim.TypeDisk, want: "VolumeClaimLost", message: `PersistentVolumeClaim "cache-storage"`,
		},
		"IdentityMismatch": {
			reason: "an identity of another tenant can't take the cluster's tokens",
			cloud: func(t *team) {
				t.cloud.AddIdentity(armID("abroad-"+t.namespace), "eeeeeeee-0000-0000-0000-000000000009")
			},
			services: "- {name: api, connections: [{type: azureManagedIdentity, identityName: abroad-NS, resourceGroup: rg-shop}]}",
			typ:      claim.TypeAzureManagedIdentity, want: "IdentityMismatch", message: "eeeeeeee-0000-0000-0000-000000000009",
		},
		"TrustDenied": {
			reason: "a Deny wins over all that allows",
			cloud: trusting(`{"Version": "2012-10-17", "Statement": [
				{"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": ["sts:AssumeRole", "sts:TagSession"]},
				{"Sid": "NotThem", "Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole", "Condition": {"StringLike": {"aws:RequestTag/kubernetes-namespace": "team-*"}}}]}`),
			services: roleOfItsOwn, typ: claim.TypeAWSRole, want: "TrustDenied", message: `statement "NotThem"`,
		},
		"TrustUnscoped": {
			reason:   "a role for everybody works, and is worth a warning",
			cloud:    trusting(`{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*", "Action": ["sts:AssumeRole", "sts:TagSession"]}}`),
			services: roleOfItsOwn, typ: claim.TypeAWSRole, want: "TrustUnscoped", message: `lets everybody in by the principal "*"`,
		},
		"TrustUnverifiable": {
			reason:   "nobody here knows the organization",
			cloud:    trusting(trustsPods(`"sts:*"`, `{"StringEquals": {"aws:SourceOrgID": "o-1234567890"}}`)),
			services: roleOfItsOwn, typ: claim.TypeAWSRole, want: "TrustUnverifiable", message: "aws:SourceOrgID",
		},
		"ReplicasUnsafe": {
			reason: "their pods may be on other nodes", objects: twoReplicas + "---\n" + zonedDisk, services: diskOfZone,
			typ: claim.TypeDisk, want: "ReplicasUnsafe", message: `Deployment "api" has 2 replicas`,
		},
		"RolloutBlocks": {
			reason: "the old pod holds the disk", objects: twoReplicas + "---\n" + zonedDisk, services: diskOfZone,
			typ: claim.TypeDisk, want: "RolloutBlocks", message: "set spec.strategy.type: Recreate",
		},
		"ZoneSpread": {
			reason: "no pod of another zone can mount it", objects: twoReplicas + "---\n" + zonedDisk, services: diskOfZone,
			typ: claim.TypeDisk, want: "ZoneSpread", message: "is in eu-west-1a only",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			team := newTeam(t, controlplane.Namespaced)
			here := func(s string) string { return strings.ReplaceAll(s, "NS", team.namespace) }
			team.leave("v1", "PersistentVolumeClaim")
			if tc.cloud != nil {
				tc.cloud(team)
			}
			if tc.objects != "" {
				team.apply(here(tc.objects))
			}
			team.connect(here(tc.services))
			service := "api"
			if tc.service != "" {
				service = tc.service
			}
			var line string
			team.eventually(tc.want, func(ctx context.Context) error {
				s, err := team.serviceOf(ctx, "shop", service)
				if err != nil || s == nil {
					return errors.Join(err, fmt.Errorf("no service %s", service))
				}
				i := slices.IndexFunc(s.Connections, func(c claim.ConnectionStatus) bool { return c.Type == tc.typ })
				if i < 0 {
					return fmt.Errorf("no such connection: %v", s.Connections)
				}
				c := s.Connections[i]
				for _, n := range append([]claim.Note{{Reason: c.Reason, Message: c.Message}}, c.Warnings...) {
					if n.Reason == tc.want && strings.Contains(n.Message, here(tc.message)) {
						line = n.Message
						return nil
					}
				}
				return fmt.Errorf("%s: it is %v", tc.reason, c)
			})
			t.Logf("%s: %s", tc.want, line)
		})
	}
}

// roleOfItsOwn is a service with a role that no other team has.
const roleOfItsOwn = "- {name: api, connections: [{type: awsRole, role: my-app-NS}]}"

// trusting makes the role of roleOfItsOwn, with a trust policy.
func trusting(policy string) func(*team) {
	return func(t *team) {
		t.cloud.AddRole("/", "my-app-"+t.namespace)
		t.cloud.SetTrust("my-app-"+t.namespace, policy)
	}
}

// zonedDisk is a volume of one zone, and the volume claim that has it.
const zonedDisk = `
apiVersion: v1
kind: PersistentVolume
metadata: {name: disk-NS}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {storage: 1Gi}
  persistentVolumeReclaimPolicy: Delete
  csi: {driver: disks.example.org, volumeHandle: disk-NS}
  claimRef: {namespace: NS, name: cache-storage}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: topology.kubernetes.io/zone, operator: In, values: [eu-west-1a]}]}]}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: cache-storage}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", volumeName: disk-NS, resources: {requests: {storage: 1Gi}}}
`

const diskOfZone = "- {name: api, connections: [{type: disk, config: {diskName: cache-storage}}]}"

// twoReplicas that must be in two zones.
const twoReplicas = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  replicas: 2
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      topologySpreadConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: api}}}]
      containers: [{name: api, image: "registry.example.org/api:1"}]
`

// TestNotClaimed: a composite resource that nobody claimed has no namespace, and
// so no rights.
func TestNotClaimed(t *testing.T) {
	t.Parallel()
	team := newTeam(t, controlplane.Claims)
	ctx := t.Context()
	xr := team.named("XServiceConnection", team.namespace)
	xr.SetNamespace("")
	xr.Object["spec"] = map[string]any{"services": []any{map[string]any{
		"name": "api", "connections": []any{map[string]any{"type": "awsRole", "role": "my-app-s3-access"}},
	}}}
	if err := team.Client.Create(ctx, xr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := team.Client.Delete(context.Background(), xr); err != nil {
			t.Error(err)
		}
	})
	team.eventually("it says so", func(ctx context.Context) error {
		u, err := team.Get(ctx, xr.GetAPIVersion(), xr.GetKind(), "", xr.GetName())
		if err != nil || u == nil {
			return errors.Join(err, fmt.Errorf("it is gone"))
		}
		return hasCondition(u, "Valid", "False", "NotClaimed", "create it through its claim")
	})
}

// TestBindingRetained: in a workload pool that clusters share, a binding may be
// another's, so taking back access leaves it, and says so.
func TestBindingRetained(t *testing.T) {
	t.Parallel()
	alone(t, func(team *team) {
		team.changeSettings(func(data map[string]any) { section(data, "gcp")["sharedWorkloadPool"] = true })
		team.connect("- {name: api, connections: [{type: gcpServiceAccount, serviceAccountEmail: sql-client@my-project-123456.iam.gserviceaccount.com}]}")
		team.awaitReady()
		team.awaitInjecting("shop", "api")
		team.changeSettings(func(data map[string]any) {
			section(data, "gcp")["sharedWorkloadPool"] = true
			section(data, "gcp")["serviceAccounts"] = []any{}
		})
		team.awaitReason("api", claim.TypeGCPServiceAccount, "ServiceAccountNotRegistered")
		team.awaitNote("api", "BindingRetained", "sql-client@my-project-123456.iam.gserviceaccount.com")
		if s, err := team.service(t.Context(), "api"); err != nil || s.Injection != nil {
			team.t.Errorf("injected still: %v, %v", s, err)
		}
		team.awaitContents("the binding", "member ")
		team.cloud.RemoveMembers(team.namespace)
	})
}

// TestOldRevisionKeepsNoRight: a claim that is pinned to a revision of the
// Composition has the settings of today.
func TestOldRevisionKeepsNoRight(t *testing.T) {
	t.Parallel()
	team := withSettings(t, controlplane.Namespaced)
	ctx := t.Context()
	pinned := strings.Replace(claimOf("- {name: api, connections: [{type: awsRole, role: my-app-s3-access}]}"), "spec:\n", "spec:\n  crossplane: {compositionUpdatePolicy: Manual}\n", 1)
	team.apply(pinned)
	team.awaitReady()
	revision := func() string {
		c, err := team.claim(ctx)
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := unstructured.NestedString(c.Object, "spec", "crossplane", "compositionRevisionRef", "name")
		return name
	}
	old := revision()
	composition, err := team.Get(ctx, "apiextensions.crossplane.io/v1", "Composition", "", "serviceconnections")
	if err != nil || composition == nil {
		t.Fatal(composition, err)
	}
	steps, _, _ := unstructured.NestedSlice(composition.Object, "spec", "pipeline")
	step, _ := steps[0].(map[string]any)
	input, _ := step["input"].(map[string]any)
	was := input["source"]
	change := func(source any) {
		t.Helper()
		if input["source"] = source; source == nil {
			delete(input, "source")
		}
		fresh, err := team.Get(context.Background(), composition.GetAPIVersion(), composition.GetKind(), "", composition.GetName())
		if err == nil {
			_ = unstructured.SetNestedSlice(fresh.Object, steps, "spec", "pipeline")
			err = team.Client.Update(context.Background(), fresh)
		}
		if err != nil {
			t.Error(err)
		}
	}
	change(map[string]any{"status": "status"}) // The default, which makes a revision.
	t.Cleanup(func() { change(was) })
	team.eventually("a newer revision is there", func(ctx context.Context) error {
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion("apiextensions.crossplane.io/v1")
		list.SetKind("CompositionRevisionList")
		if err := team.Client.List(ctx, list); err != nil {
			return err
		}
		for i := range list.Items {
			if n, _, _ := unstructured.NestedInt64(list.Items[i].Object, "spec", "revision"); n > 1 && strings.HasPrefix(list.Items[i].GetName(), "serviceconnections-") {
				return nil
			}
		}
		return fmt.Errorf("%d revisions, none newer", len(list.Items))
	})
	team.changeSettings(func(data map[string]any) { section(data, "aws")["allowedRoles"] = []any{} })
	team.awaitReason("api", claim.TypeAWSRole, "NotAllowed")
	team.awaitContents("nothing")
	if got := revision(); got != old || old == "" {
		t.Errorf("the claim is at revision %q, so this says nothing about %q", got, old)
	}
}
