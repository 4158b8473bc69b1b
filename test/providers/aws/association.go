package aws

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	pschema "github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
	"github.com/serviceconnections/function-service-connections/test/providers/terraform"
)

// framework is the part of terraform-provider-aws that is made with
// terraform-plugin-framework.
type framework struct{ cloud cloudapi.Client }

// Metadata of the provider.
func (*framework) Metadata(_ context.Context, _ provider.MetadataRequest, r *provider.MetadataResponse) {
	r.TypeName = "aws"
}

// Schema of the provider, which is configured by its client.
func (*framework) Schema(_ context.Context, _ provider.SchemaRequest, r *provider.SchemaResponse) {
	r.Schema = pschema.Schema{}
}

// Configure resources with the client.
func (p *framework) Configure(_ context.Context, _ provider.ConfigureRequest, r *provider.ConfigureResponse) {
	r.ResourceData = p.cloud
}

// DataSources are none.
func (*framework) DataSources(context.Context) []func() datasource.DataSource { return nil }

// Resources of the provider.
func (*framework) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{func() resource.Resource { return &association{} }}
}

// An association is aws_eks_pod_identity_association (terraform-provider-aws,
// internal/service/eks/pod_identity_association.go).
type association struct{ cloud cloudapi.Client }

type associationModel struct {
	AssociationARN     types.String `tfsdk:"association_arn"`
	AssociationID      types.String `tfsdk:"association_id"`
	ClusterName        types.String `tfsdk:"cluster_name"`
	DisableSessionTags types.Bool   `tfsdk:"disable_session_tags"`
	ExternalID         types.String `tfsdk:"external_id"`
	ID                 types.String `tfsdk:"id"`
	Namespace          types.String `tfsdk:"namespace"`
	Region             types.String `tfsdk:"region"`
	RoleARN            types.String `tfsdk:"role_arn"`
	ServiceAccount     types.String `tfsdk:"service_account"`
	Tags               types.Map    `tfsdk:"tags"`
	TagsAll            types.Map    `tfsdk:"tags_all"`
	TargetRoleARN      types.String `tfsdk:"target_role_arn"`
}

// Metadata of the resource.
func (*association) Metadata(_ context.Context, _ resource.MetadataRequest, r *resource.MetadataResponse) {
	r.TypeName = "aws_eks_pod_identity_association"
}

// Configure the resource with the provider's client.
func (a *association) Configure(_ context.Context, q resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	if c, ok := q.ProviderData.(cloudapi.Client); ok {
		a.cloud = c
	}
}

// Schema of the resource.
func (*association) Schema(_ context.Context, _ resource.SchemaRequest, r *resource.SchemaResponse) {
	keep := []planmodifier.String{stringplanmodifier.UseStateForUnknown()}
	replace := []planmodifier.String{stringplanmodifier.RequiresReplace()}
	r.Schema = schema.Schema{Attributes: map[string]schema.Attribute{
		"association_arn":      schema.StringAttribute{Computed: true, PlanModifiers: keep},
		"association_id":       schema.StringAttribute{Computed: true, PlanModifiers: keep},
		"cluster_name":         schema.StringAttribute{Required: true, PlanModifiers: replace},
		"disable_session_tags": schema.BoolAttribute{Optional: true, Computed: true, Default: booldefault.StaticBool(false)},
		"external_id":          schema.StringAttribute{Computed: true},
		"id":                   schema.StringAttribute{Computed: true, PlanModifiers: keep},
		"namespace":            schema.StringAttribute{Required: true, PlanModifiers: replace},
		"region":               schema.StringAttribute{Optional: true, Computed: true, PlanModifiers: keep},
		"role_arn":             schema.StringAttribute{Required: true},
		"service_account":      schema.StringAttribute{Required: true, PlanModifiers: replace},
		"tags":                 schema.MapAttribute{ElementType: types.StringType, Optional: true},
		"tags_all":             schema.MapAttribute{ElementType: types.StringType, Computed: true},
		"target_role_arn":      schema.StringAttribute{Optional: true},
	}}
}

