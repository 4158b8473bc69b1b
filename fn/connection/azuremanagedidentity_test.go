package connection

import (
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/serviceconnections/function-service-connections/fn/settings"
)

const azureSettings = `
cluster: {name: prod}
azure:
  subscriptionId: 11111111-1111-1111-1111-111111111111
  tenantId: 22222222-2222-2222-2222-222222222222
  oidcIssuer: https://oidc.example.com/1/
  allowedIdentities: [{resourceGroup: rg, identity: "api*", namespaces: [team-a]}]
`

const apiIdentity = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/api"

// An identity in another subscription, and the settings that a claim needs to use it.
const (
	inDataSubscription = `{type: azureManagedIdentity, identityName: api, resourceGroup: rg, subscriptionId: 33333333-aaaa-3333-3333-333333333333}`
	dataIdentity       = "/subscriptions/33333333-aaaa-3333-3333-333333333333/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/api"
	dataSubscription   = `subscriptions: [{subscriptionId: 33333333-AAAA-3333-3333-333333333333, providerConfigRef: {name: data}}]`
	allowsData         = `allowedIdentities: [{subscriptionId: 33333333-aaaa-3333-3333-333333333333, resourceGroup: rg, identity: api, namespaces: [team-a]}]`
)

// credentialObserved on an identity, as the provider reports it.
func credentialObserved(id string) string {
	return `{status: {atProvider: {id: "` + id + `/federatedIdentityCredentials/c"}, conditions: [{type: Synced, status: "True"}, {type: Ready, status: "True"}]}}`
}

func identityObserved(id string) string {
	return `{status: {atProvider: {id: "` + id + `", clientId: c-1}, conditions: [{type: Synced, status: "True"}, {type: Ready, status: "True"}]}}`
}

