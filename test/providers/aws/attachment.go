package aws

import (
	"context"
	"errors"
	"slices"

	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
	"github.com/serviceconnections/function-service-connections/test/providers/terraform"
)

// rolePolicyAttachment is aws_iam_role_policy_attachment
// (terraform-provider-aws, internal/service/iam/role_policy_attachment.go): its id is
// <role>/<policy ARN>.
func rolePolicyAttachment() *schema.Resource {
	return &schema.Resource{
		CreateWithoutTimeout: createAttachment,
		ReadWithoutTimeout:   readAttachment,
		DeleteWithoutTimeout: deleteAttachment,
		Schema: map[string]*schema.Schema{
			"policy_arn": {Type: schema.TypeString, Required: true, ForceNew: true},
			"role":       {Type: schema.TypeString, Required: true, ForceNew: true},
		},
	}
}

func createAttachment(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	role, arn := text(d, "role"), text(d, "policy_arn")
	err := conn(meta).IAM(ctx, cloudapi.AttachRolePolicy, cloudapi.IAMRequest{RoleName: role, PolicyARN: arn})
	if err != nil {
		return failed(cloudapi.AttachRolePolicy, err, "attaching IAM Policy (%s) to IAM Role (%s)", arn, role)
	}
	d.SetId(role + "/" + arn)
	return readAttachment(ctx, d, meta)
}

var errNotAttached = errors.New("couldn't find resource")

func readAttachment(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	role, arn := text(d, "role"), text(d, "policy_arn")
	_, err := terraform.Retry(ctx, propagation, func() (any, error) {
		attached, err := conn(meta).Names(ctx, cloudapi.ListAttachedRolePolicies, role)
		if err == nil && !slices.Contains(attached, arn) {
			err = errNotAttached
		}
		return nil, err
	}, func(err error) bool { return d.IsNewResource() && absent(err) })
	switch {
	case err != nil && absent(err) && !d.IsNewResource():
		d.SetId("")
	case err != nil:
		return failed(cloudapi.ListAttachedRolePolicies, err, "reading IAM Role (%s) Policy Attachment (%s)", role, arn)
	}
	return nil
}

// absent says that an error means that there is no such thing.
func absent(err error) bool {
	return errors.Is(err, errNotAttached) || cloudapi.Is(err, "NoSuchEntity", "ResourceNotFoundException")
}

func deleteAttachment(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	role, arn := text(d, "role"), text(d, "policy_arn")
	err := conn(meta).IAM(ctx, cloudapi.DetachRolePolicy, cloudapi.IAMRequest{RoleName: role, PolicyARN: arn})
	if err != nil && !absent(err) {
		return failed(cloudapi.DetachRolePolicy, err, "detaching IAM Policy (%s) from IAM Role (%s)", arn, role)
	}
	return nil
}
