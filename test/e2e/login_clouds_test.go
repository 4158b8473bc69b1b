package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/e2e/door"
	"github.com/serviceconnections/function-service-connections/test/e2e/webhook"
)

// TestIRSAClient goes all the way by IAM roles for service accounts: to the SDK that
// exchanges its token with STS, by the regional endpoint, as the injection asks for it.
func TestIRSAClient(t *testing.T) {
	t.Parallel()
	long(t)
	alone(t, func(team *team) {
		if err := team.ApplyYAML(team.t.Context(), irsaSettings()); err != nil {
			team.t.Fatal(err)
		}
		role := "my-app-" + team.namespace
		team.cloud.AddRole("/apps/", role)
		team.t.Cleanup(func() { team.cloud.RemoveRole(role) })
		subject := "system:serviceaccount:" + team.namespace + ":shop-api"
		team.cloud.SetTrust(role, trustsSubject(subject))
		team.connect("- name: api\n  connections: [{type: awsRole, role: " + role + "}]")
		team.awaitReady()
		team.awaitInjecting("shop", "api")
		pod := func(name string) *corev1.Pod {
			p := clientOf("api", "aws")
			p.Name = strings.ToLower(name)
			return team.admit(p)
		}
		team.wantLogin(pod("trusted"), "^arn:aws:sts::"+awsAccount+":assumed-role/"+role+"/")
		late := team.inADay()
		late.wantNoLogin(pod("late"), "ExpiredToken")

		// Others write by hand what the injection adds, another ServiceAccount, and one of
		// the same name in another namespace; and this one has a token for somebody else.
		arn := "arn:aws:iam::" + awsAccount + ":role/apps/" + role
		const audience = "sts.amazonaws.com"
		team.apply(serviceAccount("other"))
		team.wantNoLogin(team.admit(withIRSA(clientPod("other", "aws"), "other", arn, audience)), "AccessDenied")
		neighbour := newTeamBeside(team)
		neighbour.apply(serviceAccount("shop-api"))
		neighbour.wantNoLogin(neighbour.admit(withIRSA(clientPod("neighbour", "aws"), "shop-api", arn, audience)), "AccessDenied")
		team.wantLogin(team.admit(withIRSA(clientPod("by-hand", "aws"), "shop-api", arn, audience)), "^arn:aws:sts::"+awsAccount+":assumed-role/"+role+"/")
		team.wantNoLogin(team.admit(withIRSA(clientPod("wrong-audience", "aws"), "shop-api", arn, "pods.eks.amazonaws.com")), "Incorrect token audience")

		// Whatever is wrong with the trust policy, the status says it first.
		provider := strings.TrimPrefix(issuer, "https://")
		for reason, tc := range map[string]struct{ trust, says string }{
			"TrustSubjectMismatch":  {trustsSubject("system:serviceaccount:someone:shop-api"), "Not authorized to perform sts:AssumeRoleWithWebIdentity"},
			"TrustWrongIssuer":      {strings.ReplaceAll(trustsSubject(subject), provider, "oidc.example.org/other"), "Not authorized to perform sts:AssumeRoleWithWebIdentity"},
			"TrustAudienceMismatch": {strings.ReplaceAll(trustsSubject(subject), "sts.amazonaws.com", "sts.example.org"), "Not authorized to perform sts:AssumeRoleWithWebIdentity"},
		} {
			team.cloud.SetTrust(role, tc.trust)
			team.awaitReason("api", claim.TypeAWSRole, reason)
			team.wantNoLogin(pod(reason), tc.says)
		}
	})
}

// withIRSA adds to a pod of a ServiceAccount what a pod has for a role by IAM roles for
// service accounts, with a token for an audience.
func withIRSA(pod *corev1.Pod, serviceAccount, role, audience string) *corev1.Pod {
	const volume, mount = "token", "/var/run/token"
	pod.Spec.ServiceAccountName = serviceAccount
	pod.Spec.Volumes = []corev1.Volume{{Name: volume, VolumeSource: corev1.VolumeSource{
		Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
			ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: audience, Path: volume},
		}}},
	}}}
	main := &pod.Spec.Containers[0]
	main.VolumeMounts = []corev1.VolumeMount{{Name: volume, MountPath: mount, ReadOnly: true}}
	main.Env = []corev1.EnvVar{
		{Name: "AWS_REGION", Value: "eu-west-1"},
		{Name: "AWS_ROLE_ARN", Value: role},
		{Name: "AWS_WEB_IDENTITY_TOKEN_FILE", Value: mount + "/" + volume},
	}
	return pod
}