func TestAzureManagedIdentity(t *testing.T) {
	t.Parallel()

	const connection = `{type: azureManagedIdentity, identityName: api, resourceGroup: rg}`
	expandCases(t, azureSettings, map[string]expandCase{
		"Waiting": {
			reason:     "the client id is Azure's to say; nothing is published before",
			connection: connection,
			want: `
keys: [identity, credential]
identity: ` + apiIdentity + `
target: ` + strings.ToLower(apiIdentity) + `
family: azure
decision: 3
published: false
annotations: null
verdict: Creating
grants:
  identity:
    apiVersion: managedidentity.azure.m.upbound.io/v1beta1
    kind: UserAssignedIdentity
    metadata: {annotations: {crossplane.io/external-name: ` + apiIdentity + `}}
    spec: {managementPolicies: [Observe], forProvider: {}}
  credential:
    apiVersion: managedidentity.azure.m.upbound.io/v1beta1
    kind: FederatedIdentityCredential
    metadata: {annotations: {crossplane.io/external-name: team-a-shop-api-` + hash("https://oidc.example.com/1/", "system:serviceaccount:team-a:shop-api") + `}}
    spec:
      managementPolicies: [Observe, Create, Update, Delete]
      forProvider:
        audience: ["api://AzureADTokenExchange"]
        issuer: https://oidc.example.com/1/
        parentId: ` + apiIdentity + `
        resourceGroupName: rg
        subject: system:serviceaccount:team-a:shop-api
`,
		},
		"Ready": {
			reason:     "the label makes the cluster's webhook inject; the function injects nothing else",
			connection: connection,
			observed:   map[string]string{"identity": identityObserved(apiIdentity), "credential": `{status: ` + ready + `}`},
			want: `
published: true
verdict: ""
annotations: {azure.workload.identity/client-id: c-1, azure.workload.identity/tenant-id: 22222222-2222-2222-2222-222222222222}
injection: {labels: {azure.workload.identity/use: "true"}, env: null, volumes: null}
`,
		},
		"Case": {
			reason:     "Azure answers ids in a case of its own",
			connection: connection,
			observed:   map[string]string{"identity": identityObserved(strings.ToLower(apiIdentity)), "credential": `{status: ` + ready + `}`},
			want:       `{published: true, verdict: "", identity: ` + apiIdentity + `}`,
		},
		"IdentityMismatch": {
			reason:     "an identity that is another one than asked for is not granted",
			connection: connection,
			observed:   map[string]string{"identity": identityObserved(apiIdentity + "-other")},
			want:       `{keys: [identity], published: false, verdict: IdentityMismatch, message: who changed the object}`,
		},
		"IdentityNotFound": {
			reason:     "an identity that nobody made is named with its group",
			connection: connection,
			observed:   map[string]string{"identity": notThere},
			want:       `{published: false, verdict: IdentityNotFound, message: 'managed identity "api" does not exist in resource group "rg"'}`,
		},
		"ProviderError": {
			reason:     "a provider's message is cut to what can be read",
			connection: connection,
			observed: map[string]string{
				"identity":   identityObserved(apiIdentity),
				"credential": `{status: {conditions: [{type: Synced, status: "False", message: "` + strings.Repeat("x", 500) + `"}]}}`,
			},
			want: `{published: true, verdict: ProviderError, message: "` + strings.Repeat("x", 290) + `…x"}`,
		},
		"WrongTenant": {
			reason:     "a token would be asked of a tenant that doesn't know the identity",
			connection: connection,
			observed:   map[string]string{"identity": `{status: {atProvider: {id: ` + apiIdentity + `, clientId: c-1, tenantId: 99999999-9999-9999-9999-999999999999}, conditions: [{type: Synced, status: "True"}, {type: Ready, status: "True"}]}}`},
			want:       `{published: true, verdict: IdentityMismatch, message: 'is in tenant "99999999-9999-9999-9999-999999999999", and the cluster settings say tenant'}`,
		},
		"CredentialExists": {
			reason:     "somebody made a credential for the same pods by hand, which Azure takes one of",
			connection: connection,
			observed: map[string]string{
				"identity":   identityObserved(apiIdentity),
				"credential": failedCredential("409 (409 Conflict) with error: Conflict: Issuer and subject combination already exists for this Managed Identity"),
			},
			want: `{published: true, verdict: CredentialExists, message: 'subject "system:serviceaccount:team-a:shop-api"'}`,
		},
		"CredentialsWrittenAtOnce": {
			reason:     "Azure takes one write of an identity's credentials at a time, which is no reason to delete one",
			connection: connection,
			observed: map[string]string{
				"identity":   identityObserved(apiIdentity),
				"credential": failedCredential("unexpected status 409 (409 Conflict) with error: ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity: Too many Federated Identity Credentials are written concurrently for the managed identity"),
			},
			want: `{published: true, verdict: Creating, message: the provider tries again by itself}`,
		},
		"TooManyCredentials": {
			reason:     "Azure allows 20 on one identity; the error may stand beyond what a status has room for",
			connection: connection,
			observed: map[string]string{
				"identity":   identityObserved(apiIdentity),
				"credential": failedCredential(strings.Repeat("x", 300) + " Too many Federated Identity Credentials for managed identity"),
			},
			want: `{published: true, verdict: TooManyCredentials, message: 'managed identity "api" has all the federated credentials that Azure allows on one; delete one that nothing uses'}`,
		},
		"TooManyCredentialsForSuccessor": {
			reason:     "the old one stays until the new one is ready, which can't be made before the old one goes",
			connection: connection,
			context: func(c *Context) {
				old := apiCredential("old", apiIdentity)
				other := apiCredential("other", strings.ReplaceAll(apiIdentity, "/api", "/web"))
				c.Observed.Composed["shop-api.credential.0000000000"] = Composed{Object: old}
				c.Observed.Composed["shop-api.credential.1111111111"] = Composed{Object: other}
			},
			observed: map[string]string{
				"identity":   identityObserved(apiIdentity),
				"credential": failedCredential("FederatedIdentityCredentialsLimitExceeded"),
			},
			want: `{verdict: TooManyCredentials, message: 'delete "old", which the new one replaces'}`,
		},
		"Annotated": {
			reason:     "a client id that was known stays while the provider is silent",
			connection: connection,
			observed:   map[string]string{"serviceaccount": `{kind: ServiceAccount, metadata: {annotations: {azure.workload.identity/client-id: c-0}}}`},
			want:       `{published: true, annotations: {azure.workload.identity/client-id: c-0}, verdict: Creating}`,
		},
		"SubscriptionNotAllowed": {
			reason:     "an identity of another subscription is another identity, which the list doesn't have",
			settings:   `{azure: {` + dataSubscription + `}}`,
			connection: inDataSubscription,
			want:       `{identity: ` + dataIdentity + `, decision: 1}`,
		},
		"SubscriptionNotConfigured": {
			reason:     "provider-azure writes to the subscription of its ProviderConfig: to an identity of that name there, which nobody has allowed",
			settings:   `{azure: {` + allowsData + `}}`,
			connection: inDataSubscription,
			want: `{keys: [], published: false, identity: ` + dataIdentity + `, decision: 3, verdict: SubscriptionNotConfigured,
				message: 'subscription "33333333-aaaa-3333-3333-333333333333" is not in the cluster settings; correct subscriptionId, or ask the platform team to add it to azure.subscriptions with a ProviderConfig of its own'}`,
		},
		"OtherSubscription": {
			reason:     "each subscription has a ProviderConfig",
			settings:   `{azure: {` + dataSubscription + `, ` + allowsData + `}}`,
			connection: inDataSubscription,
			want: `
decision: 3
verdict: Creating
grants:
  identity: {spec: {providerConfigRef: {kind: ClusterProviderConfig, name: data}}}
  credential: {spec: {providerConfigRef: {kind: ClusterProviderConfig, name: data}, forProvider: {parentId: ` + dataIdentity + `}}}
`,
		},
		"OwnSubscriptionNamed": {
			reason:     "ids have no case",
			settings:   `{azure: {subscriptionId: AAAAAAAA-1111-1111-1111-111111111111}}`,
			connection: `{type: azureManagedIdentity, identityName: api, resourceGroup: rg, subscriptionId: aaaaaaaa-1111-1111-1111-111111111111}`,
			want:       `{decision: 3, verdict: Creating, grants: {credential: {spec: {providerConfigRef: {kind: ClusterProviderConfig, name: default}}}}}`,
		},
		"CredentialElsewhere": {
			reason:     "a ProviderConfig of another subscription than the settings say has let pods be another identity",
			connection: connection,
			observed: map[string]string{
				"identity":   identityObserved(apiIdentity),
				"credential": credentialObserved(dataIdentity),
			},
			want: `{published: true, verdict: IdentityMismatch, message: 'is on managed identity "` + dataIdentity + `", not on "` + apiIdentity + `"; ask the platform team'}`,
		},
		"USGovernment": {
			reason:     "each cloud has an audience",
			settings:   `{azure: {environment: AzureUSGovernment}}`,
			connection: connection,
			want:       `{grants: {credential: {spec: {forProvider: {audience: ["api://AzureADTokenExchangeUSGov"]}}}}}`,
		},
		"China": {
			reason:     "each cloud has an audience",
			settings:   `{azure: {environment: AzureChinaCloud}}`,
			connection: connection,
			want:       `{grants: {credential: {spec: {forProvider: {audience: ["api://AzureADTokenExchangeChina"]}}}}}`,
		},
		"NotConfigured": {
			reason:     "a cloud that the settings don't have is the platform's to add",
			settings:   `{azure: null}`,
			connection: connection,
			want:       `{keys: [], published: false, verdict: CloudNotConfigured, message: no azure section}`,
		},
		"Claim": {
			reason:     "a cluster-scoped composite resource composes the cluster-scoped kinds",
			connection: connection,
			context:    func(c *Context) { c.Claim.Namespaced = false },
			want: `
grants:
  identity:
    apiVersion: managedidentity.azure.upbound.io/v1beta1
    spec: {deletionPolicy: Orphan, providerConfigRef: {name: default, kind: null}}
  credential:
    apiVersion: managedidentity.azure.upbound.io/v1beta1
    spec: {deletionPolicy: Delete, providerConfigRef: {name: default, kind: null}}
`,
		},
		"LongServiceAccount": {
			reason:     "names stay label values",
			connection: connection,
			context:    func(c *Context) { c.ServiceAccount = strings.Repeat("long-name.", 25) + "a" },
			want:       `{keys: [identity, credential]}`,
		},
	})
}

