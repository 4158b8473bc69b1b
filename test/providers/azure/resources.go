package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/hashicorp/terraform-plugin-sdk/v2/diag"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
)

// said is an error of Azure as go-azure-sdk writes it (sdk/client, Client.Execute
// and odata.Error).
func said(err error) string {
	var e *cloudapi.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	return fmt.Sprintf("unexpected status %d (%d %s) with error: %s: %s", e.Status, e.Status, http.StatusText(e.Status), e.Code, e.Message)
}

func failed(err error, format string, a ...any) diag.Diagnostics {
	return diag.Errorf("%s: %s", fmt.Sprintf(format, a...), said(err))
}

func absent(err error) bool {
	var e *cloudapi.Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound
}

// An armID of an identity or one of its credentials.
type armID struct{ subscription, group, identity, credential string }

// parse an id as go-azure-sdk does: constant segments without regard to case, and
// the others as they are.
func parse(id string) (armID, error) {
	want := []string{"", "subscriptions", "", "resourceGroups", "", "providers", "Microsoft.ManagedIdentity", "userAssignedIdentities", "", "federatedIdentityCredentials", ""}
	got := strings.Split(id, "/")
	if len(got) != 9 && len(got) != 11 {
		return armID{}, fmt.Errorf("parsing %q: parsing the ID: the number of segments didn't match", id)
	}
	for i, w := range want[:len(got)] {
		if i > 0 && w != "" && !strings.EqualFold(w, got[i]) || w == "" && i > 0 && got[i] == "" {
			return armID{}, fmt.Errorf("parsing %q: parsing segment %q: expected the segment %q to be %q", id, w, got[i], w)
		}
	}
	a := armID{subscription: got[2], group: got[4], identity: got[8]}
	if len(got) == 11 {
		a.credential = got[10]
	}
	return a, nil
}

func (a armID) parent() string {
	return fmt.Sprintf("/subscriptions/%s/resourceGroups/%s/providers/Microsoft.ManagedIdentity/userAssignedIdentities/%s", a.subscription, a.group, a.identity)
}

func (a armID) id() string {
	if a.credential == "" {
		return a.parent()
	}
	return a.parent() + "/federatedIdentityCredentials/" + a.credential
}

// String for an error, of several lines.
func (a armID) String() string {
	kind, lines := "User Assigned Identity", []string{
		fmt.Sprintf("Subscription: %q", a.subscription), fmt.Sprintf("Resource Group Name: %q", a.group), fmt.Sprintf("User Assigned Identity Name: %q", a.identity),
	}
	if a.credential != "" {
		kind, lines = "Federated Identity Credential", append(lines, fmt.Sprintf("Federated Identity Credential Name: %q", a.credential))
	}
	return fmt.Sprintf("%s (%s)", kind, strings.Join(lines, "\n"))
}

func text(d *schema.ResourceData, field string) string {
	s, _ := d.Get(field).(string)
	return s
}

func set(d *schema.ResourceData, fields map[string]any) diag.Diagnostics {
	for k, v := range fields {
		if err := d.Set(k, v); err != nil {
			return diag.FromErr(err)
		}
	}
	return nil
}

// federatedIdentityCredential is azurerm_federated_identity_credential
// (terraform-provider-azurerm,
// internal/services/managedidentity/federated_identity_credential_resource.go).
func federatedIdentityCredential() *schema.Resource {
	required := func(forceNew bool) *schema.Schema {
		return &schema.Schema{Type: schema.TypeString, Required: true, ForceNew: forceNew}
	}
	return &schema.Resource{
		CreateWithoutTimeout: writeCredential,
		ReadWithoutTimeout:   readCredential,
		UpdateWithoutTimeout: writeCredential,
		DeleteWithoutTimeout: deleteCredential,
		Schema: map[string]*schema.Schema{
			"audience":            {Type: schema.TypeList, Required: true, MaxItems: 1, Elem: &schema.Schema{Type: schema.TypeString}},
			"issuer":              required(false),
			"name":                required(true),
			"parent_id":           required(true),
			"resource_group_name": required(true),
			"subject":             required(false),
		},
	}
}