// withWebhook of a cloud for the team's pods, and count its calls.
func (t *team) withWebhook(w webhook.Webhook) *atomic.Int64 {
	t.t.Helper()
	calls, mutate := &atomic.Int64{}, w.Mutate
	w.Name += "-" + t.namespace
	w.Mutate = func(pod *corev1.Pod, sa *corev1.ServiceAccount) {
		calls.Add(1)
		mutate(pod, sa)
	}
	stop, err := webhook.Serve(t.t.Context(), t.Client, w)
	if err != nil {
		t.t.Fatal(err)
	}
	t.t.Cleanup(stop)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: t.namespace}}
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, webhook.Label, w.Name))
	if err := t.Client.Patch(t.t.Context(), ns, patch); err != nil {
		t.t.Fatal(err)
	}
	return calls
}

// withAzureWebhook, and wait until the API server calls it, which reads of it by a watch.
// A service's pods have their variables then.
func (t *team) withAzureWebhook(service string) {
	t.t.Helper()
	t.withWebhook(webhook.Azure(tenantID))
	t.awaitAzureVariables(service)
}

// awaitAzureVariables of a service's pods.
func (t *team) awaitAzureVariables(service string) {
	t.t.Helper()
	t.eventually("AKS's webhook gives its variables", func(ctx context.Context) error {
		pod := clientOf(service, "azure")
		pod.Name, pod.Namespace = "try", t.namespace
		if err := t.Client.Create(ctx, pod, client.DryRunAll); err != nil {
			return err
		}
		if !slices.ContainsFunc(pod.Spec.Containers[0].Env, func(e corev1.EnvVar) bool { return e.Name == "AZURE_CLIENT_ID" }) {
			return fmt.Errorf("a pod has no AZURE_CLIENT_ID")
		}
		return nil
	})
}

// TestAzureClient goes all the way to DefaultAzureCredential, in a pod that AKS's
// webhook has given its variables, by the label and the ServiceAccount's annotations of
// ours. Whoever else comes with the same variables isn't let in.
func TestAzureClient(t *testing.T) {
	t.Parallel()
	long(t)
	eachMode(t, func(team *team) {
		identity := "id-" + team.namespace
		team.cloud.AddIdentity(armID(identity), tenantID)
		team.withWebhook(webhook.Azure(tenantID))
		team.connect("- name: api\n  connections: [{type: azureManagedIdentity, identityName: " + identity + ", resourceGroup: rg-shop}]")
		team.awaitReady()
		team.awaitInjecting("shop", "api")
		team.awaitAzureVariables("api")
		clientID := team.annotations("ServiceAccount", "shop-api")["azure.workload.identity/client-id"]
		team.wantLogin(team.admit(clientOf("api", "azure")), "^"+clientID+"$")

		byHand := func(name, serviceAccount, audience string) *corev1.Pod {
			pod := clientPod(name, "azure")
			pod.Spec.ServiceAccountName = serviceAccount
			webhook.Azure(tenantID).Mutate(pod, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"azure.workload.identity/client-id": clientID}}})
			for i := range pod.Spec.Volumes {
				pod.Spec.Volumes[i].Projected.Sources[0].ServiceAccountToken.Audience = audience
			}
			return pod
		}
		const audience = "api://AzureADTokenExchange"
		team.apply(serviceAccount("other"))
		team.wantNoLogin(team.admit(byHand("other", "other", audience)), "AADSTS700213")
		team.wantNoLogin(team.admit(byHand("wrong-audience", "shop-api", "sts.amazonaws.com")), "AADSTS700212")
		neighbour := newTeamBeside(team)
		neighbour.apply(serviceAccount("shop-api"))
		neighbour.wantNoLogin(neighbour.admit(byHand("neighbour", "shop-api", audience)), "AADSTS700213")
		late := team.inADay()
		late.wantNoLogin(late.admit(byHand("late", "shop-api", audience)), "AADSTS700024")
	})
}