// TestCredentialName holds Azure's rules for the name.
func TestCredentialName(t *testing.T) {
	t.Parallel()

	form := regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{2,119}$`)
	cases := map[string]struct {
		reason         string
		serviceAccount string
	}{
		"Short":  {reason: "a usual name", serviceAccount: "shop-api"},
		"Dotted": {reason: "a ServiceAccount's name may have dots, a credential's may not", serviceAccount: "shop.api"},
		"Long":   {reason: "a ServiceAccount's name may be longer", serviceAccount: strings.Repeat("a", 253)},
		"Cut":    {reason: "a name may be cut at a separator", serviceAccount: strings.Repeat("a", 100) + "...b" + strings.Repeat("c", 50)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hash("issuer", tc.serviceAccount)
			got := credentialName("team-a", tc.serviceAccount, h)
			if !form.MatchString(got) || !strings.HasSuffix(got, "-"+h) || strings.HasSuffix(got, "--"+h) {
				t.Errorf("%s: %q has %d characters", tc.reason, got, len(got))
			}
		})
	}
}

func failedCredential(message string) string {
	return `{status: {conditions: [{type: Synced, status: "False", message: "create failed: ` + message + `"}]}}`
}

// apiCredential is an observed credential of a name on an identity.
func apiCredential(name, id string) map[string]any {
	return map[string]any{
		"apiVersion": credentialKind.namespaced.APIVersion, "kind": credentialKind.namespaced.Kind,
		"metadata": map[string]any{"annotations": map[string]any{externalName: name}},
		"spec":     map[string]any{"forProvider": map[string]any{"parentId": id}},
	}
}

// TestCredentialTarget holds the allow-list to the identity that a credential is on,
// whatever its spec says.
func TestCredentialTarget(t *testing.T) {
	t.Parallel()

	s, err := settings.Decode(decode(t, azureSettings))
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason string
		status string
		target string
		want   settings.Decision
	}{
		"Unreported": {
			reason: "a provider that has said nothing yet does as it is told",
			status: `{}`, target: apiIdentity, want: settings.Allowed,
		},
		"There": {
			reason: "Azure answers ids in a case of its own",
			status: credentialObserved(strings.ToUpper(apiIdentity)), target: apiIdentity, want: settings.Allowed,
		},
		"Elsewhere": {
			reason: "it was written to the subscription of the ProviderConfig, past the list, and so it goes",
			status: credentialObserved(dataIdentity), target: dataIdentity, want: settings.Excluded,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := apiCredential("c", apiIdentity)
			maps.Copy(o, decode(t, tc.status))
			target, got := credentialGrant.Target(s, "team-a", o)
			if !strings.EqualFold(target, tc.target) || got != tc.want {
				t.Errorf("%s: got %q, %v; want %q, %v", tc.reason, target, got, tc.target, tc.want)
			}
		})
	}
}