// writeCredential in the subscription of the ProviderConfig: of the identity's id
// only the name counts.
func writeCredential(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	p, _ := meta.(*azurerm)
	parent, err := parse(text(d, "parent_id"))
	if err != nil {
		return diag.Errorf("parsing parent resource ID: %s", err)
	}
	defer p.locks.Lock(parent.parent())()
	id := armID{p.subscription, text(d, "resource_group_name"), parent.identity, text(d, "name")}
	if d.IsNewResource() {
		switch _, err := p.cloud.ReadCredential(ctx, id.id()); {
		case err == nil:
			return diag.Errorf("a resource with the ID %q already exists - to be managed via Terraform this resource needs to be imported into the State. Please see the resource documentation for %q for more information", id.id(), "azurerm_federated_identity_credential")
		case !absent(err):
			return failed(err, "checking for the presence of an existing %s", id)
		}
	}
	var audiences []string
	list, _ := d.Get("audience").([]any)
	for _, a := range list {
		s, _ := a.(string)
		audiences = append(audiences, s)
	}
	if err := p.cloud.WriteCredential(ctx, cloudapi.Credential{ID: id.id(), Issuer: text(d, "issuer"), Subject: text(d, "subject"), Audiences: audiences}); err != nil {
		return failed(err, "creating %s", id)
	}
	d.SetId(id.id())
	return readCredential(ctx, d, meta)
}

func readCredential(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	p, _ := meta.(*azurerm)
	id, err := parse(d.Id())
	if err != nil {
		return diag.FromErr(err)
	}
	cr, err := p.cloud.ReadCredential(ctx, id.id())
	if absent(err) {
		d.SetId("")
		return nil
	}
	if err != nil {
		return failed(err, "retrieving %s", id)
	}
	return set(d, map[string]any{
		"audience": cr.Audiences, "issuer": cr.Issuer, "name": id.credential, "parent_id": id.parent(), "resource_group_name": id.group, "subject": cr.Subject,
	})
}

func deleteCredential(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	p, _ := meta.(*azurerm)
	parent, err := parse(text(d, "parent_id"))
	if err != nil {
		return diag.Errorf("parsing parent resource ID: %s", err)
	}
	defer p.locks.Lock(parent.parent())()
	id, err := parse(d.Id())
	if err != nil {
		return diag.FromErr(err)
	}
	if err := p.cloud.DeleteCredential(ctx, id.id()); err != nil {
		return failed(err, "deleting %s", id)
	}
	return nil
}

// userAssignedIdentity is azurerm_user_assigned_identity
// (terraform-provider-azurerm,
// internal/services/managedidentity/user_assigned_identity_resource.go), to be read
// only: the function creates none.
func userAssignedIdentity() *schema.Resource {
	only := func(context.Context, *schema.ResourceData, any) diag.Diagnostics {
		return diag.Errorf("the providers of the tests only read managed identities")
	}
	computed := &schema.Schema{Type: schema.TypeString, Computed: true}
	required := &schema.Schema{Type: schema.TypeString, Required: true, ForceNew: true}
	return &schema.Resource{
		CreateWithoutTimeout: only,
		ReadWithoutTimeout:   readIdentity,
		UpdateWithoutTimeout: only,
		DeleteWithoutTimeout: only,
		SchemaVersion:        1,
		Schema: map[string]*schema.Schema{
			"client_id": computed, "principal_id": computed, "tenant_id": computed,
			"location": required, "name": required, "resource_group_name": required,
			"tags": {Type: schema.TypeMap, Optional: true, Elem: &schema.Schema{Type: schema.TypeString}},
		},
	}
}

func readIdentity(ctx context.Context, d *schema.ResourceData, meta any) diag.Diagnostics {
	p, _ := meta.(*azurerm)
	id, err := parse(d.Id())
	if err != nil {
		return diag.FromErr(err)
	}
	i, err := p.cloud.ReadIdentity(ctx, id.id())
	if absent(err) {
		d.SetId("")
		return nil
	}
	if err != nil {
		return failed(err, "retrieving %s", id)
	}
	return set(d, map[string]any{
		"name": id.identity, "resource_group_name": id.group, "location": i.Location, "client_id": i.ClientID,
		"principal_id": i.PrincipalID, "tenant_id": i.TenantID, "tags": i.Tags,
	})
}
