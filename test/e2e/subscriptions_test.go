package e2e

import (
	"context"
	"testing"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
)

// TestSubscriptions holds that an identity in another subscription is used by a
// ProviderConfig of that one only: with another, provider-azure would write to the
// identity of the same name in the cluster's own.
func TestSubscriptions(t *testing.T) {
	t.Parallel()
	alone(t, func(team *team) {
		const other = "00000000-0000-0000-0000-000000000009"
		theirs := "/subscriptions/" + other + "/resourceGroups/rg-shop/providers/Microsoft.ManagedIdentity/userAssignedIdentities/shop"
		team.cloud.AddIdentity(theirs, tenantID)
		rules := []any{map[string]any{"subscriptionId": other, "resourceGroup": "rg-shop", "identity": "shop", "namespaces": []any{"*"}}}

		team.changeSettings(func(data map[string]any) { section(data, "azure")["allowedIdentities"] = rules })
		team.connect("- {name: api, connections: [{type: azureManagedIdentity, identityName: shop, resourceGroup: rg-shop, subscriptionId: " + other + "}]}")
		team.awaitMessage("api", claim.TypeAzureManagedIdentity, "SubscriptionNotConfigured", says(`subscription "`+other+`" is not in the cluster settings`))
		team.awaitContents("no credential on any identity")

		version, kind := "azure.m.upbound.io/v1beta1", "ClusterProviderConfig"
		if team.mode == controlplane.Claims {
			version, kind = "azure.upbound.io/v1beta1", "ProviderConfig"
		}
		if err := team.ApplyYAML(t.Context(), "apiVersion: "+version+"\nkind: "+kind+`
metadata: {name: other}
spec:
  clientID: 00000000-0000-0000-0000-000000000000
  tenantID: `+tenantID+`
  subscriptionID: `+other+`
  credentials: {source: OIDCTokenFile}`); err != nil {
			team.t.Fatal(err)
		}
		team.t.Cleanup(func() {
			u, err := team.Get(context.Background(), version, kind, "", "other")
			if err == nil && u != nil {
				err = team.Client.Delete(context.Background(), u)
			}
			if err != nil {
				team.t.Error(err)
			}
		})
		team.changeSettings(func(data map[string]any) {
			section(data, "azure")["allowedIdentities"] = rules
			section(data, "azure")["subscriptions"] = []any{map[string]any{"subscriptionId": other, "providerConfigRef": map[string]any{"name": "other"}}}
		})
		team.awaitReady()
		team.awaitContents("one on that identity", " on "+theirs+": ")
		team.deleteNow()
		team.awaitContents("nothing")
	})
}
