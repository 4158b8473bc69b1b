package aws

import (
	"context"

	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
	"github.com/serviceconnections/function-service-connections/test/providers/terraform"
)

// policy is aws_iam_policy (terraform-provider-aws, internal/service/iam/policy.go),
// whose id is its ARN.
func policy() *schema.Resource {
	return &schema.Resource{
		CreateWithoutTimeout: createPolicy,
		ReadWithoutTimeout:   readPolicy,
		UpdateWithoutTimeout: updatePolicy,
		DeleteWithoutTimeout: deletePolicy,
		CustomizeDiff:        tagsDiff,
		Schema: map[string]*schema.Schema{
			"arn":                               {Type: schema.TypeString, Computed: true},
			"attachment_count":                  {Type: schema.TypeInt, Computed: true},
			"delay_after_policy_creation_in_ms": {Type: schema.TypeInt, Optional: true},
			"description":                       {Type: schema.TypeString, Optional: true, ForceNew: true},
			"name":                              {Type: schema.TypeString, Optional: true, Computed: true, ForceNew: true},
			"name_prefix":                       {Type: schema.TypeString, Optional: true, Computed: true, ForceNew: true},
			"path":                              {Type: schema.TypeString, Optional: true, Default: "/", ForceNew: true},
			"policy":                            document(),
			"policy_id":                         {Type: schema.TypeString, Computed: true},
			"tags":                              tags(),
			"tags_all":                          tagsAll(),
		},
	}
}

func createPolicy(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	name := text(d, "name")
	p, err := conn(meta).CreatePolicy(ctx, cloudapi.CreatePolicyRequest{
		Policy:   cloudapi.Policy{Name: name, Path: text(d, "path"), Description: text(d, "description"), Tags: texts(d.Get("tags_all"))},
		Document: text(d, "policy"),
	})
	if err != nil {
		return failed(cloudapi.CreatePolicy, err, "creating IAM Policy (%s)", name)
	}
	d.SetId(p.ARN)
	return readPolicy(ctx, d, meta)
}

func readPolicy(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	var v cloudapi.PolicyVersion
	action := cloudapi.GetPolicy
	p, err := terraform.Retry(ctx, propagation, func() (cloudapi.Policy, error) {
		action = cloudapi.GetPolicy
		p, err := conn(meta).GetPolicy(ctx, d.Id())
		if err == nil {
			action = cloudapi.GetPolicyVersion
			v, err = conn(meta).GetPolicyVersion(ctx, d.Id(), p.Default)
		}
		return p, err
	}, func(err error) bool { return d.IsNewResource() && absent(err) })
	if err != nil && absent(err) && !d.IsNewResource() {
		d.SetId("")
		return nil
	}
	if err != nil {
		return failed(action, err, "reading IAM Policy (%s)", d.Id())
	}
	now := v.Document
	if was := text(d, "policy"); terraform.Equivalent(was, now) {
		now = was
	}
	return set(d, map[string]any{
		"arn": p.ARN, "attachment_count": p.Attachments, "description": p.Description, "name": p.Name, "name_prefix": "",
		"path": p.Path, "policy": now, "policy_id": p.ID, "tags": p.Tags, "tags_all": p.Tags,
	})
}

func updatePolicy(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	arn, c := d.Id(), conn(meta)
	if d.HasChangesExcept("delay_after_policy_creation_in_ms", "tags", "tags_all") {
		versions, err := c.ListPolicyVersions(ctx, arn)
		if err != nil {
			return diag.FromErr(err)
		}
		// IAM keeps five; the oldest that isn't the default one makes room.
		for _, v := range versions {
			if len(versions) < 5 || v.Default {
				continue
			}
			if diags := deleteVersion(ctx, c, arn, v.ID); diags.HasError() {
				return diags
			}
			break
		}
		// Two steps only with delay_after_policy_creation_in_ms, which nobody sets.
		if err := c.IAM(ctx, cloudapi.CreatePolicyVersion, cloudapi.IAMRequest{PolicyARN: arn, Document: text(d, "policy")}); err != nil {
			return failed(cloudapi.CreatePolicyVersion, err, "updating IAM Policy (%s)", arn)
		}
	}
	if diags := updateTags(ctx, d, meta, cloudapi.TagPolicy, cloudapi.UntagPolicy, cloudapi.IAMRequest{PolicyARN: arn}); diags.HasError() {
		return diags
	}
	return readPolicy(ctx, d, meta)
}

func deletePolicy(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	arn, c := d.Id(), conn(meta)
	versions, err := c.ListPolicyVersions(ctx, arn)
	if absent(err) {
		return nil
	}
	if err != nil {
		return failed(cloudapi.ListPolicyVersions, err, "reading IAM Policy (%s) versions", arn)
	}
	for _, v := range versions {
		if v.Default {
			continue
		}
		if diags := deleteVersion(ctx, c, arn, v.ID); diags.HasError() {
			return diags
		}
	}
	if err := c.IAM(ctx, cloudapi.DeletePolicy, cloudapi.IAMRequest{PolicyARN: arn}); err != nil && !absent(err) {
		return failed(cloudapi.DeletePolicy, err, "deleting IAM Policy (%s)", arn)
	}
	return nil
}

func deleteVersion(ctx context.Context, c cloudapi.Client, arn, version string) diag.Diagnostics {
	if err := c.IAM(ctx, cloudapi.DeletePolicyVersion, cloudapi.IAMRequest{PolicyARN: arn, VersionID: version}); err != nil {
		return failed(cloudapi.DeletePolicyVersion, err, "deleting IAM Policy (%s) version (%s)", arn, version)
	}
	return nil
}
