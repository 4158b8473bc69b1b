package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/cloudapi"
	"github.com/serviceconnections/function-service-connections/test/e2e/cloud"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/e2e/door"
	"github.com/serviceconnections/function-service-connections/test/e2e/node"
	"github.com/serviceconnections/function-service-connections/test/e2e/webhook"
)

// clients of the clouds, each an image with a program of test/clients.
var clients = []string{"aws", "azure", "disk", "google", "postgres"}

func clientImage(name string) string { return "clients.example.org/" + name + ":1" }

// openDoors of the cluster's cloud, and make the node whose pods come to them.
func (c *cluster) openDoors(ctx context.Context) error {
	h, err := rest.HTTPClientFor(c.Config)
	if err != nil {
		return fmt.Errorf("cannot make client: %w", err)
	}
	c.doors, err = door.Open(ctx, c.cloud, door.Cluster{
		Name: "one", Region: "eu-west-1", Issuer: issuer, KeysURL: c.Config.Host + "/openid/v1/jwks", Client: h,
	}, c.Dir)
	if err != nil {
		return err
	}
	c.node = &node.Node{Client: c.Client, Dir: filepath.Join(c.Dir, "node"), Programs: map[string]string{}, Network: c.doors.Network()}
	c.node.Programs[proxyImage] = filepath.Join(c.Root, ".cache", "bin", "cloud-sql-proxy")
	for _, name := range clients {
		c.node.Programs[clientImage(name)] = filepath.Join(c.Root, ".cache", "bin", "clients", name)
	}
	return nil
}

// An outcome that a client prints (test/clients/attempt).
type outcome struct {
	Identity string `json:"identity"`
	Tries    int    `json:"tries"`
	Millis   int64  `json:"millis"`
}

// clientPod that a team writes, with one of the clients and its arguments.
func clientPod(name, program string, args ...string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers:    []corev1.Container{{Name: "main", Image: clientImage(program), Args: args}},
		},
	}
}

// clientOf a service: a pod with one of the clients, which its Deployment would make.
func clientOf(service, program string, args ...string) *corev1.Pod {
	pod := clientPod(service+"-"+program, program, args...)
	pod.Labels = map[string]string{labelClaim: "shop", labelService: service}
	return pod
}

// admit a pod, as the API server lets it in.
func (t *team) admit(pod *corev1.Pod) *corev1.Pod {
	t.t.Helper()
	pod.Namespace = t.namespace
	if err := t.Client.Create(t.t.Context(), pod); err != nil {
		t.t.Fatal(err)
	}
	return pod
}

// run a pod that was let in, and return what its container has come to.
func (t *team) run(pod *corev1.Pod) node.Result {
	t.t.Helper()
	results, err := t.node.Run(t.t.Context(), pod)
	if err != nil {
		t.t.Fatalf("%v\n%s", err, view(pod))
	}
	return results["main"]
}

// outcome that a client has printed.
func (t *team) outcome(r node.Result) outcome {
	t.t.Helper()
	var o outcome
	if err := json.Unmarshal([]byte(r.Output), &o); err != nil {
		t.t.Errorf("%v: %s", err, r.Output)
	}
	return o
}

// wantLogin of a pod, as an identity by its pattern.
func (t *team) wantLogin(pod *corev1.Pod, identity string) {
	t.t.Helper()
	r := t.run(pod)
	if r.Code != 0 {
		t.t.Fatalf("the client ends with %d, want a login: %s\n%s", r.Code, r.Errors, view(pod))
	}
	o := t.outcome(r)
	if !regexp.MustCompile(identity).MatchString(o.Identity) {
		t.t.Errorf("the client is logged in as %q, want %s", o.Identity, identity)
	}
	// In the form of a table's row.
	t.t.Logf("| login | %s | %s | %s | %.1f s | %.2f s |", t.t.Name(), pod.Name, o.Identity, time.Since(t.connected).Seconds(), float64(o.Millis)/1000)
}

// wantNoLogin of a pod: its client fails, and says why.
func (t *team) wantNoLogin(pod *corev1.Pod, why string) {
	t.t.Helper()
	if r := t.run(pod); r.Code == 0 || !strings.Contains(r.Errors, why) {
		t.t.Errorf("the client ends with %d and says %s%s; want an error with %q\n%s", r.Code, r.Output, r.Errors, why, view(pod))
	}
}

