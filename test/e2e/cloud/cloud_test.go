package cloud_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
	"github.com/serviceconnections/function-service-connections/test/e2e/cloud"
)

const (
	subscription = "/subscriptions/00000000-0000-0000-0000-000000000002"
	shop         = subscription + "/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/shop"
	sqlClient    = "projects/p/serviceAccounts/sql-client@p.iam.gserviceaccount.com"
)

func serve(t *testing.T) (*cloud.Cloud, cloudapi.Client) {
	t.Helper()
	c := cloud.New()
	address, err := c.Serve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.AddRole("/apps/", "reads")
	c.AddIdentity(shop, "tenant")
	c.AddGoogleAccount("sql-client@p.iam.gserviceaccount.com")
	return c, cloudapi.Client{Address: address}
}

func association(account, role string) cloudapi.Association {
	return cloudapi.Association{ClusterName: "one", Namespace: "team-a", ServiceAccount: account, RoleARN: "arn:aws:iam::123456789012:role/" + role}
}

// TestRefusals are what the clouds refuse, by the codes that their references list.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason string
		call   func(context.Context, *cloud.Cloud, cloudapi.Client) error
		want   string
	}{
		"RoleWithoutItsPath": {
			reason: "EKS looks a role up by its ARN, path included",
			call: func(ctx context.Context, _ *cloud.Cloud, c cloudapi.Client) error {
				_, err := c.CreatePodIdentityAssociation(ctx, association("api", "reads"))
				return err
			},
			want: "InvalidParameterException: Role provided in the request does not exist",
		},
		"RoleThatTrustsNoPods": {
			reason: "EKS looks into the trust policy",
			call: func(ctx context.Context, cl *cloud.Cloud, c cloudapi.Client) error {
				cl.SetTrust("reads", `{"Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}}`)
				_, err := c.CreatePodIdentityAssociation(ctx, association("api", "apps/reads"))
				return err
			},
			want: "InvalidParameterException: Trust policy of the role provided is invalid. Follow the official documentation to resolve the issue.",
		},
		"SecondAssociation": {
			reason: "a ServiceAccount has one",
			call: func(ctx context.Context, _ *cloud.Cloud, c cloudapi.Client) error {
				_, first := c.CreatePodIdentityAssociation(ctx, association("api", "apps/reads"))
				_, err := c.CreatePodIdentityAssociation(ctx, association("api", "apps/reads"))
				return errors.Join(first, err)
			},
			want: "ResourceInUseException: Association already exists: a-00000000000000003",
		},
		"SecondCredentialOfASubject": {
			reason: "issuer and subject are unique on an identity",
			call: func(ctx context.Context, cl *cloud.Cloud, c cloudapi.Client) error {
				cl.AddCredential(shop, "by-hand", "https://issuer", "system:serviceaccount:team-a:api")
				return c.WriteCredential(ctx, cloudapi.Credential{ID: shop + "/federatedIdentityCredentials/ours", Issuer: "https://issuer", Subject: "system:serviceaccount:team-a:api"})
			},
			want: "Conflict: Issuer and subject combination already exists for this Managed Identity.",
		},
		"PolicyThatWasSetInBetween": {
			reason: "an etag stands for the policy that was read",
			call: func(ctx context.Context, _ *cloud.Cloud, c cloudapi.Client) error {
				p, first := c.GetIAMPolicy(ctx, sqlClient)
				_, second := c.SetIAMPolicy(ctx, p)
				_, err := c.SetIAMPolicy(ctx, p)
				return errors.Join(first, second, err)
			},
			want: "aborted: There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.",
		},
		"UnknownAccount": {
			reason: "Google knows whom it has",
			call: func(ctx context.Context, _ *cloud.Cloud, c cloudapi.Client) error {
				_, err := c.GetIAMPolicy(ctx, "projects/p/serviceAccounts/nobody@p.iam.gserviceaccount.com")
				return err
			},
			want: "notFound: Unknown service account",
		},
		"Maintenance": {
			reason: "tests rest on it that stop providers while nothing may be created",
			call: func(ctx context.Context, cl *cloud.Cloud, c cloudapi.Client) error {
				cl.FailAll(cloud.Unavailable())
				_, err := c.GetRole(ctx, "reads")
				return err
			},
			want: "ServiceUnavailable: The request has failed due to a temporary failure of the server.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cl, c := serve(t)
			err := tc.call(t.Context(), cl, c)
			if err == nil {
				t.Fatalf("%s: the call must fail", tc.reason)
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestAzureWritesOneAtATime: who writes a second credential of an identity while a
// first one is written is told to come again.
func TestAzureWritesOneAtATime(t *testing.T) {
	t.Parallel()
	cl, c := serve(t)
	cl.HoldIn("team-a", "FederatedIdentityCredential")
	first := make(chan error)
	go func() {
		first <- c.WriteCredential(t.Context(), cloudapi.Credential{ID: shop + "/federatedIdentityCredentials/a", Issuer: "https://issuer", Subject: "system:serviceaccount:team-a:api"})
	}()
	for len(cl.Contents()) == 0 {
		select {
		case err := <-first:
			t.Fatalf("the first write is not held: %v", err)
		default:
		}
	}
	err := c.WriteCredential(t.Context(), cloudapi.Credential{ID: shop + "/federatedIdentityCredentials/b", Issuer: "https://issuer", Subject: "system:serviceaccount:team-b:api"})
	if !cloudapi.Is(err, "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity") {
		t.Errorf("the second write while the first is going on: %v", err)
	}
	cl.ReleaseIn("team-a", "FederatedIdentityCredential")
	if err := <-first; err != nil {
		t.Error(err)
	}
}
