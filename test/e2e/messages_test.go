package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/cloudapi"
)

// TestRefusedByTheCloud holds that a team reads who was refused what, and that the status
// isn't written again while a provider tries again: each try has another request's id, and
// is told in other wrappers.
func TestRefusedByTheCloud(t *testing.T) {
	t.Parallel()
	const azureCredential = "- {name: api, connections: [{type: azureManagedIdentity, identityName: shop, resourceGroup: rg-shop}]}"
	for name, tc := range map[string]struct {
		services string
		typ      claim.ConnectionType
		action   string
		want     string
	}{
		"IAM":    {services: createdRole(readsBuckets), typ: claim.TypeAWSRole, action: cloudapi.AttachRolePolicy, want: "AccessDenied: User: arn:aws:sts::123456789012:assumed-role/crossplane-provider-aws is not authorized to perform: iam:AttachRolePolicy on resource: "},
		"EKS":    {services: "- {name: api, connections: [{type: awsRole, role: my-app-s3-access}]}", typ: claim.TypeAWSRole, action: cloudapi.CreatePodIdentityAssociation, want: "is not authorized to perform: eks:CreatePodIdentityAssociation on resource: "},
		"Azure":  {services: azureCredential, typ: claim.TypeAzureManagedIdentity, action: cloudapi.WriteCredential, want: "does not have authorization to perform action 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write'"},
		"Google": {services: "- {name: api, connections: [{type: gcpServiceAccount, serviceAccountEmail: sql-client@my-project-123456.iam.gserviceaccount.com}]}", typ: claim.TypeGCPServiceAccount, action: cloudapi.SetIAMPolicy, want: "Permission 'iam.serviceAccounts.setIamPolicy' denied on resource"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alone(t, func(team *team) {
				team.cloud.Deny(tc.action)
				team.t.Cleanup(func() { team.cloud.Allow(tc.action) })
				team.connect(tc.services)
				team.awaitMessage("api", tc.typ, "ProviderError", says(tc.want))
				// Conditions follow the services' status in a second write.
				team.awaitCondition("Connected", "False", tc.want)
				again := func(times int) {
					tried := team.cloud.Calls(tc.action)
					team.eventually("it is tried again", func(context.Context) error {
						if n := team.cloud.Calls(tc.action) - tried; n < times {
							return fmt.Errorf("%d times, not %d", n, times)
						}
						return nil
					})
				}
				// What else was on its way when the refusal came has arrived by then.
				again(1)
				before, err := team.claim(team.t.Context())
				if err != nil {
					team.t.Fatal(err)
				}
				again(3)
				after, err := team.claim(team.t.Context())
				if err != nil {
					team.t.Fatal(err)
				}
				if diff := cmp.Diff(told(before), told(after)); diff != "" {
					team.t.Errorf("the status changes from try to try: -before, +after:\n%s", diff)
				}
				team.cloud.Allow(tc.action)
				team.awaitReady()
				team.deleteNow()
				team.awaitContents("nothing")
			})
		})
	}
}

// told by a claim's status, without what is Crossplane's own, and what is remembered of
// rollouts.
func told(u *unstructured.Unstructured) []any {
	services, _, _ := unstructured.NestedSlice(u.Object, "status", "services")
	for _, v := range services {
		if service, ok := v.(map[string]any); ok {
			delete(service, "rollout")
		}
	}
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	return append(services, slices.DeleteFunc(conditions, func(v any) bool {
		c, _ := v.(map[string]any)
		return c["type"] != "Connected"
	})...)
}
