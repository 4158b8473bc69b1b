package google

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
	"github.com/serviceconnections/function-service-connections/test/providers/terraform"
)

// google is what its resources have of the provider of Terraform.
type google struct {
	cloud cloudapi.Client
	locks *terraform.Locks
}

// serviceAccountIAMMember is google_service_account_iam_member
// (terraform-provider-google, google/tpgiamresource/resource_iam_member.go and
// google/services/resourcemanager/iam_service_account.go), without conditions, of
// which the function sets none.
func serviceAccountIAMMember() *schema.Resource {
	required := &schema.Schema{Type: schema.TypeString, Required: true, ForceNew: true}
	text := &schema.Schema{Type: schema.TypeString, Optional: true, ForceNew: true}
	return &schema.Resource{
		CreateWithoutTimeout: createMember,
		ReadWithoutTimeout:   readMember,
		DeleteWithoutTimeout: deleteMember,
		Schema: map[string]*schema.Schema{
			"service_account_id": required,
			"role":               required,
			"member": {Type: schema.TypeString, Required: true, ForceNew: true, DiffSuppressFunc: func(_, was, now string, _ *schema.ResourceData) bool {
				return strings.EqualFold(was, now)
			}},
			"condition": {Type: schema.TypeList, Optional: true, MaxItems: 1, ForceNew: true, Elem: &schema.Resource{
				Schema: map[string]*schema.Schema{"expression": text, "title": text, "description": text},
			}},
			"etag": {Type: schema.TypeString, Computed: true},
		},
	}
}

// said is an error of Google as google-api-go-client writes it (googleapi.Error):
// where the API says why it refuses, that comes as JSON in lines of its own.
func said(err error) string {
	var e *cloudapi.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	message, details, _ := strings.Cut(e.Message, "\n")
	if details != "" {
		return fmt.Sprintf("googleapi: Error %d: %s\nDetails:\n%s\n, %s", e.Status, message, details, e.Code)
	}
	return fmt.Sprintf("googleapi: Error %d: %s, %s", e.Status, message, e.Code)
}

func absent(err error) bool { return cloudapi.Is(err, "notFound") }

// A binding that is to be made or taken back.
type binding struct{ account, role, member string }

func wanted(d *schema.ResourceData) binding {
	get := func(field string) string {
		s, _ := d.Get(field).(string)
		return s
	}
	return binding{get("service_account_id"), get("role"), get("member")}
}

// in says whether a policy has the binding.
func (b binding) in(p cloudapi.IAMPolicy) bool {
	return slices.ContainsFunc(p.Bindings, func(x cloudapi.Binding) bool {
		return x.Role == b.role && slices.ContainsFunc(x.Members, func(m string) bool { return strings.EqualFold(m, b.member) })
	})
}

// edit a policy so that it has the binding, or has it not.
func (b binding) edit(p *cloudapi.IAMPolicy, present bool) {
	members := map[string]map[string]bool{b.role: {}}
	for _, x := range p.Bindings {
		if members[x.Role] == nil {
			members[x.Role] = map[string]bool{}
		}
		for _, m := range x.Members {
			members[x.Role][m] = true
		}
	}
	delete(members[b.role], b.member)
	if present {
		members[b.role][b.member] = true
	}
	p.Bindings = nil
	for _, role := range slices.Sorted(maps.Keys(members)) {
		if len(members[role]) > 0 {
			p.Bindings = append(p.Bindings, cloudapi.Binding{Role: role, Members: slices.Sorted(maps.Keys(members[role]))})
		}
	}
}

// An iamError keeps what the cloud said behind the words of the provider.
type iamError struct {
	text  string
	cause error
}

func (e iamError) Error() string { return e.text }
func (e iamError) Unwrap() error { return e.cause }

func (g *google) get(ctx context.Context, account string) (cloudapi.IAMPolicy, error) {
	p, err := g.cloud.GetIAMPolicy(ctx, account)
	if err != nil {
		return p, iamError{fmt.Sprintf("Error retrieving IAM policy for service account '%s': %s", account, said(err)), err}
	}
	return p, nil
}

// modify a policy: read, change, write, and try again where somebody else wrote
// in between; then read it three times, since a policy isn't everywhere at once
// (google/tpgiamresource/iam.go, iamPolicyReadModifyWrite).
func (g *google) modify(ctx context.Context, b binding, present bool) error {
	defer g.locks.Lock("iam-service-account-" + b.account)()
	for backoff := time.Second; ; backoff *= 2 {
		p, err := g.get(ctx, b.account)
		if err != nil {
			return err
		}
		b.edit(&p, present)
		_, err = g.cloud.SetIAMPolicy(ctx, p)
		if err == nil {
			break
		}
		if !cloudapi.Is(err, "aborted") || backoff > 30*time.Second {
			return iamError{fmt.Sprintf("Error applying IAM policy for service account '%[1]s': Error setting IAM policy for service account '%[1]s': %[2]s", b.account, said(err)), err}
		}
		terraform.Wait(ctx, backoff)
	}
	for range 3 {
		terraform.Wait(ctx, time.Second)
		if _, err := g.get(ctx, b.account); err != nil {
			return err
		}
	}
	return nil
}

func createMember(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	g, _ := meta.(*google)
	b := wanted(d)
	if err := g.modify(ctx, b, true); err != nil {
		return diag.FromErr(err)
	}
	d.SetId(b.account + "/" + b.role + "/" + b.member)
	return readMember(ctx, d, meta)
}

func readMember(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	g, _ := meta.(*google)
	b := wanted(d)
	unlock := g.locks.Lock("iam-service-account-" + b.account)
	p, err := g.get(ctx, b.account)
	unlock()
	if absent(err) || err == nil && !b.in(p) {
		d.SetId("")
		return nil
	}
	if err != nil {
		return diag.Errorf("Error when reading or editing Resource %q with IAM Member: Role %q Member %q: %s", fmt.Sprintf("service account '%s'", b.account), b.role, b.member, err)
	}
	return diag.FromErr(errors.Join(d.Set("etag", p.Etag), d.Set("member", b.member), d.Set("role", b.role)))
}

func deleteMember(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	g, _ := meta.(*google)
	b := wanted(d)
	err := g.modify(ctx, b, false)
	if absent(err) {
		d.SetId("")
		return nil
	}
	if err != nil {
		return diag.Errorf("Error when reading or editing Resource %s for IAM Member (role %q, %q): %s", b.account, b.member, b.role, err)
	}
	return readMember(ctx, d, meta)
}