// ModifyPlan so that all tags are those of the resource, as there are no others
// (terraform-provider-aws, internal/provider/framework, the tags' interceptor).
func (*association) ModifyPlan(ctx context.Context, q resource.ModifyPlanRequest, r *resource.ModifyPlanResponse) {
	if q.Plan.Raw.IsNull() {
		return
	}
	var plan associationModel
	r.Diagnostics.Append(q.Plan.Get(ctx, &plan)...)
	if r.Diagnostics.HasError() {
		return
	}
	plan.TagsAll = plan.Tags
	r.Diagnostics.Append(r.Plan.Set(ctx, &plan)...)
}

func tagMap(ctx context.Context, m types.Map) (map[string]string, diag.Diagnostics) {
	out := map[string]string{}
	if m.IsNull() || m.IsUnknown() {
		return out, nil
	}
	diags := m.ElementsAs(ctx, &out, false)
	return out, diags
}

func optional(s string) types.String {
	if s == "" {
		return types.StringNull()
	}
	return types.StringValue(s)
}

// told is what EKS says of an association.
func (m *associationModel) told(ctx context.Context, a cloudapi.Association) diag.Diagnostics {
	m.AssociationARN, m.AssociationID, m.ID = types.StringValue(a.ARN), types.StringValue(a.ID), types.StringValue(a.ID)
	m.ClusterName, m.Namespace, m.ServiceAccount = types.StringValue(a.ClusterName), types.StringValue(a.Namespace), types.StringValue(a.ServiceAccount)
	m.RoleARN, m.TargetRoleARN, m.ExternalID = types.StringValue(a.RoleARN), optional(a.TargetRoleARN), optional(a.ExternalID)
	m.DisableSessionTags, m.Region = types.BoolValue(a.DisableSessionTags), types.StringValue(a.Region)
	m.Tags, m.TagsAll = types.MapNull(types.StringType), types.MapNull(types.StringType)
	if len(a.Tags) == 0 {
		return nil
	}
	all, diags := types.MapValueFrom(ctx, types.StringType, a.Tags)
	m.Tags, m.TagsAll = all, all
	return diags
}

// Roles that IAM doesn't know everywhere yet are waited for.
const noSuchRole = "Role provided in the request does not exist"

func associate(ctx context.Context, call func() (cloudapi.Association, error)) (cloudapi.Association, error) {
	return terraform.Retry(ctx, propagation, call, func(err error) bool {
		return cloudapi.Is(err, "InvalidParameterException") && containsMessage(err, noSuchRole)
	})
}

// Create the association.
func (a *association) Create(ctx context.Context, q resource.CreateRequest, r *resource.CreateResponse) {
	var d associationModel
	r.Diagnostics.Append(q.Plan.Get(ctx, &d)...)
	labels, diags := tagMap(ctx, d.TagsAll)
	r.Diagnostics.Append(diags...)
	if r.Diagnostics.HasError() {
		return
	}
	out, err := associate(ctx, func() (cloudapi.Association, error) {
		return a.cloud.CreatePodIdentityAssociation(ctx, cloudapi.Association{
			Region: d.Region.ValueString(), ClusterName: d.ClusterName.ValueString(), Namespace: d.Namespace.ValueString(), ServiceAccount: d.ServiceAccount.ValueString(),
			RoleARN: d.RoleARN.ValueString(), TargetRoleARN: d.TargetRoleARN.ValueString(), DisableSessionTags: d.DisableSessionTags.ValueBool(), Tags: labels,
		})
	})
	if err != nil {
		r.Diagnostics.AddError("creating EKS Pod Identity Association", said(cloudapi.CreatePodIdentityAssociation, err))
		return
	}
	d.AssociationARN, d.AssociationID, d.ID, d.ExternalID = types.StringValue(out.ARN), types.StringValue(out.ID), types.StringValue(out.ID), optional(out.ExternalID)
	d.Region = types.StringValue(out.Region)
	r.Diagnostics.Append(r.State.Set(ctx, &d)...)
}

