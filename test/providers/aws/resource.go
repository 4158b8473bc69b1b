package aws

import (
	"context"
	"maps"

	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
	"github.com/serviceconnections/function-service-connections/test/providers/terraform"
)

// conn to the cloud.
func conn(meta any) cloudapi.Client {
	c, _ := meta.(cloudapi.Client)
	return c
}

func text(d *schema.ResourceData, field string) string {
	s, _ := d.Get(field).(string)
	return s
}

func number(d *schema.ResourceData, field string) int {
	n, _ := d.Get(field).(int)
	return n
}

// texts of a map of Terraform.
func texts(v any) map[string]string {
	m, _ := v.(map[string]any)
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k], _ = v.(string)
	}
	return out
}

// set fields of the state.
func set(d *schema.ResourceData, fields map[string]any) diag.Diagnostics {
	for k, v := range fields {
		if err := d.Set(k, v); err != nil {
			return diag.FromErr(err)
		}
	}
	return nil
}

// document of a policy, in which spaces and the order of fields mean nothing
// (terraform-provider-aws, verify.SuppressEquivalentPolicyDiffs).
func document() *schema.Schema {
	return &schema.Schema{
		Type: schema.TypeString, Required: true, DiffSuppressOnRefresh: true,
		DiffSuppressFunc: func(_, was, now string, _ *schema.ResourceData) bool { return terraform.Equivalent(was, now) },
	}
}

func tags() *schema.Schema {
	return &schema.Schema{Type: schema.TypeMap, Optional: true, Elem: &schema.Schema{Type: schema.TypeString}}
}

func tagsAll() *schema.Schema {
	return &schema.Schema{Type: schema.TypeMap, Optional: true, Computed: true, Elem: &schema.Schema{Type: schema.TypeString}}
}

// tagsDiff has all tags be those of the resource, as there are no others
// (terraform-provider-aws, verify.SetTagsDiff).
func tagsDiff(_ context.Context, d *schema.ResourceDiff, _ any) error {
	return d.SetNew("tags_all", d.Get("tags")) //nolint:wrapcheck // The SDK names the resource.
}

func updateTags(ctx context.Context, d *schema.ResourceData, meta any, add, remove string, r cloudapi.IAMRequest) diag.Diagnostics {
	if !d.HasChange("tags_all") {
		return nil
	}
	o, n := d.GetChange("tags_all")
	was, now := texts(o), texts(n)
	if added := changed(was, now); len(added) > 0 {
		r.Tags = added
		if err := conn(meta).IAM(ctx, add, r); err != nil {
			return failed(add, err, "updating tags for IAM resource (%s): tagging resource (%s)", d.Id(), d.Id())
		}
	}
	if gone := removed(was, now); len(gone) > 0 {
		r.Tags, r.Keys = nil, gone
		if err := conn(meta).IAM(ctx, remove, r); err != nil {
			return failed(remove, err, "updating tags for IAM resource (%s): untagging resource (%s)", d.Id(), d.Id())
		}
	}
	return nil
}

// changed tags, and those that are new.
func changed(was, now map[string]string) map[string]string {
	out := maps.Clone(now)
	maps.DeleteFunc(out, func(k, v string) bool { old, ok := was[k]; return ok && old == v })
	return out
}

// removed keys of tags.
func removed(was, now map[string]string) []string {
	var keys []string
	for k := range was {
		if _, ok := now[k]; !ok {
			keys = append(keys, k)
		}
	}
	return keys
}
