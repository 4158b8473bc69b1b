package connection

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// Errors as the providers of the tests and the real ones word them, with names as long
// as they come.
const (
	deniedByIAM = "create failed: async create failed: failed to create the resource: [{0 attaching IAM Policy (arn:aws:iam::123456789012:policy/serviceconnections/sc-prod-eu-team-a-uploads-0123456789abcdef01234567) to IAM Role (sc-prod-eu-team-a-uploads-0123456789abcdef01234567): " +
		"operation error IAM: AttachRolePolicy, https response error StatusCode: 403, RequestID: 7f3c1c64-0000-4000-8000-000000000001, api error AccessDenied: " + iamRefusal + "  []}]"
	iamRefusal  = "User: arn:aws:sts::123456789012:assumed-role/crossplane-provider-aws-with-a-name-as-long-as-they-may-be-in-iam/eks-one-provider-a-7b1f0c7e-3d0d-4c8c-9a51-6f6a4d0e5b11 is not authorized to perform: iam:AttachRolePolicy on resource: role sc-prod-eu-team-a-uploads-0123456789abcdef01234567 with an explicit deny in a service control policy"
	deniedByEKS = "async create failed: resource creation call returned error diags: creating EKS Pod Identity Association: operation error EKS: CreatePodIdentityAssociation, https response error StatusCode: 400, RequestID: 7f3c1c64-0000-4000-8000-000000000001, InvalidParameterException: Role provided in the request does not exist."
	armScope    = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/a-resource-group-of-the-team-that-has-the-orders/providers/Microsoft.ManagedIdentity/userAssignedIdentities/orders-of-production/federatedIdentityCredentials/team-a-shop-api-0123456789"

	deniedByAzure = "create failed: async create failed: failed to create the resource: [{0 creating Federated Identity Credential (Subscription: \"11111111-1111-1111-1111-111111111111\"\nResource Group Name: \"a-resource-group-of-the-team-that-has-the-orders\"\nUser Assigned Identity Name: \"orders-of-production\"\nFederated Identity Credential Name: \"team-a-shop-api-0123456789\"): " +
		"unexpected status 403 (403 Forbidden) with error: AuthorizationFailed: The client 'aaaaaaaa-0000-0000-0000-000000000001' with object id 'aaaaaaaa-0000-0000-0000-000000000001' does not have authorization to perform action 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write' over scope '" + armScope + "' or the scope is invalid. If access was recently granted, please refresh your credentials.  []}]"
	deniedByGoogle = "create failed: async create failed: failed to create the resource: [{0 Error retrieving IAM policy for service account 'projects/my-project-123456/serviceAccounts/orders@my-project-123456.iam.gserviceaccount.com': googleapi: Error 403: Permission 'iam.serviceAccounts.getIamPolicy' denied on resource (or it may not exist)., forbidden  []}]"
)

// TestCause holds that a message has the cause, and is the same on every try.
func TestCause(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason string
		s      string
		want   string
	}{
		"Space": {reason: "space around a message says nothing", s: " a\n", want: "a"},
		"Lines": {reason: "a message is one line", s: "a:\n\t b\r\n", want: "a: b"},
		"S3":    {reason: "and some services two", s: "AccessDenied: no, RequestID: 4Q2Z6T, HostID: a/b+c=", want: "AccessDenied: no"},
		"EC2":   {reason: "and some the refusal, encoded", s: "You are not authorized. Encoded authorization failure message: 8Fnc-a_b", want: "You are not authorized."},
		"Azure": {
			reason: "Azure puts ids and the time",
			s:      "AADSTS700213: No matching record. Trace ID: 0f8fad5b-d9cb-469f-a165-70867728950e Correlation ID: 1f8fad5b-d9cb-469f-a165-70867728950e Timestamp: 2026-11-25 09:00:00Z",
			want:   "AADSTS700213: No matching record.",
		},
		"AzureJSON": {
			reason: "or as JSON",
			s:      `{"code":"Conflict","message":"in use","innerError":{"date":"2022-05-03T16:11:01","request-id":"4255561a","client-request-id":"4255561a"}}`,
			want:   `{"code":"Conflict","message":"in use","innerError":{}}`,
		},
		"Names": {
			reason: "what only looks like it stays",
			s:      `subscription ID: 00000000-0000-0000-0000-000000000002, clientId: c-1, project id: my-project, time: soon`,
			want:   `subscription ID: 00000000-0000-0000-0000-000000000002, clientId: c-1, project id: my-project, time: soon`,
		},
		"Fits":      {reason: "what fits stays", s: strings.Repeat("a", 400), want: strings.Repeat("a", 400)},
		"Long":      {reason: "what is left out is marked, and is the middle", s: strings.Repeat("a", 300) + strings.Repeat("b", 111), want: strings.Repeat("a", 290) + "…" + strings.Repeat("b", 110)},
		"Character": {reason: "no character is cut in two", s: strings.Repeat("a", 289) + "é" + strings.Repeat("b", 110), want: strings.Repeat("a", 289) + "…" + strings.Repeat("b", 110)},
		"IAM": {
			reason: "who was refused what, and why; the name of the session changes with the provider's credentials",
			s:      deniedByIAM,
			want:   "AccessDenied: User: arn:aws:sts::123456789012:assumed-role/crossplane-provider-aws-with-a-name-as-long-as-they-may-be-in-iam is not authorized to perform: iam:AttachRolePolicy on resource: role sc-prod-eu-team-a-uploads-0123456789abcdef01234567 with an explicit deny in a service control policy",
		},
		"IAMWhileItIsTriedAgain": {
			reason: "the condition of the last operation has fewer wrappers than that of the reconcile, and stays while another begins",
			s:      strings.Replace(strings.TrimPrefix(deniedByIAM, "create failed: "), "7f3c1c64", "8f3c1c64", 1),
			want:   cause(deniedByIAM),
		},
		"EKS": {
			reason: "errors that the SDK has a type for lack a word",
			s:      deniedByEKS,
			want:   "InvalidParameterException: Role provided in the request does not exist.",
		},
		"Entra": {
			reason: "the action that is denied, which the scope mustn't push out",
			s:      deniedByAzure,
			want: "AuthorizationFailed: The client 'aaaaaaaa-0000-0000-0000-000000000001' with object id 'aaaaaaaa-0000-0000-0000-000000000001' does not have authorization to perform action 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write' over scope '" +
				armScope[:21] + "…shop-api-0123456789' or the scope is invalid. If access was recently granted, please refresh your credentials.",
		},
		"Google": {
			reason: "the code says what the words leave open",
			s:      deniedByGoogle,
			want:   "googleapi: Error 403: Permission 'iam.serviceAccounts.getIamPolicy' denied on resource (or it may not exist)., forbidden",
		},
		"Connection": {
			reason: "the port from which a provider calls changes with each call",
			s:      "connect failed: Post \"https://iam.amazonaws.com/\": read tcp 10.0.0.5:43422->52.94.1.1:443: read: connection reset by peer",
			want:   "Post \"https://iam.amazonaws.com/\": read tcp 10.0.0.5->52.94.1.1:443: read: connection reset by peer",
		},
		"OnlyWrappers": {reason: "what says nothing else is told as it is", s: "observe failed: https response error StatusCode: 500, ", want: "https response error StatusCode: 500,"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := cause(tc.s)
			if diff := cmp.Diff(tc.want, got); diff != "" || !utf8.ValidString(got) {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
