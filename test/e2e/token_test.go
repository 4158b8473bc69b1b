package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// issuer that the settings name, which is the API server's own.
const issuer = controlplane.Issuer

// identity is what a cloud compares of a token.
type identity struct {
	Issuer, Subject string
	Audience        []string
}

// token of a ServiceAccount as the API server signs it for an audience.
func (t *team) token(serviceAccount, audience string) identity {
	t.t.Helper()
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: serviceAccount, Namespace: t.namespace}}
	req := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}}}
	if err := t.Client.SubResource("token").Create(t.t.Context(), sa, req); err != nil {
		t.t.Fatal(err)
	}
	parts := strings.Split(req.Status.Token, ".")
	if len(parts) != 3 {
		t.t.Fatalf("not a JSON Web Token: %d parts", len(parts))
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.t.Fatal(err)
	}
	c := struct {
		Issuer   string   `json:"iss"`
		Subject  string   `json:"sub"`
		Audience []string `json:"aud"`
	}{}
	if err := json.Unmarshal(b, &c); err != nil {
		t.t.Fatal(err)
	}
	return identity(c)
}

// wantTokenOfPod checks the token in an injected volume of the pod of a workload
// against the issuer that the cloud trusts, and the pod's ServiceAccount.
func (t *team) wantTokenOfPod(app, volume string) identity {
	t.t.Helper()
	pod := &t.awaitPods(app, 1)[0]
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.Name != volume {
			continue
		}
		audience := v.Projected.Sources[0].ServiceAccountToken.Audience
		got := t.token(pod.Spec.ServiceAccountName, audience)
		want := identity{issuer, fmt.Sprintf("system:serviceaccount:%s:%s", t.namespace, pod.Spec.ServiceAccountName), []string{audience}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.t.Errorf("token in %s: -want +got:\n%s", volume, diff)
		}
		return got
	}
	t.t.Fatalf("pod %s has no volume %s:\n%s", pod.Name, volume, view(pod))
	return identity{}
}

// granted object of a kind that the team's claim has composed, one alone.
func (t *team) granted(group, version, kind string) *unstructured.Unstructured {
	t.t.Helper()
	objects := &unstructured.UnstructuredList{}
	selector := []client.ListOption{client.InNamespace(t.namespace)}
	if t.mode == controlplane.Claims {
		group = strings.Replace(group, ".m.", ".", 1)
		selector = []client.ListOption{client.MatchingLabels{"crossplane.io/claim-namespace": t.namespace}}
	}
	objects.SetAPIVersion(group + "/" + version)
	objects.SetKind(kind + "List")
	if err := t.Client.List(t.t.Context(), objects, selector...); err != nil {
		t.t.Fatal(err)
	}
	if len(objects.Items) != 1 {
		t.t.Fatalf("%d objects of kind %s, want 1", len(objects.Items), kind)
	}
	return &objects.Items[0]
}

// TestToken compares what the API server signs with what the clouds are told to
// trust: a difference of one letter is a pod that can't log in.
func TestToken(t *testing.T) {
	t.Parallel()
	eachMode(t, func(team *team) {
		team.connect(`
- name: api
  connections:
  - {type: awsRole, role: my-app-s3-access}
  - {type: azureManagedIdentity, identityName: shop, resourceGroup: rg-shop}
  - {type: gcpServiceAccount, serviceAccountEmail: sql-client@my-project-123456.iam.gserviceaccount.com}`)
		team.awaitReady()
		team.awaitInjecting("shop", "api")
		team.apply(deployment("api"))

		// EKS tells the ServiceAccount by the subject, and the cluster by itself.
		got := team.wantTokenOfPod("api", "eks-pod-identity-token")
		association := team.granted("eks.aws.m.upbound.io", "v1beta1", "PodIdentityAssociation")
		if want := "system:serviceaccount:" + field(association, "namespace") + ":" + field(association, "serviceAccount"); got.Subject != want {
			team.t.Errorf("the token's subject is %q, and the association is for %q", got.Subject, want)
		}

		// AKS's webhook projects a token for the audience that the credential
		// names.
		credential := team.granted("managedidentity.azure.m.upbound.io", "v1beta1", "FederatedIdentityCredential")
		audiences, _, _ := unstructured.NestedStringSlice(credential.Object, "spec", "forProvider", "audience")
		want := identity{field(credential, "issuer"), field(credential, "subject"), audiences}
		if diff := cmp.Diff(want, team.token("shop-api", "api://AzureADTokenExchange")); diff != "" {
			team.t.Errorf("-credential +token:\n%s", diff)
		}

		// GKE's pool tells it by namespace and name.
		version := "v1beta1"
		if team.mode == controlplane.Claims {
			version = "v1beta2"
		}
		member := team.granted("cloudplatform.gcp.m.upbound.io", version, "ServiceAccountIAMMember")
		if want := fmt.Sprintf("serviceAccount:my-project-123456.svc.id.goog[%s/shop-api]", team.namespace); field(member, "member") != want {
			team.t.Errorf("the member is %q, want %q", field(member, "member"), want)
		}
	})
}

// field in spec.forProvider of a managed resource.
func field(u *unstructured.Unstructured, name string) string {
	s, _, _ := unstructured.NestedString(u.Object, "spec", "forProvider", name)
	return s
}