// TestAzureClientWithWebhook: AKS's webhook gives its variables before the policy, after
// it, or both, by what the team has written itself or by what the policy adds. Either way
// a pod has each of them once, and logs in.
func TestAzureClientWithWebhook(t *testing.T) {
	t.Parallel()
	long(t)
	eachMode(t, func(team *team) {
		identity := "id-" + team.namespace
		team.cloud.AddIdentity(armID(identity), tenantID)
		team.connect("- name: api\n  connections: [{type: azureManagedIdentity, identityName: " + identity + ", resourceGroup: rg-shop}]")
		team.awaitReady()
		team.awaitInjecting("shop", "api")
		aks, clientID := webhook.Azure(tenantID), team.annotations("ServiceAccount", "shop-api")["azure.workload.identity/client-id"]
		byTeam := func(name string) *corev1.Pod {
			pod := clientOf("api", "azure")
			pod.Name += name
			pod.Labels["azure.workload.identity/use"], pod.Spec.ServiceAccountName = "true", "shop-api"
			aks.Mutate(pod, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"azure.workload.identity/client-id": clientID}}})
			return pod
		}
		before := team.admit(byTeam("-before"))
		team.withAzureWebhook("api")
		after := team.admit(clientOf("api", "azure"))
		// The webhook has seen this one with the namespace's default ServiceAccount, which
		// says no client id. It sees it once more with ours.
		partly := clientOf("api", "azure")
		partly.Name += "-partly"
		partly.Labels["azure.workload.identity/use"] = "true"
		aks.Mutate(partly, &corev1.ServiceAccount{})
		want := slices.Sorted(slices.Values(lines(view(after))))
		for _, pod := range []*corev1.Pod{before, after, team.admit(byTeam("-twice")), team.admit(partly)} {
			if diff := cmp.Diff(want, slices.Sorted(slices.Values(lines(view(pod))))); diff != "" {
				team.t.Errorf("pod %s: -with the webhook after the policy +otherwise:\n%s", pod.Name, diff)
			}
			team.wantInjected(pod, "shop", "api")
			team.wantLogin(pod, "^"+clientID+"$")
		}
	})
}

// TestAzureClientOfFullIdentity: an identity has twenty credentials, and whoever would
// be the next reads so in the status, before Microsoft Entra refuses the pod.
func TestAzureClientOfFullIdentity(t *testing.T) {
	t.Parallel()
	long(t)
	eachMode(t, func(team *team) {
		identity := "id-" + team.namespace
		team.cloud.AddIdentity(armID(identity), tenantID)
		for n := range 20 {
			team.cloud.AddCredential(armID(identity), fmt.Sprintf("by-hand-%d", n), issuer, fmt.Sprintf("system:serviceaccount:other:by-hand-%d", n))
		}
		team.connect("- name: api\n  connections: [{type: azureManagedIdentity, identityName: " + identity + ", resourceGroup: rg-shop}]")
		team.awaitReason("api", claim.TypeAzureManagedIdentity, "TooManyCredentials")
		team.awaitInjecting("shop", "api")
		team.withAzureWebhook("api")
		team.wantNoLogin(team.admit(clientOf("api", "azure")), "AADSTS700213")
	})
}

// project of the tests' settings.
const project = "my-project-123456"

// onGKE is the same team, whose pods of a ServiceAccount find GKE's metadata server.
func (t *team) onGKE(pod *corev1.Pod) *team {
	t.t.Helper()
	address, err := t.doors.ServeMetadata(t.t.Context(), door.Workload{
		Project: project,
		Account: func(ctx context.Context) (string, error) {
			sa := &corev1.ServiceAccount{}
			err := t.Client.Get(ctx, client.ObjectKey{Namespace: t.namespace, Name: pod.Spec.ServiceAccountName}, sa)
			return sa.Annotations["iam.gke.io/gcp-service-account"], err
		},
		Token: func(ctx context.Context, audience string) (string, error) { return t.node.Token(ctx, pod, audience) },
	})
	if err != nil {
		t.t.Fatal(err)
	}
	n := *t.node
	n.Network = append([]string{"GCE_METADATA_HOST=" + address}, n.Network...)
	c := &cluster{ControlPlane: t.ControlPlane, mode: t.mode, cloud: t.cloud, doors: t.doors, node: &n}
	return &team{cluster: c, t: t.t, namespace: t.namespace, deadline: t.deadline, connected: t.connected}
}

