package settings

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/serviceconnections/function-service-connections/fn/excerpt"
	"github.com/serviceconnections/function-service-connections/input/v1beta1"
)

var (
	accountPattern     = regexp.MustCompile(`^[0-9]{12}$`)
	regionPattern      = regexp.MustCompile(`^[a-z]{2,4}(-[a-z]+)+-[0-9]+$`)
	eksPattern         = regexp.MustCompile(`^[0-9A-Za-z][A-Za-z0-9_-]{0,99}$`)
	policyARNPattern   = regexp.MustCompile(`^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/([!-~]{1,512}/)?[\w+=,.@-]{1,128}$`)
	rolePathPattern    = regexp.MustCompile(`^/([\w+=,.@-]+/)*$`)
	partitionPattern   = regexp.MustCompile(`^aws(-[a-z]+)*$`)
	uuidPattern        = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	projectPattern     = regexp.MustCompile(`^([a-z0-9][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$`)
	aksPattern         = regexp.MustCompile(`^https://([a-z0-9-]+\.)?(oic|oidc)\.prod-aks\.azure\.com/.*[^/]$`)
	poolPattern        = regexp.MustCompile(`^[a-z0-9.:-]+\.svc\.id\.goog$`)
	accountNamePattern = regexp.MustCompile(`^([a-z][a-z0-9-]{4,28}[a-z0-9]|[a-z0-9][a-z0-9-]{4,62}@[a-z0-9.-]+\.gserviceaccount\.com)$`)
	imagePattern       = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/:@-]*$`)
)

func (s *Settings) validate(p *field.Path) field.ErrorList {
	v := validator{}
	v.required(p.Child("cluster", "name"), s.Cluster.Name, "name the cluster, unique among those that share cloud accounts")
	v.aws(s.AWS, p.Child("aws"))
	v.azure(s.Azure, p.Child("azure"))
	v.gcp(s.GCP, p.Child("gcp"))
	v.providerConfig(s.Kubernetes.ProviderConfigRef, p.Child("kubernetes", "providerConfigRef"))
	v.disks(s.Disks, p.Child("disks"))
	return v.errs
}

// A validator gathers every mistake in the settings.
type validator struct{ errs field.ErrorList }

func (v *validator) aws(a *v1beta1.AWS, p *field.Path) {
	if a == nil {
		return
	}
	v.form(p.Child("accountId"), a.AccountID, accountPattern, "must be 12 digits, in quotes")
	v.form(p.Child("region"), a.Region, regionPattern, "must be a region such as eu-west-1")
	v.form(p.Child("partition"), a.Partition, partitionPattern, "must be a partition such as aws or aws-cn")
	v.oneOf(p.Child("mode"), a.Mode, ModePodIdentity, ModeIRSA)
	v.oneOf(p.Child("ipFamily"), a.IPFamily, ipv4, ipv6)
	switch a.Mode {
	case ModePodIdentity:
		v.form(p.Child("clusterName"), a.ClusterName, eksPattern, "must be the EKS cluster's name")
	case ModeIRSA:
		v.issuer(p.Child("oidcIssuer"), a.OIDCIssuer)
	}
	v.providerConfig(a.ProviderConfigRef, p.Child("providerConfigRef"))
	v.createRoles(a.CreateRoles, p.Child("createRoles"))
	if a.AllowedRoles == nil {
		return
	}
	for i, r := range *a.AllowedRoles {
		if v.enough() {
			return
		}
		rp := p.Child("allowedRoles").Index(i)
		v.required(rp.Child("pattern"), r.Pattern, "name the roles, such as my-app-*")
		v.namespaces(rp.Child("namespaces"), r.Namespaces)
	}
}

func (v *validator) createRoles(c *v1beta1.RoleCreation, p *field.Path) {
	if c == nil {
		return
	}
	if c.Namespaces == nil {
		v.errs = append(v.errs, field.Required(p.Child("namespaces"), `name the namespaces, "*" for all, or [] for none`))
	}
	for i, n := range c.Namespaces {
		v.required(p.Child("namespaces").Index(i), n, `name a namespace, or "*" for all`)
	}
	if len(c.Namespaces) > 0 || c.PermissionsBoundaryARN != "" {
		// Without a boundary, whoever may write a policy may grant everything.
		v.form(p.Child("permissionsBoundaryArn"), c.PermissionsBoundaryARN, policyARNPattern, "must be the ARN of a managed policy that bounds what created roles can do")
	}
	v.form(p.Child("path"), c.Path, rolePathPattern, "must be a path such as /serviceconnections/, with a slash at both ends")
	if c.AllowedPolicyARNs == nil {
		return
	}
	for i, arn := range *c.AllowedPolicyARNs {
		if ap := p.Child("allowedPolicyArns").Index(i); !strings.HasPrefix(arn, "arn:") {
			v.errs = append(v.errs, field.Invalid(ap, arn, "must be the ARN of a managed policy, or a pattern of ARNs that begins with arn:"))
		}
	}
}

func (v *validator) azure(a *v1beta1.Azure, p *field.Path) {
	if a == nil {
		return
	}
	v.form(p.Child("subscriptionId"), a.SubscriptionID, uuidPattern, "must be a UUID")
	v.form(p.Child("tenantId"), a.TenantID, uuidPattern, "must be a UUID")
	v.issuer(p.Child("oidcIssuer"), a.OIDCIssuer)
	if aksPattern.MatchString(a.OIDCIssuer) {
		// Without it every credential would be for an issuer that no token has.
		v.errs = append(v.errs, field.Invalid(p.Child("oidcIssuer"), a.OIDCIssuer, "must end with a slash, as AKS's issuers do; copy it verbatim from az aks show --query oidcIssuerProfile.issuerUrl"))
	}
	v.oneOf(p.Child("environment"), a.Environment, azurePublicCloud, "AzureUSGovernment", "AzureChinaCloud")
	v.providerConfig(a.ProviderConfigRef, p.Child("providerConfigRef"))
	v.subscriptions(a, p.Child("subscriptions"))
	if a.AllowedIdentities == nil {
		return
	}
	for i, r := range *a.AllowedIdentities {
		if v.enough() {
			return
		}
		rp := p.Child("allowedIdentities").Index(i)
		if r.SubscriptionID != "" {
			v.form(rp.Child("subscriptionId"), r.SubscriptionID, uuidPattern, "must be a UUID")
		}
		v.required(rp.Child("resourceGroup"), r.ResourceGroup, `name the resource groups, or "*" for all`)
		v.required(rp.Child("identity"), r.Identity, `name the identities, or "*" for all`)
		v.namespaces(rp.Child("namespaces"), r.Namespaces)
	}
}

// subscriptions beside the cluster's, which has its ProviderConfig elsewhere.
func (v *validator) subscriptions(a *v1beta1.Azure, p *field.Path) {
	seen := map[string]bool{strings.ToLower(a.SubscriptionID): true}
	for i, s := range a.Subscriptions {
		if v.enough() {
			return
		}
		sp, id := p.Index(i), strings.ToLower(s.SubscriptionID)
		v.form(sp.Child("subscriptionId"), s.SubscriptionID, uuidPattern, "must be a UUID")
		v.providerConfig(s.ProviderConfigRef, sp.Child("providerConfigRef"))
		if id != "" && seen[id] {
			v.errs = append(v.errs, field.Duplicate(sp.Child("subscriptionId"), excerpt.Of(s.SubscriptionID, maxShown)))
		}
		seen[id] = true
	}
}

func (v *validator) gcp(g *v1beta1.GCP, p *field.Path) {
	if g == nil {
		return
	}
	v.form(p.Child("projectId"), g.ProjectID, projectPattern, "must be a project id")
	if g.WorkloadPool != "" {
		v.form(p.Child("workloadPool"), g.WorkloadPool, poolPattern, "must be a workload pool such as my-project.svc.id.goog")
	}
	v.providerConfig(g.ProviderConfigRef, p.Child("providerConfigRef"))
	v.form(p.Child("proxy", "image"), g.Proxy.Image, imagePattern, "must be an image reference")
	v.containerResources(p.Child("proxy", "resources"), g.Proxy.Resources)
	if g.ServiceAccounts == nil {
		return
	}
	seen := map[string]bool{}
	for i, a := range *g.ServiceAccounts {
		if v.enough() {
			return
		}
		ap := p.Child("serviceAccounts").Index(i)
		v.form(ap.Child("name"), a.Name, accountNamePattern, "must be a service account id in the cluster's project, or its e-mail")
		v.namespaces(ap.Child("namespaces"), a.Namespaces)
		if seen[a.Name] {
			v.errs = append(v.errs, field.Duplicate(ap.Child("name"), a.Name))
		}
		seen[a.Name] = true
	}
}

func (v *validator) disks(disks *[]v1beta1.Disk, p *field.Path) {
	if disks == nil {
		return
	}
	seen := map[string]bool{}
	for i, d := range *disks {
		if v.enough() {
			return
		}
		dp := p.Index(i)
		for _, msg := range validation.IsDNS1123Label(d.Name) {
			v.errs = append(v.errs, field.Invalid(dp.Child("name"), excerpt.Of(d.Name, maxShown), msg))
		}
		if seen[d.Name] {
			v.errs = append(v.errs, field.Duplicate(dp.Child("name"), d.Name))
		}
		seen[d.Name] = true
		v.namespaces(dp.Child("namespaces"), d.Namespaces)
		v.oneOf(dp.Child("deletionPolicy"), d.DeletionPolicy, PolicyRetain, PolicyDelete)
		if d.Create == nil {
			continue
		}
		v.quantities(dp.Child("create"), map[string]string{"size": d.Create.Size})
		for j, m := range d.Create.AccessModes {
			v.oneOf(dp.Child("create", "accessModes").Index(j), m, "ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany", "ReadOnlyMany")
		}
	}
}

// providerConfig refuses a namespaced ProviderConfig: a team that can write one
// would choose the credentials that its own grants are made with.
func (v *validator) providerConfig(r *v1beta1.ProviderConfigReference, p *field.Path) {
	v.required(p.Child("name"), r.Name, "name the ClusterProviderConfig")
	v.oneOf(p.Child("kind"), r.Kind, clusterProviderConfig)
}

func (v *validator) issuer(p *field.Path, s string) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		v.errs = append(v.errs, field.Invalid(p, excerpt.Of(s, maxShown), "must be the https URL of the cluster's OIDC issuer"))
	}
}

func (v *validator) namespaces(p *field.Path, ns []string) {
	if len(ns) == 0 {
		v.errs = append(v.errs, field.Required(p, `name the namespaces, or "*" for all`))
	}
	for i, n := range ns {
		if v.enough() {
			return
		}
		v.required(p.Index(i), n, `name a namespace, or "*" for all`)
	}
}

// containerResources of the proxy. The admission policy lets no others through,
// and the API server would refuse every pod that has them.
func (v *validator) containerResources(p *field.Path, r *v1beta1.ProxyResources) {
	v.resourceList(p.Child("requests"), r.Requests)
	v.resourceList(p.Child("limits"), r.Limits)
	for _, n := range slices.Sorted(maps.Keys(r.Requests)) {
		request, err := parseQuantity(r.Requests[n])
		if err != nil {
			continue
		}
		if limit, err := parseQuantity(r.Limits[n]); err == nil && request.Cmp(limit) > 0 {
			v.errs = append(v.errs, field.Invalid(p.Child("requests", n), r.Requests[n], "must not be more than the limit, "+r.Limits[n]))
		}
	}
}

func (v *validator) resourceList(p *field.Path, qs map[string]string) {
	v.quantities(p, qs)
	for _, n := range slices.Sorted(maps.Keys(qs)) {
		if allowed := []string{"cpu", "ephemeral-storage", "memory"}; !slices.Contains(allowed, n) {
			v.errs = append(v.errs, field.NotSupported(p, n, allowed))
		}
	}
}

func (v *validator) quantities(p *field.Path, qs map[string]string) {
	for _, n := range slices.Sorted(maps.Keys(qs)) {
		if q, err := parseQuantity(qs[n]); err != nil || q.Sign() <= 0 {
			v.errs = append(v.errs, field.Invalid(p.Child(n), excerpt.Of(qs[n], maxShown), "must be a quantity such as 20Gi or 100m"))
		}
	}
}

// parseQuantity that isn't of thousands of digits, which takes long.
func parseQuantity(s string) (resource.Quantity, error) {
	if len(s) > maxShown {
		return resource.Quantity{}, resource.ErrFormatWrong
	}
	return resource.ParseQuantity(s) //nolint:wrapcheck // Whoever asks says which.
}

func (v *validator) form(p *field.Path, s string, form *regexp.Regexp, want string) {
	switch {
	case s == "":
		v.errs = append(v.errs, field.Required(p, want))
	case len(s) > maxBytes || !form.MatchString(s):
		v.errs = append(v.errs, field.Invalid(p, excerpt.Of(s, maxShown), want))
	}
}

const (
	// maxBytes is beyond what any field with a form may have.
	maxBytes = 2048

	// maxShown bytes of a value are shown in a message.
	maxShown = 200
)

func (v *validator) required(p *field.Path, s, want string) {
	switch {
	case strings.TrimSpace(s) == "":
		v.errs = append(v.errs, field.Required(p, want))
	case len(s) > maxBytes:
		v.errs = append(v.errs, field.TooLong(p, "", maxBytes))
	}
}

// enough mistakes were found: no more are told.
func (v *validator) enough() bool { return len(v.errs) > maxTold }

func (v *validator) oneOf(p *field.Path, s string, allowed ...string) {
	if !slices.Contains(allowed, s) {
		v.errs = append(v.errs, field.NotSupported(p, excerpt.Of(s, maxShown), allowed))
	}
}