// awsAccount of the tests' cloud.
const awsAccount = cloud.AccountID

// podSession of a role, as pods have it by EKS Pod Identity, by a pattern.
func podSession(account, role string) string {
	return "^arn:aws:sts::" + account + ":assumed-role/" + role + "/eks-one-api-aws(-[a-z]+)?-[0-9a-f]+$"
}

// TestAWSClient goes all the way by EKS Pod Identity: from the claim to the SDK in a
// process with the pod's environment and token, which asks AWS who it is.
func TestAWSClient(t *testing.T) {
	t.Parallel()
	long(t)
	const other = "210987654321"
	for name, tc := range map[string]struct {
		reason     string
		connection string
		prepare    func(*team)
		want       string
	}{
		"Role": {
			reason:     "the usual case",
			connection: "role: my-app-s3-access",
			want:       podSession(awsAccount, "my-app-s3-access"),
		},
		"RoleWithPath": {
			reason:     "the association has the path that the cloud has told",
			connection: "role: my-app-other",
			want:       podSession(awsAccount, "my-app-other"),
		},
		"CreatedRole": {
			reason:     "the composed trust policy lets this ServiceAccount in, and by its tags nobody else",
			connection: "role: uploads, create: {" + readsBuckets + "}",
			want:       podSession(awsAccount, "sc-one-.*-uploads-[0-9a-f]+"),
		},
		"TargetRole": {
			reason:     "EKS chains the role into another account's",
			connection: "role: my-app-s3-access, targetRoleArn: 'arn:aws:iam::" + other + ":role/my-app-target'",
			prepare: func(t *team) {
				t.cloud.AddForeignRole("arn:aws:iam::"+other+":role/my-app-target", `{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+awsAccount+`:role/my-app-s3-access"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`)
			},
			want: podSession(other, "my-app-target"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachMode(t, func(team *team) {
				if tc.prepare != nil {
					tc.prepare(team)
				}
				team.connect("- name: api\n  connections: [{type: awsRole, " + tc.connection + "}]")
				team.awaitReady()
				team.awaitInjecting("shop", "api")
				team.wantLogin(team.admit(clientOf("api", "aws")), tc.want)
				if team.t.Failed() {
					team.t.Log(tc.reason)
				}
			})
		})
	}
}

// TestAWSClientWithWebhook: EKS's webhook gives pods what the injection gives them, before
// it or after it. Either way a pod has each of it once, and logs in.
func TestAWSClientWithWebhook(t *testing.T) {
	t.Parallel()
	long(t)
	eachMode(t, func(team *team) {
		team.connect("- name: api\n  connections: [{type: awsRole, role: my-app-s3-access}]")
		team.awaitReady()
		team.awaitInjecting("shop", "api")
		eks := webhook.EKS("eu-west-1")
		want := slices.Sorted(slices.Values(lines(view(team.admit(clientOf("api", "aws"))))))
		before := clientOf("api", "aws")
		before.Name += "-before"
		eks.Mutate(before, nil)
		team.admit(before)
		// It is called for each pod of the namespace, and then the policy once more.
		called := team.withWebhook(eks)
		after := clientOf("api", "aws")
		after.Name += "-after"
		team.eventually("the webhook is called", func(ctx context.Context) error {
			try := after.DeepCopy()
			try.Namespace = team.namespace
			if err := team.Client.Create(ctx, try, client.DryRunAll); err != nil {
				return err
			}
			if called.Load() == 0 {
				return fmt.Errorf("it isn't yet")
			}
			return nil
		})
		team.admit(after)
		for _, pod := range []*corev1.Pod{before, after} {
			if diff := cmp.Diff(want, slices.Sorted(slices.Values(lines(view(pod))))); diff != "" {
				team.t.Errorf("pod %s: -injected by the policy alone +with the webhook:\n%s", pod.Name, diff)
			}
			team.wantInjected(pod, "shop", "api")
			team.wantLogin(pod, podSession(awsAccount, "my-app-s3-access"))
		}
	})
}

// TestEarlyPods start before there is anything to log in to. Each logs in as soon as its
// grant is there, with nothing restarted; until then the status says what is missing.
func TestEarlyPods(t *testing.T) {
	t.Parallel()
	long(t)
	const email = "other-client@" + project + ".iam.gserviceaccount.com"
	alone(t, func(team *team) {
		grants := map[string]struct {
			action string
			typ    claim.ConnectionType
			says   string
			there  func() bool
		}{
			"aws": {cloudapi.CreatePodIdentityAssociation, claim.TypeAWSRole, "AccessDeniedException", func() bool {
				_, ok := team.cloud.AssociationOf("one", team.namespace, "shop-api")
				return ok
			}},
			"azure": {cloudapi.WriteCredential, claim.TypeAzureManagedIdentity, "does not have authorization", func() bool {
				_, credentials, _ := team.cloud.IdentityOf(team.cloud.ClientIDOf(armID("shop")))
				return slices.ContainsFunc(credentials, func(c cloudapi.Credential) bool {
					return c.Subject == "system:serviceaccount:"+team.namespace+":shop-api"
				})
			}},
			"google": {cloudapi.SetIAMPolicy, claim.TypeGCPServiceAccount, "Permission 'iam.serviceAccounts.setIamPolicy' denied", func() bool {
				return team.cloud.IsMember(email, "roles/iam.workloadIdentityUser", fmt.Sprintf("serviceAccount:%s.svc.id.goog[%s/shop-api]", project, team.namespace))
			}},
		}
		for _, g := range grants {
			team.cloud.Deny(g.action)
			team.t.Cleanup(func() { team.cloud.Allow(g.action) })
		}
		team.connect(`
- name: api
  connections:
  - {type: awsRole, role: my-app-s3-access}
  - {type: azureManagedIdentity, identityName: shop, resourceGroup: rg-shop}
  - {type: gcpServiceAccount, serviceAccountEmail: ` + email + `}`)
		for _, g := range grants {
			team.awaitMessage("api", g.typ, "ProviderError", says(g.says))
		}
		team.awaitInjecting("shop", "api")
		team.withAzureWebhook("api")

		type login struct {
			client string
			at     time.Time
			node.Result
		}
		done := make(chan login, len(grants))
		for client := range grants {
			pod := team.admit(clientOf("api", client, "-within=2m"))
			on := team.onGKE(pod).node
			go func() {
				r, err := on.Run(team.t.Context(), pod)
				if err != nil {
					team.t.Error(err)
				}
				done <- login{client, time.Now(), r["main"]}
			}()
		}
		team.eventually("each pod is refused", func(context.Context) error {
			for client := range grants {
				if team.doors.Refusals(client, team.namespace, "shop-api") == 0 {
					return fmt.Errorf("%s hasn't tried yet", client)
				}
			}
			return nil
		})
		for _, g := range grants {
			team.cloud.Allow(g.action)
		}
		granted := map[string]time.Time{}
		team.eventually("everything is granted", func(context.Context) error {
			for client, g := range grants {
				if granted[client].IsZero() && g.there() {
					granted[client] = time.Now()
				}
			}
			if len(granted) < len(grants) {
				return fmt.Errorf("only %v is", granted)
			}
			return nil
		})
		for range grants {
			l := <-done
			if l.Code != 0 {
				team.t.Errorf("%s ends with %d: %s", l.client, l.Code, l.Errors)
				continue
			}
			o := team.outcome(l.Result)
			team.t.Logf("%s logged in as %s with try %d, %d ms after its grant was there", l.client, o.Identity, o.Tries, l.at.Sub(granted[l.client]).Milliseconds())
		}
		team.awaitReady()
	})
}

// TestClientsRevoked: what the settings take back is gone for whoever logs in from then
// on. A session that somebody has keeps until it ends, since no cloud asks again.
func TestClientsRevoked(t *testing.T) {
	t.Parallel()
	long(t)
	alone(t, func(team *team) {
		identity := "id-" + team.namespace
		team.cloud.AddIdentity(armID(identity), tenantID)
		email := "other-client@" + project + ".iam.gserviceaccount.com"
		team.connect(`
- name: api
  connections:
  - {type: awsRole, role: my-app-s3-access}
  - {type: azureManagedIdentity, identityName: ` + identity + `, resourceGroup: rg-shop}
  - {type: gcpServiceAccount, serviceAccountEmail: ` + email + `}`)
		team.awaitReady()
		team.awaitInjecting("shop", "api")
		team.withAzureWebhook("api")
		cases := map[string]struct {
			typ               claim.ConnectionType
			identity, refusal string
		}{
			"aws":   {typ: claim.TypeAWSRole, identity: podSession(awsAccount, "my-app-s3-access"), refusal: "ResourceNotFoundException"},
			"azure": {typ: claim.TypeAzureManagedIdentity, identity: "^" + team.cloud.ClientIDOf(armID(identity)) + "$", refusal: "AADSTS70025"},
			// Its ServiceAccount says no more whom it acts as, so GKE makes it nobody but itself.
			"google": {typ: claim.TypeGCPServiceAccount, identity: "^" + email + "$"},
		}
		pods := map[string]*corev1.Pod{}
		for client, tc := range cases {
			pods[client] = team.admit(clientOf("api", client))
			team.onGKE(pods[client]).wantLogin(pods[client], tc.identity)
		}
		staying := team.stay(slices.Sorted(maps.Keys(cases))...)
		nobody := []any{"someone"}
		team.changeSettings(func(data map[string]any) {
			section(data, "aws")["allowedRoles"] = []any{map[string]any{"pattern": "my-app-*", "namespaces": nobody}}
			section(data, "azure")["allowedIdentities"] = []any{map[string]any{"resourceGroup": "rg-*", "identity": "*", "namespaces": nobody}}
			section(data, "gcp")["serviceAccounts"] = []any{map[string]any{"name": "other-client", "namespaces": nobody}}
		})
		for _, tc := range cases {
			team.awaitReason("api", tc.typ, "NotAllowed")
		}
		team.awaitContents("nothing")
		// Their containers start again, with all that the pods were made with.
		for client, tc := range cases {
			if tc.refusal == "" {
				team.onGKE(pods[client]).wantLogin(pods[client], `^serviceAccount:`+project+`\.svc\.id\.goog\[`+team.namespace+`/shop-api\]$`)
				continue
			}
			team.onGKE(pods[client]).wantNoLogin(pods[client], tc.refusal)
		}
		// Those that run go on, by the sessions that they have.
		for client, end := range staying {
			if r := end(); r.Code != 0 || !regexp.MustCompile(cases[client].identity).MatchString(team.outcome(r).Identity) {
				team.t.Errorf("%s, which was logged in before, ends with %d: %s%s", client, r.Code, r.Output, r.Errors)
			}
		}
	})
}

// stay lets pods of the service api, one for each client, log in and go on asking who they
// are. Each is ended by its function, which returns what has come of it.
func (t *team) stay(programs ...string) map[string]func() node.Result {
	t.t.Helper()
	ends := map[string]func() node.Result{}
	folders := make([]string, 0, len(programs))
	for _, program := range programs {
		folder, done := t.t.TempDir(), make(chan node.Result, 1)
		folders = append(folders, folder)
		pod := clientOf("api", program, "-stay="+folder)
		pod.Name += "-stays"
		t.admit(pod)
		on := t.onGKE(pod).node
		go func() {
			results, err := on.Run(t.t.Context(), pod)
			if err != nil {
				t.t.Error(err)
			}
			done <- results["main"]
		}()
		ends[program] = func() node.Result {
			if err := os.WriteFile(filepath.Join(folder, "end"), nil, 0o600); err != nil {
				t.t.Fatal(err)
			}
			return <-done
		}
	}
	t.eventually("those that stay are logged in", func(context.Context) error {
		for _, folder := range folders {
			if _, err := os.Stat(filepath.Join(folder, "identity")); err != nil {
				return err
			}
		}
		return nil
	})
	return ends
}

// TestAWSClientRefused holds that nobody else gets in, and that whoever doesn't could
// have read why before.
func TestAWSClientRefused(t *testing.T) {
	t.Parallel()
	long(t)
	eachMode(t, func(team *team) {
		role := "my-app-" + team.namespace
		team.cloud.AddRole("/", role)
		team.t.Cleanup(func() { team.cloud.RemoveRole(role) })
		team.connect("- name: api\n  connections: [{type: awsRole, role: " + role + "}]")
		team.awaitReady()
		team.awaitInjecting("shop", "api")
		team.wantLogin(team.admit(clientOf("api", "aws")), podSession(awsAccount, role))

		// Others write by hand what the injection adds. Nothing keeps them from that, and
		// EKS from the rest.
		team.apply(serviceAccount("other"))
		team.wantNoLogin(team.admit(withEKS(clientPod("other", "aws"), "other")), "ResourceNotFoundException")
		wrong := withEKS(clientPod("wrong-audience", "aws"), "shop-api")
		for i := range wrong.Spec.Volumes {
			wrong.Spec.Volumes[i].Projected.Sources[0].ServiceAccountToken.Audience = "sts.amazonaws.com"
		}
		team.wantNoLogin(team.admit(wrong), "InvalidTokenException")
		neighbour := newTeamBeside(team)
		neighbour.apply(serviceAccount("shop-api"))
		neighbour.wantNoLogin(neighbour.admit(withEKS(clientPod("neighbour", "aws"), "shop-api")), "ResourceNotFoundException")
		late := team.inADay()
		late.wantNoLogin(late.admit(withEKS(clientPod("late", "aws"), "shop-api")), "token is expired")

		// A role that no longer lets EKS in: the status says so, and then pods read it.
		for reason, statement := range map[string]string{
			"TrustMissingPrincipal":  `"Principal":{"Service":"ec2.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]`,
			"TrustMissingTagSession": `"Principal":{"Service":"pods.eks.amazonaws.com"},"Action":"sts:AssumeRole"`,
			"TrustSubjectMismatch":   `"Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"someone"}}`,
		} {
			team.cloud.SetTrust(role, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",`+statement+`}]}`)
			team.awaitReason("api", claim.TypeAWSRole, reason)
			pod := clientOf("api", "aws")
			pod.Name = strings.ToLower(reason)
			team.wantNoLogin(team.admit(pod), "AccessDeniedException")
		}
	})
}

// withEKS adds to a pod of a ServiceAccount what EKS's webhook adds.
func withEKS(pod *corev1.Pod, serviceAccount string) *corev1.Pod {
	pod.Spec.ServiceAccountName = serviceAccount
	webhook.EKS("eu-west-1").Mutate(pod, nil)
	return pod
}

// newTeamBeside another one, in its cluster.
func newTeamBeside(of *team) *team {
	of.t.Helper()
	return &team{cluster: of.cluster, t: of.t, namespace: newNamespace(of.t, of.cluster, ""), deadline: deadline}
}

// inADay is the same team, whose pods come to doors at which it is a day later, as
// tokens take it that nobody has renewed.
func (t *team) inADay() *team {
	t.t.Helper()
	c := &cluster{ControlPlane: t.ControlPlane, mode: t.mode, cloud: t.cloud}
	if err := c.openDoors(t.t.Context()); err != nil {
		t.t.Fatal(err)
	}
	t.t.Cleanup(c.doors.Close)
	c.doors.SetAhead(25 * time.Hour)
	return &team{cluster: c, t: t.t, namespace: t.namespace, deadline: t.deadline, connected: t.connected}
}

// TestClientOfAnotherCluster has the same names, the same ServiceAccount, and even the
// same issuer, but not its keys: no cloud lets it in.
func TestClientOfAnotherCluster(t *testing.T) {
	t.Parallel()
	long(t)
	ours := newTeam(t, controlplane.Namespaced)
	theirs := newTeam(t, controlplane.Claims)
	theirs.namespace = newNamespace(t, theirs.cluster, ours.namespace)
	ours.connect(`
- name: api
  connections:
  - {type: awsRole, role: my-app-s3-access}
  - {type: azureManagedIdentity, identityName: shop, resourceGroup: rg-shop}`)
	ours.awaitReady()
	theirs.apply(serviceAccount("shop-api"))
	theirs.cluster = &cluster{ControlPlane: theirs.ControlPlane, node: &node.Node{
		Client: theirs.Client, Dir: theirs.node.Dir, Programs: theirs.node.Programs, Network: ours.doors.Network(),
	}}
	theirs.wantNoLogin(theirs.admit(withEKS(clientPod("aws", "aws"), "shop-api")), "InvalidTokenException")
	identity, _, _ := unstructured.NestedString(ours.the("UserAssignedIdentity").Object, "status", "atProvider", "clientId")
	pod := clientPod("azure", "azure")
	pod.Spec.ServiceAccountName = "shop-api"
	webhook.Azure(tenantID).Mutate(pod, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"azure.workload.identity/client-id": identity}}})
	theirs.wantNoLogin(theirs.admit(pod), "AADSTS50027")
}