// TestGoogleClient goes all the way to Google's default credentials, by the metadata
// server of a GKE node, which the ServiceAccount's annotation tells whom to be.
func TestGoogleClient(t *testing.T) {
	t.Parallel()
	long(t)
	eachMode(t, func(team *team) {
		const email = "other-client@" + project + ".iam.gserviceaccount.com"
		team.connect("- name: api\n  connections: [{type: gcpServiceAccount, serviceAccountEmail: " + email + "}]")
		team.awaitReady()
		team.awaitInjecting("shop", "api")
		pod := team.admit(clientOf("api", "google"))
		team.onGKE(pod).wantLogin(pod, "^"+email+"$")

		// Another ServiceAccount that says of itself to be that Google service account.
		team.apply(serviceAccount("other"))
		team.annotate("ServiceAccount", "other", "iam.gke.io/gcp-service-account", email)
		other := clientPod("other", "google")
		other.Spec.ServiceAccountName = "other"
		team.admit(other)
		team.onGKE(other).wantNoLogin(other, "iam.serviceAccounts.getAccessToken")

		// The same of another namespace.
		neighbour := newTeamBeside(team)
		neighbour.apply(serviceAccount("shop-api"))
		neighbour.annotate("ServiceAccount", "shop-api", "iam.gke.io/gcp-service-account", email)
		same := clientPod("same", "google")
		same.Spec.ServiceAccountName = "shop-api"
		neighbour.admit(same)
		neighbour.onGKE(same).wantNoLogin(same, "iam.serviceAccounts.getAccessToken")
		late := clientOf("api", "google")
		late.Name = "late"
		team.admit(late)
		team.inADay().onGKE(late).wantNoLogin(late, "ID Token has expired")
	})
}

// annotate an object of the team, as somebody does by hand.
func (t *team) annotate(kind, name, key, value string) {
	t.t.Helper()
	u := t.get("v1", kind, name)
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, key, value))
	if err := t.Client.Patch(t.t.Context(), u, patch); err != nil {
		t.t.Fatal(err)
	}
}

// TestSkippedContainers holds that the clouds' webhooks, which come after the policy and
// give credentials to every container by the ServiceAccount alone, leave alone those that
// the service doesn't name, and the Cloud SQL Auth Proxy.
func TestSkippedContainers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason     string
		connection string
		webhook    webhook.Webhook
		variable   string
		volume     string
	}{
		"EKS": {
			reason:     "its containers are separated by commas",
			connection: "{type: awsRole, role: my-app-s3-access}",
			webhook:    webhook.EKS("eu-west-1"), variable: "AWS_CONTAINER_CREDENTIALS_FULL_URI", volume: "eks-pod-identity-token",
		},
		"AKS": {
			reason:     "its containers are separated by semicolons",
			connection: "{type: azureManagedIdentity, identityName: shop, resourceGroup: rg-shop}",
			webhook:    webhook.Azure(tenantID), variable: "AZURE_FEDERATED_TOKEN_FILE", volume: "azure-identity-token",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(team *team) {
				team.connect("- name: api\n  containers: [main]\n  connections:\n  - " + tc.connection + `
  - {type: cloudSql, config: {cloudSqlConnectionName: "my-project-123456:europe-west1:orders", cloudSqlDatabasePort: 5432, cloudSqlServiceAccount: sql-client}}`)
				team.awaitReady()
				team.awaitInjecting("shop", "api")
				called := team.withWebhook(tc.webhook)
				var pod *corev1.Pod
				team.eventually("the webhook is called", func(ctx context.Context) error {
					pod = clientOf("api", "aws")
					pod.Namespace = team.namespace
					pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "mesh", Image: "mesh"}, corev1.Container{Name: "logs", Image: "logs"})
					err := team.Client.Create(ctx, pod, client.DryRunAll)
					if err == nil && called.Load() == 0 {
						err = fmt.Errorf("it isn't yet")
					}
					return err
				})
				given, seen := map[string]bool{}, map[string]bool{}
				for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
					given[c.Name] = slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == tc.variable }) &&
						slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == tc.volume })
					seen[c.Name] = slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == tc.variable })
				}
				want := map[string]bool{"main": true, "mesh": false, "logs": false, "sc-cloud-sql-proxy": false}
				if diff := cmp.Diff(want, given); diff != "" {
					team.t.Errorf("%s: -want +which containers have credentials:\n%s\n%v", tc.reason, diff, pod.Annotations)
				}
				if diff := cmp.Diff(want, seen); diff != "" {
					team.t.Errorf("%s: -want +which containers have the variables:\n%s", tc.reason, diff)
				}
			})
		})
	}
}
