package connection

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	azure "github.com/upbound/provider-azure/v2/apis/namespaced/managedidentity/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
	"github.com/serviceconnections/function-service-connections/fn/settings"
	"github.com/serviceconnections/function-service-connections/fn/workload"
	"github.com/serviceconnections/function-service-connections/input/v1beta1"
)

// azureManagedIdentity connects to a user-assigned managed identity, by a federated
// credential on it.
var azureManagedIdentity = Type{
	Type: claim.Type{
		Name: claim.TypeAzureManagedIdentity,
		Once: "a service has one azureManagedIdentity, because its pods run as one ServiceAccount, to which Azure gives one identity; put the other connection into a service with a workload of its own, or grant both to one identity",
		// Azure documentation, "Naming rules and restrictions for Azure resources",
		// Microsoft.ManagedIdentity and Microsoft.Resources.
		Fields: []claim.Field{
			{
				Name: "identityName", Required: true, In: func(c *claim.Connection) any { return &c.IdentityName }, MaxLength: 128,
				Forms: []claim.Form{claim.Matching(`^[a-zA-Z0-9][a-zA-Z0-9_-]{2,127}$`, "must be 3 to 128 letters, digits, - and _, the first one a letter or digit")},
			},
			{
				Name: "resourceGroup", Required: true, In: func(c *claim.Connection) any { return &c.ResourceGroup }, MaxLength: 90,
				Forms: []claim.Form{claim.Matching(`^[\w().-]{0,89}[\w()-]$`, "must be at most 90 letters, digits and ._()-, not ending in a dot")},
			},
			{
				Name: "subscriptionId", In: func(c *claim.Connection) any { return &c.SubscriptionID }, MaxLength: 36,
				Forms: []claim.Form{claim.Matching(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`, "must be a UUID")},
			},
		},
	},
	Family:  &azureFamily,
	Grants:  []*GrantKind{&identityGrant, &credentialGrant},
	Injects: workload.Forms{Labels: map[string]string{labelUseWorkloadIdentity: "true"}},
	Expand:  expandAzureManagedIdentity,
	Route: func(d Drawn) Route {
		return Route{Credential: credentialKind.namespaced.Kind, Steps: []Step{
			{Kind: "managed identity", Name: d.ResourceGroup + "/" + d.IdentityName, Object: identityKind.namespaced.Kind},
		}}
	},
}

// azureFamily are managed identities. A client id, which an annotation has, tells no
// identity.
var azureFamily = Family{Name: "azure", Annotations: "azure.workload.identity/", Keys: []string{annotationClientID, annotationTenantID}}

var (
	identityKind   = newManagedKind("UserAssignedIdentity", "userassignedidentities", "managedidentity.azure", "upbound.io", "v1beta1", "v1beta1")
	credentialKind = newManagedKind("FederatedIdentityCredential", "federatedidentitycredentials", "managedidentity.azure", "upbound.io", "v1beta1", "v1beta1")

	// identityGrant reads the identity, and credentialGrant grants it.
	identityGrant = GrantKind{Name: "identity", Kinds: []managedKind{identityKind}, Reports: func(k Known, o map[string]any) map[string]any {
		id := Annotation(o, externalName)
		return map[string]any{"id": id, "clientId": k.Guess("client id", id[strings.LastIndexByte(id, '/')+1:])}
	}}
	credentialGrant = GrantKind{Name: "credential", Kinds: []managedKind{credentialKind}, Target: func(s *settings.Settings, namespace string, o map[string]any) (string, settings.Decision) {
		id := cmp.Or(credentialOn(o), decoded.Text(o, "spec", "forProvider", "parentId"))
		return strings.ToLower(id), allowsCredential(s, namespace, id, o)
	}}
)

// allowsCredential says whether a namespace may use an identity that a credential is
// on. One that was made by the ProviderConfig of the cluster's own subscription, where
// the claim had it made, was of that subscription. Where the settings are of another
// one now, the same names say that it stays.
func allowsCredential(s *settings.Settings, namespace, id string, credential map[string]any) settings.Decision {
	d := allowsAzure(s, namespace, id)
	if d != settings.Excluded || !strings.EqualFold(id, decoded.Text(credential, "spec", "forProvider", "parentId")) {
		return d
	}
	own := s.Azure.ProviderConfigRef
	if own == nil || decoded.Text(credential, "spec", "providerConfigRef", "name") != own.Name {
		return d
	}
	parts := strings.Split(id, "/")
	if len(parts) == 9 && s.AzureProviderConfig(parts[2]) == nil && s.AllowsIdentity(namespace, s.Azure.SubscriptionID, parts[4], parts[8]) == settings.Allowed {
		return settings.Moved
	}
	return d
}

// The names of AKS's workload identity (azure.github.io/azure-workload-identity,
// "Service Account Labels and Annotations"). Its webhook adds the token volume
// and the environment, so the function never does.
const (
	labelUseWorkloadIdentity = "azure.workload.identity/use"
	annotationClientID       = "azure.workload.identity/client-id"
	annotationTenantID       = "azure.workload.identity/tenant-id"
)

// azureAudiences of a token exchange, by cloud (Microsoft Entra documentation,
// "Configure a user-assigned managed identity to trust an external identity
// provider", "Audience").
var azureAudiences = map[string]string{
	"AzurePublicCloud":  "api://AzureADTokenExchange",
	"AzureUSGovernment": "api://AzureADTokenExchangeUSGov",
	"AzureChinaCloud":   "api://AzureADTokenExchangeChina",
}

// expandAzureManagedIdentity: the identity itself is somebody else's. It is
// observed, never written.
func expandAzureManagedIdentity(c Context) Expansion {
	az := c.Settings.Azure
	if az == nil {
		return blocked(Expansion{}, Verdictf(CloudNotConfigured, "the cluster settings have no azure section; ask the platform team to add it"))
	}
	id := c.armID()
	e := Expansion{
		Target: strings.ToLower(id), Identity: id,
		Decision: allowsAzure(c.Settings, c.Claim.Namespace, id),
	}
	if c.providerConfig() == nil {
		return blocked(e, Verdictf(SubscriptionNotConfigured, "subscription %q is not in the cluster settings; correct subscriptionId, or ask the platform team to add it to azure.subscriptions with a ProviderConfig of its own", c.subscription()))
	}
	identity := c.observedIdentity(id)
	e.Grants = append(e.Grants, identity)
	state := c.state(identity)
	if state.Reason == notExist {
		state = Verdictf(IdentityNotFound, "managed identity %q does not exist in resource group %q; correct the name, or ask whoever administers the resource group to create it", c.Connection.IdentityName, c.Connection.ResourceGroup)
	}
	observed := c.Observed.Object(identity.Key)
	if got := decoded.Text(observed, "status", "atProvider", "id"); got != "" && !strings.EqualFold(got, id) {
		e.Verdict = Verdictf(IdentityMismatch, "UserAssignedIdentity %q observes %q, not the identity %q that was asked for; ask the platform team who changed the object", decoded.Text(identity.Object, "metadata", "name"), got, id)
		return e
	}
	credential := c.credential(id)
	e.Grants = append(e.Grants, credential)
	e.Verdict = First(state, c.wrongTenant(observed), c.credentialState(credential, id))

	clientID, tenantID := decoded.Text(observed, "status", "atProvider", "clientId"), az.TenantID
	if clientID == "" {
		// The provider may be down, or the identity about to change: the pods
		// keep what they have.
		clientID = Annotation(c.observedServiceAccount(), annotationClientID)
	}
	if clientID == "" {
		return e
	}
	e.Published = true
	e.Annotations = map[string]string{annotationClientID: clientID, annotationTenantID: tenantID}
	e.Injection = claim.Injection{Labels: map[string]string{labelUseWorkloadIdentity: "true"}}
	return e
}

// wrongTenant says that tokens would be asked of another tenant than the
// identity's.
func (c Context) wrongTenant(identity map[string]any) Verdict {
	tenant := decoded.Text(identity, "status", "atProvider", "tenantId")
	if tenant == "" || strings.EqualFold(tenant, c.Settings.Azure.TenantID) {
		return Verdict{}
	}
	return Verdictf(IdentityMismatch, "managed identity %q is in tenant %q, and the cluster settings say tenant %q; ask the platform team to correct azure.tenantId", c.Connection.IdentityName, tenant, c.Settings.Azure.TenantID)
}

// The errors of Azure's API about a federated credential. It says of the limit
// what Microsoft Entra's documentation does ("Important considerations and
// restrictions for federated identity credentials"), in words that have changed.
const (
	credentialExists   = "Issuer and subject combination already exists"
	tooManyCredentials = "Too many Federated Identity Credentials"
	credentialLimit    = "FederatedIdentityCredentialsLimitExceeded"

	// writtenAtOnce is about the same words, and passes by itself: Azure writes one
	// credential of an identity at a time.
	writtenAtOnce = "ConcurrentFederatedIdentityCredentialsWrites"
)

func (c Context) credentialState(g Grant, id string) Verdict {
	if on := credentialOn(c.Observed.Object(g.Key)); on != "" && !strings.EqualFold(on, id) {
		return Verdictf(IdentityMismatch, "FederatedIdentityCredential %q is on managed identity %q, not on %q; ask the platform team whether the subscription of the provider's ProviderConfig is the one that the cluster settings say, and to delete the credential in Azure", decoded.Text(g.Object, "metadata", "name"), on, id)
	}
	v := c.state(g)
	if v.Reason != ProviderError {
		return v
	}
	az := c.Settings.Azure
	switch {
	case c.failedWith(g, credentialExists):
		return Verdictf(CredentialExists, "managed identity %q has another federated credential for issuer %q and subject %q; delete that one, so that it can be made anew", c.Connection.IdentityName, az.OIDCIssuer, decoded.Text(g.Object, "spec", "forProvider", "subject"))
	case c.failedWith(g, writtenAtOnce):
		return Verdictf(Creating, "managed identity %q gets another federated credential at this moment, and Azure takes one at a time; the provider tries again by itself", c.Connection.IdentityName)
	case c.failedWith(g, tooManyCredentials), c.failedWith(g, credentialLimit):
		which := "one that nothing uses"
		if old := c.formerCredential(g.Key, id); old != "" {
			// It stays until its successor is ready, which waits for it.
			which = strconv.Quote(old) + ", which the new one replaces"
		}
		return Verdictf(TooManyCredentials, "managed identity %q has all the federated credentials that Azure allows on one; delete %s, or use another identity", c.Connection.IdentityName, which)
	}
	return v
}

// formerCredential is the name of another credential of the claim on the same
// identity for the same ServiceAccount, empty where there is none.
func (c Context) formerCredential(key, id string) string {
	var names []string
	for k, o := range c.Observed.Composed {
		if k == key || !strings.HasPrefix(k, c.ServiceAccount+"."+credentialGrant.Name+".") || !credentialKind.is(o.Object) {
			continue
		}
		if strings.EqualFold(decoded.Text(o.Object, "spec", "forProvider", "parentId"), id) {
			names = append(names, Annotation(o.Object, externalName))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return slices.Min(names)
}

// subscription of the identity.
func (c Context) subscription() string {
	return cmp.Or(c.Connection.SubscriptionID, c.Settings.Azure.SubscriptionID)
}

// providerConfig of the identity's subscription, nil where the settings have none.
func (c Context) providerConfig() *v1beta1.ProviderConfigReference {
	return c.Settings.AzureProviderConfig(c.subscription())
}

// credentialOn is the identity that a credential is on as Azure has it, empty while the
// provider hasn't said. It is another one than the spec's where the provider's
// ProviderConfig has another subscription.
func credentialOn(o map[string]any) string {
	on, _, ok := strings.Cut(decoded.Text(o, "status", "atProvider", "id"), "/federatedIdentityCredentials/")
	if !ok {
		return ""
	}
	return on
}

// armID of the identity. The provider compares it with Azure's answer, so the
// case matters.
func (c Context) armID() string {
	return "/subscriptions/" + c.subscription() + "/resourceGroups/" + c.Connection.ResourceGroup +
		"/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + c.Connection.IdentityName
}

// allowsAzure says whether a namespace may use an identity, by its ARM id. An id
// that isn't one of an identity is allowed by no list.
func allowsAzure(s *settings.Settings, namespace, id string) settings.Decision {
	parts := strings.Split(id, "/")
	if len(parts) != 9 {
		parts = make([]string, 9)
	}
	return s.AllowsIdentity(namespace, parts[2], parts[4], parts[8])
}

// observedIdentity is the identity as Azure has it, read only.
func (c Context) observedIdentity(id string) Grant {
	key := c.lasting(identityGrant.Name, standsByName, id, strings.ToLower(id))
	if as := Annotation(c.Observed.Object(key), externalName); strings.EqualFold(as, id) {
		id = as
	}
	return c.grant(managedResource{
		kind: identityKind, key: key, name: c.ownName(key, identityGrant.Name),
		externalName: id, policies: observe,
		providerConfig: c.providerConfig(), forProvider: map[string]any{},
	})
}

// credential lets the ServiceAccount act as the identity. Its identity and name
// can't be changed in place, so both are in the key: credentials on two
// identities, or for two issuers, exist side by side. Azure knows no case in an
// identity's id, so another case is the same credential, which keeps what it has.
func (c Context) credential(id string) Grant {
	issuer := c.Settings.Azure.OIDCIssuer
	subject := "system:serviceaccount:" + c.Claim.Namespace + ":" + c.ServiceAccount
	name := credentialName(c.Claim.Namespace, c.ServiceAccount, hash(issuer, subject))
	key := c.key(credentialGrant.Name, strings.ToLower(id), name)
	formerName := credentialName(c.Claim.Namespace, c.ServiceAccount, formerHash(issuer, subject))
	former := c.formerKey(credentialGrant.Name, strings.ToLower(id), formerName)
	if c.keeps(former, standsOn("parentId"), id) {
		key, name = former, formerName
	}
	audience := azureAudiences[c.Settings.Azure.Environment]
	group := c.Connection.ResourceGroup
	if o := c.Observed.Object(key); strings.EqualFold(decoded.Text(o, "spec", "forProvider", "parentId"), id) {
		id, group = decoded.Text(o, "spec", "forProvider", "parentId"), decoded.Text(o, "spec", "forProvider", "resourceGroupName")
	}
	return c.grant(managedResource{
		kind: credentialKind, key: key, name: c.sharedName(key, credentialGrant.Name),
		former:       c.formerly(former, credentialGrant.Name),
		externalName: name, policies: manage, providerConfig: c.providerConfig(),
		// The cluster-scoped kind has the same parameters.
		forProvider: parameters(&azure.FederatedIdentityCredentialParameters{
			Audience:          []*string{&audience},
			Issuer:            &issuer,
			ParentID:          &id,
			ResourceGroupName: &group,
			Subject:           &subject,
		}),
	})
}

// parameters of a typed managed resource as they go into its object.
func parameters(p any) map[string]any {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(p)
	if err != nil {
		// Only a type that JSON can't hold fails, and the types are fixed.
		panic(err)
	}
	return m
}

// credentialName is unique in an identity, and at most 120 characters of
// letters, digits, - and _ (Azure documentation, "Naming rules and
// restrictions", federatedIdentityCredentials). The hash sets it apart from the
// credentials of other clusters.
func credentialName(namespace, serviceAccount, hash string) string {
	name := strings.ReplaceAll(namespace+"-"+serviceAccount, ".", "-")
	return truncate(name, 120-1-len(hash)) + "-" + hash
}