// Read the association.
func (a *association) Read(ctx context.Context, q resource.ReadRequest, r *resource.ReadResponse) {
	var d associationModel
	r.Diagnostics.Append(q.State.Get(ctx, &d)...)
	if r.Diagnostics.HasError() {
		return
	}
	out, err := a.cloud.DescribePodIdentityAssociation(ctx, d.AssociationID.ValueString(), d.ClusterName.ValueString())
	if absent(err) {
		r.Diagnostics.AddWarning("AWS resource not found during refresh", "Automatically removing from Terraform State instead of returning the error, which may trigger resource recreation. Original error: "+said(cloudapi.DescribePodIdentityAssociation, err))
		r.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		r.Diagnostics.AddError(fmt.Sprintf("reading EKS Pod Identity Association (%s)", d.ID.ValueString()), said(cloudapi.DescribePodIdentityAssociation, err))
		return
	}
	r.Diagnostics.Append(d.told(ctx, out)...)
	r.Diagnostics.Append(r.State.Set(ctx, &d)...)
}

// Update the association's roles and tags.
func (a *association) Update(ctx context.Context, q resource.UpdateRequest, r *resource.UpdateResponse) {
	var was, now associationModel
	r.Diagnostics.Append(q.State.Get(ctx, &was)...)
	r.Diagnostics.Append(q.Plan.Get(ctx, &now)...)
	old, diags := tagMap(ctx, was.TagsAll)
	r.Diagnostics.Append(diags...)
	labels, diags := tagMap(ctx, now.TagsAll)
	r.Diagnostics.Append(diags...)
	if r.Diagnostics.HasError() {
		return
	}
	now.ExternalID = was.ExternalID
	if !now.DisableSessionTags.Equal(was.DisableSessionTags) || !now.RoleARN.Equal(was.RoleARN) || !now.TargetRoleARN.Equal(was.TargetRoleARN) {
		out, err := associate(ctx, func() (cloudapi.Association, error) {
			return a.cloud.UpdatePodIdentityAssociation(ctx, cloudapi.Association{
				ID: now.AssociationID.ValueString(), ClusterName: now.ClusterName.ValueString(), RoleARN: now.RoleARN.ValueString(),
				TargetRoleARN: now.TargetRoleARN.ValueString(), DisableSessionTags: now.DisableSessionTags.ValueBool(),
			})
		})
		if err != nil {
			r.Diagnostics.AddError(fmt.Sprintf("updating EKS Pod Identity Association (%s)", now.ID.ValueString()), said(cloudapi.UpdatePodIdentityAssociation, err))
			return
		}
		now.ExternalID = optional(out.ExternalID)
	}
	if err := a.cloud.TagAssociation(ctx, now.AssociationARN.ValueString(), changed(old, labels), removed(old, labels)); err != nil {
		r.Diagnostics.AddError(fmt.Sprintf("updating tags for EKS (Elastic Kubernetes) Pod Identity Association (%s)", now.AssociationARN.ValueString()), said(cloudapi.TagResource, err))
		return
	}
	r.Diagnostics.Append(r.State.Set(ctx, &now)...)
}

// Delete the association.
func (a *association) Delete(ctx context.Context, q resource.DeleteRequest, r *resource.DeleteResponse) {
	var d associationModel
	r.Diagnostics.Append(q.State.Get(ctx, &d)...)
	if r.Diagnostics.HasError() {
		return
	}
	err := a.cloud.DeletePodIdentityAssociation(ctx, d.AssociationID.ValueString(), d.ClusterName.ValueString())
	if err != nil && !absent(err) {
		r.Diagnostics.AddError(fmt.Sprintf("deleting EKS Pod Identity Association (%s)", d.ID.ValueString()), said(cloudapi.DeletePodIdentityAssociation, err))
	}
}
