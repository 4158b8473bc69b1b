package e2e

import (
	"testing"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// TestArrival holds that pods end up connected whatever comes first: by
// themselves, or after exactly what the status says to run.
func TestArrival(t *testing.T) {
	t.Parallel()
	const services = `
- name: api
  connections:
  - {type: awsRole, role: my-app-s3-access}
`
	for name, tc := range map[string]struct {
		reason string
		arrive func(*team)
	}{
		"Together": {
			reason: "claim and Deployment come in one apply; pods that the Deployment had before are replaced by what the status says",
			arrive: func(t *team) {
				t.apply(claimOf(services) + "\n---\n" + deployment("api"))
				t.awaitReady()
				t.restartIfAsked("api")
			},
		},
		"DeploymentFirst": {
			reason: "pods that run before the claim comes get what they need by the restart that the status asks for",
			arrive: func(t *team) {
				t.apply(deployment("api"))
				if pod := t.awaitPod("api"); pod.Annotations[annotationInjection] != "" {
					t.t.Errorf("a pod that no claim names has an injection: %v", pod.Annotations)
				}
				t.connect(services)
				t.awaitReady()
				t.restart("api")
			},
		},
		"ClaimFirst": {
			reason: "pods that come after the claim need nobody's help",
			arrive: func(t *team) {
				t.connect(services)
				t.awaitReady()
				t.awaitNote("api", "WorkloadNotFound", `Deployment "api" does not exist`)
				t.apply(deployment("api"))
				t.awaitConnected("api", "shop-api")
				t.awaitNoRestart("api")
			},
		},
		"OwnServiceAccount": {
			reason: "a Deployment that comes with a ServiceAccount of its own keeps it, until the claim names that",
			arrive: func(t *team) {
				t.connect(services)
				t.awaitReady()
				t.apply(serviceAccount("own") + "\n---\n" + deploymentAs("api", "own"))
				t.awaitMessage("api", claim.TypeAWSRole, "ServiceAccountInUse", says("set services[api].serviceAccountName: own"))
				if pod := t.awaitPod("api"); pod.Spec.ServiceAccountName != "own" || pod.Annotations[annotationInjection] != "" {
					t.t.Errorf("the pod runs as %q with annotations %v, want own and no injection", pod.Spec.ServiceAccountName, pod.Annotations)
				}
				t.awaitNoRestart("api")
				t.connect(`
- name: api
  serviceAccountName: own
  connections:
  - {type: awsRole, role: my-app-s3-access}
`)
				t.awaitReady()
				t.restart("api")
				t.awaitConnected("api", "own")
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(tm *team) {
				tc.arrive(tm)
				sa := "shop-api"
				if name == "OwnServiceAccount" {
					sa = "own"
				}
				tm.awaitConnected("api", sa)
				tm.awaitNoRestart("api")
				if tm.t.Failed() {
					tm.t.Log(tc.reason)
				}
			})
		})
	}
}

// TestArrivalOfCloud holds that a cloud that answers late delays only what rests
// on its answers.
func TestArrivalOfCloud(t *testing.T) {
	t.Parallel()
	alone(t, func(tm *team) {
		tm.cloud.Hold("PodIdentityAssociation")
		tm.cloud.Hold("UserAssignedIdentity")
		tm.apply(claimOf(`
- name: api
  connections:
  - {type: awsRole, role: my-app-s3-access}
`) + "\n---\n" + deployment("api"))
		tm.awaitReason("api", claim.TypeAWSRole, "Creating")
		// Pods wait in their SDK for the association, and need no restart for it.
		tm.restartIfAsked("api")
		pod := tm.awaitConnected("api", "shop-api")
		tm.cloud.Release("PodIdentityAssociation")
		tm.awaitReady()
		tm.awaitNoRestart("api")
		if now := tm.awaitConnected("api", "shop-api"); now.UID != pod.UID {
			tm.t.Errorf("pod %s was replaced by %s, though its injection was complete", pod.Name, now.Name)
		}
	})
}

// TestArrivalOfProvider holds that a provider that is installed late holds up
// its own connections alone, and that these then connect by themselves.
func TestArrivalOfProvider(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason       string
		away, arrive func(*team)
		message      string
		as           string
	}{
		"NotInstalled": {
			reason: "the CustomResourceDefinitions come minutes after the claim",
			away: func(t *team) {
				t.uninstall(controlplane.ProviderAWS)
			},
			arrive:  func(t *team) { t.install(controlplane.ProviderAWS) },
			as:      "ProviderNotInstalled",
			message: "iam.aws.",
		},
		"NotRunning": {
			reason: "the CustomResourceDefinitions are there, and nothing reconciles their resources yet",
			away: func(t *team) {
				if err := t.StopProviders(controlplane.ProviderAWS); err != nil {
					t.t.Fatal(err)
				}
				t.t.Cleanup(func() {
					// A test that fails must not take the provider from the next.
					if err := t.runProviders(controlplane.ProviderAWS); err != nil {
						t.t.Error(err)
					}
				})
			},
			arrive: func(t *team) {
				if err := t.runProviders(controlplane.ProviderAWS); err != nil {
					t.t.Fatal(err)
				}
			},
			as:      "Creating",
			message: "is being read",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disturb(t, func(tm *team) {
				t := tm.t
				tc.away(tm)
				tm.apply(claimOf(`
- name: api
  connections:
  - {type: awsRole, role: my-app-s3-access}
  - {type: gcpServiceAccount, serviceAccountEmail: sql-client@my-project-123456.iam.gserviceaccount.com}
`) + "\n---\n" + deployment("api"))
				tm.awaitMessage("api", claim.TypeAWSRole, tc.as, says(tc.message))
				tm.awaitReason("api", claim.TypeGCPServiceAccount, "Connected")
				tc.arrive(tm)
				tm.awaitReason("api", claim.TypeAWSRole, "Connected")
				tm.awaitReady()
				tm.restartIfAsked("api")
				tm.awaitConnected("api", "shop-api")
				if t.Failed() {
					t.Log(tc.reason)
				}
			})
		})
	}
}
