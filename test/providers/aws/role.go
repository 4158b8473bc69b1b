package aws

import (
	"context"
	"time"

	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
	"github.com/serviceconnections/function-service-connections/test/providers/terraform"
)

// propagation is how long terraform-provider-aws waits for what IAM does not know
// everywhere yet (internal/service/iam/consts.go, and the same in eks).
const propagation = 2 * time.Minute

// role is aws_iam_role (terraform-provider-aws, internal/service/iam/role.go).
// Inline policies that a role lists itself are left out: the function has none.
func role() *schema.Resource {
	return &schema.Resource{
		CreateWithoutTimeout: createRole,
		ReadWithoutTimeout:   readRole,
		UpdateWithoutTimeout: updateRole,
		DeleteWithoutTimeout: deleteRole,
		CustomizeDiff:        tagsDiff,
		Schema: map[string]*schema.Schema{
			"arn":                   {Type: schema.TypeString, Computed: true},
			"assume_role_policy":    document(),
			"create_date":           {Type: schema.TypeString, Computed: true},
			"description":           {Type: schema.TypeString, Optional: true},
			"force_detach_policies": {Type: schema.TypeBool, Optional: true, Default: false},
			"inline_policy": {Type: schema.TypeSet, Optional: true, Computed: true, Elem: &schema.Resource{Schema: map[string]*schema.Schema{
				"name":   {Type: schema.TypeString, Optional: true},
				"policy": {Type: schema.TypeString, Optional: true},
			}}},
			"managed_policy_arns":  {Type: schema.TypeSet, Optional: true, Computed: true, Elem: &schema.Schema{Type: schema.TypeString}},
			"max_session_duration": {Type: schema.TypeInt, Optional: true, Default: 3600},
			"name":                 {Type: schema.TypeString, Optional: true, Computed: true, ForceNew: true},
			"name_prefix":          {Type: schema.TypeString, Optional: true, Computed: true, ForceNew: true},
			"path":                 {Type: schema.TypeString, Optional: true, Default: "/", ForceNew: true},
			"permissions_boundary": {Type: schema.TypeString, Optional: true},
			"tags":                 tags(),
			"tags_all":             tagsAll(),
			"unique_id":            {Type: schema.TypeString, Computed: true},
		},
	}
}

func createRole(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	name := text(d, "name")
	seconds, _ := d.Get("max_session_duration").(int)
	r, err := conn(meta).CreateRole(ctx, cloudapi.Role{
		Name: name, Path: text(d, "path"), Description: text(d, "description"), AssumeRolePolicy: text(d, "assume_role_policy"),
		PermissionsBoundary: text(d, "permissions_boundary"), MaxSessionDuration: seconds, Tags: texts(d.Get("tags_all")),
	})
	if err != nil {
		return failed(cloudapi.CreateRole, err, "creating IAM Role (%s)", name)
	}
	d.SetId(r.Name)
	return readRole(ctx, d, meta)
}

func readRole(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	r, err := terraform.Retry(ctx, propagation, func() (cloudapi.Role, error) {
		return conn(meta).GetRole(ctx, d.Id())
	}, func(err error) bool { return d.IsNewResource() && absent(err) })
	if err != nil && absent(err) && !d.IsNewResource() {
		d.SetId("")
		return nil
	}
	if err != nil {
		return failed(cloudapi.GetRole, err, "reading IAM Role (%s)", d.Id())
	}
	trust := r.AssumeRolePolicy
	if was := text(d, "assume_role_policy"); terraform.Equivalent(was, trust) {
		trust = was
	}
	inline, err := conn(meta).Names(ctx, cloudapi.ListRolePolicies, r.Name)
	if err != nil {
		return failed(cloudapi.ListRolePolicies, err, "reading inline policies for IAM role %s, error", d.Id())
	}
	for _, name := range inline {
		if err := conn(meta).IAM(ctx, cloudapi.GetRolePolicy, cloudapi.IAMRequest{RoleName: r.Name, PolicyName: name}); err != nil {
			return failed(cloudapi.GetRolePolicy, err, "reading inline policies for IAM role %s, error", d.Id())
		}
	}
	attached, err := conn(meta).Names(ctx, cloudapi.ListAttachedRolePolicies, r.Name)
	if err != nil {
		return failed(cloudapi.ListAttachedRolePolicies, err, "reading IAM Policies attached to Role (%s)", d.Id())
	}
	return set(d, map[string]any{
		"arn": r.ARN, "assume_role_policy": trust, "create_date": r.Created, "description": r.Description, "managed_policy_arns": attached,
		"max_session_duration": r.MaxSessionDuration, "name": r.Name, "name_prefix": "", "path": r.Path,
		"permissions_boundary": r.PermissionsBoundary, "unique_id": r.ID, "tags": r.Tags, "tags_all": r.Tags,
	})
}

func updateRole(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	name := d.Id()
	for _, c := range []struct {
		field, action, what string
		request             cloudapi.IAMRequest
	}{
		{"assume_role_policy", cloudapi.UpdateAssumeRolePolicy, "assume role policy", cloudapi.IAMRequest{Document: text(d, "assume_role_policy")}},
		{"description", cloudapi.UpdateRoleDescription, "description", cloudapi.IAMRequest{Text: text(d, "description")}},
		{"max_session_duration", cloudapi.UpdateRole, "MaxSessionDuration", cloudapi.IAMRequest{Seconds: number(d, "max_session_duration")}},
	} {
		c.request.RoleName = name
		if !d.HasChange(c.field) {
			continue
		}
		if err := conn(meta).IAM(ctx, c.action, c.request); err != nil {
			return failed(c.action, err, "updating IAM Role (%s) %s", name, c.what)
		}
	}
	if d.HasChange("permissions_boundary") {
		action, verb := cloudapi.PutRolePermissionsBoundary, "updating"
		if text(d, "permissions_boundary") == "" {
			action, verb = cloudapi.DeleteRolePermissionsBoundary, "deleting"
		}
		if err := conn(meta).IAM(ctx, action, cloudapi.IAMRequest{RoleName: name, Boundary: text(d, "permissions_boundary")}); err != nil {
			return failed(action, err, "%s IAM Role (%s) permissions boundary", verb, name)
		}
	}
	if diags := updateTags(ctx, d, meta, cloudapi.TagRole, cloudapi.UntagRole, cloudapi.IAMRequest{RoleName: name}); diags.HasError() {
		return diags
	}
	return readRole(ctx, d, meta)
}

// deleteRole with what is attached to it, as force_detach_policies says.
func deleteRole(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	name, c := d.Id(), conn(meta)
	if _, err := c.Names(ctx, cloudapi.ListInstanceProfilesForRole, name); absent(err) {
		return nil
	} else if err != nil {
		return failed(cloudapi.ListInstanceProfilesForRole, err, "deleting IAM Role (%s): reading IAM Instance Profiles for Role (%s)", name, name)
	}
	if force, _ := d.Get("force_detach_policies").(bool); force {
		for _, x := range []struct{ list, remove string }{
			{cloudapi.ListAttachedRolePolicies, cloudapi.DetachRolePolicy}, {cloudapi.ListRolePolicies, cloudapi.DeleteRolePolicy},
		} {
			all, err := c.Names(ctx, x.list, name)
			if err != nil && !absent(err) {
				return failed(x.list, err, "deleting IAM Role (%s): reading IAM Policies attached to Role (%s)", name, name)
			}
			for _, p := range all {
				if err := c.IAM(ctx, x.remove, cloudapi.IAMRequest{RoleName: name, PolicyARN: p, PolicyName: p}); err != nil && !absent(err) {
					return failed(x.remove, err, "deleting IAM Role (%s): detaching IAM Policy (%s) from Role (%s)", name, p, name)
				}
			}
		}
	}
	_, err := terraform.Retry(ctx, propagation, func() (any, error) {
		return nil, c.IAM(ctx, cloudapi.DeleteRole, cloudapi.IAMRequest{RoleName: name})
	}, func(err error) bool { return cloudapi.Is(err, "DeleteConflict") })
	if err != nil && !absent(err) {
		return failed(cloudapi.DeleteRole, err, "deleting IAM Role (%s)", name)
	}
	return nil
}
