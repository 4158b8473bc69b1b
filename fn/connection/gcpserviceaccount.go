package connection

import (
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
	"github.com/serviceconnections/function-service-connections/fn/settings"
)

// gcpServiceAccount connects to Google Cloud as a service account.
var gcpServiceAccount = Type{
	Type: claim.Type{
		Name: claim.TypeGCPServiceAccount,
		Once: "a service has one gcpServiceAccount, because its pods run as one ServiceAccount, which acts as one Google service account; put the other connection into a service with a workload of its own, or grant both to one account",
		Fields: []claim.Field{{
			Name: "serviceAccountEmail", Required: true, In: func(c *claim.Connection) any { return &c.ServiceAccountEmail }, MaxLength: maxEmail,
			Forms: []claim.Form{claim.Matching(`^`+emailForm+`$`, "must be a service account e-mail such as name@project.iam.gserviceaccount.com")},
		}},
	},
	Family: &googleFamily,
	Grants: []*GrantKind{&memberGrant},
	Expand: func(c Context) Expansion { return c.google(c.Connection.ServiceAccountEmail) },
	Route: func(d Drawn) Route {
		return Route{Credential: memberKind.namespaced.Kind, Steps: []Step{stepOfAccount(d, d.ServiceAccountEmail)}}
	},
}

// The forms of a Google service account's id and e-mail (Google Cloud IAM
// documentation, "Create service accounts").
const (
	accountForm = `[a-z][a-z0-9-]{4,28}[a-z0-9]`
	emailForm   = `[a-z0-9][a-z0-9-]{4,62}@[a-z0-9.-]+\.gserviceaccount\.com`
	maxEmail    = 127
)

// googleFamily are Google service accounts. They must be registered by name, and
// several clusters of one project share the workload pool, and so the bindings.
var googleFamily = Family{
	Name:        "google",
	Annotations: "iam.gke.io/",
	Keys:        []string{annotationGoogleAccount},
	Annotated: func(s *settings.Settings, namespace string, serviceAccount map[string]any) (target string, d settings.Decision, ok bool) {
		account := Annotation(serviceAccount, annotationGoogleAccount)
		if account == "" {
			return "", settings.Absent, false
		}
		return account, s.AllowsGoogleServiceAccount(namespace, account), true
	},
	Conflict: func(serviceAccount string, winner, loser Rival) Verdict {
		return Verdictf(TwoGoogleAccounts, "ServiceAccount %q acts as %q for %s of service %q, and can't act as %q too; grant the roles to one Google service account and use it for both", serviceAccount, winner.Target, winner.Connection, winner.Service, loser.Target)
	},
	Unregistered: func(namespace, what string) Verdict {
		return Verdictf(ServiceAccountNotRegistered, "Google service account %q is not registered in the cluster settings; ask the platform team to register it for namespace %q", what, namespace)
	},
	Shared: func(s *settings.Settings) bool { return s.GCP != nil && s.GCP.SharedWorkloadPool },
	Remains: func(s *settings.Settings, serviceAccount, what string) Verdict {
		return Verdictf(BindingRetained, "ServiceAccount %q can still act as %q, because other clusters use the workload pool %q; ask whoever administers Google Cloud to remove the binding if none needs it", serviceAccount, what, s.GCP.WorkloadPool)
	},
}

var (
	memberKind = newManagedKind("ServiceAccountIAMMember", "serviceaccountiammembers", "cloudplatform.gcp", "upbound.io", "v1beta1", "v1beta2")

	memberGrant = GrantKind{Name: "member", Kinds: []managedKind{memberKind}, Called: memberID, Target: func(s *settings.Settings, namespace string, o map[string]any) (string, settings.Decision) {
		id := decoded.Text(o, "spec", "forProvider", "serviceAccountId")
		email := id[strings.LastIndexByte(id, '/')+1:]
		return email, allowsMember(s, namespace, email, decoded.Text(o, "spec", "forProvider", "member"))
	}}
)

// allowsMember says whether a namespace may use a Google service account that it was
// bound to. An account of the workload pool's project, which is the cluster's, was
// registered by its id there. Where the settings are of another project now, the same
// id says that it stays.
func allowsMember(s *settings.Settings, namespace, email, member string) settings.Decision {
	d := s.AllowsGoogleServiceAccount(namespace, email)
	if d != settings.Unregistered {
		return d
	}
	pool, _, _ := strings.Cut(strings.TrimPrefix(member, "serviceAccount:"), "[")
	id, _, _ := strings.Cut(email, "@")
	if googleProject(email, "")+".svc.id.goog" == pool && s.AllowsGoogleServiceAccount(namespace, s.GoogleEmail(id)) == settings.Allowed {
		return settings.Moved
	}
	return d
}

// memberID is what Terraform calls a member of an IAM policy
// (terraform-provider-google, tpgiamresource/resource_iam_member.go), so it is known
// before there is one. A workload pool and what is in it have no capitals, which
// that would make small.
func memberID(o map[string]any) string {
	account, role, member := decoded.Text(o, "spec", "forProvider", "serviceAccountId"), decoded.Text(o, "spec", "forProvider", "role"), decoded.Text(o, "spec", "forProvider", "member")
	if account == "" || role == "" || member == "" {
		return ""
	}
	return account + "/" + role + "/" + member
}

// What provider-gcp says where the account isn't there (terraform-provider-google,
// tpgiamresource/iam.go, and Google's API).
const (
	noAccount = "Error retrieving IAM policy for service account"
	notFound  = "googleapi: Error 404"
)

// stepOfAccount to the Google service account.
func stepOfAccount(d Drawn, asked string) Step {
	return Step{Kind: "Google service account", Name: d.identity(asked)}
}

// The names of Workload Identity Federation for GKE (Google Cloud
// documentation, "Authenticate to Google Cloud APIs from GKE workloads").
const (
	annotationGoogleAccount  = "iam.gke.io/gcp-service-account"
	roleWorkloadIdentityUser = "roles/iam.workloadIdentityUser"
)

// google lets the ServiceAccount act as a Google service account, by a binding
// on that account. It grants the account nothing.
func (c Context) google(account string) Expansion {
	gcp := c.Settings.GCP
	if gcp == nil {
		return blocked(Expansion{}, Verdictf(CloudNotConfigured, "the cluster settings have no gcp section; ask the platform team to add it"))
	}
	email := c.Settings.GoogleEmail(account)
	e := Expansion{
		Target: email, Identity: email,
		Decision:    c.Settings.AllowsGoogleServiceAccount(c.Claim.Namespace, email),
		Annotations: map[string]string{annotationGoogleAccount: email},
		Published:   true,
	}
	member := c.member(email)
	e.Grants = []Grant{member}
	e.Verdict = c.state(member)
	if e.Verdict.Reason == notExist || e.Verdict.Reason == ProviderError && c.failedWith(member, noAccount) && c.failedWith(member, notFound) {
		e.Verdict = Verdictf(IdentityNotFound, "Google service account %q does not exist; correct the name, or ask whoever administers its project to create it", email)
	}
	return e
}

// member binds the ServiceAccount to the Google service account. Nothing of it
// can be changed in place, so all of it is in the key.
func (c Context) member(email string) Grant {
	gcp := c.Settings.GCP
	id := "projects/" + googleProject(email, gcp.ProjectID) + "/serviceAccounts/" + email
	member := "serviceAccount:" + gcp.WorkloadPool + "[" + c.Claim.Namespace + "/" + c.ServiceAccount + "]"
	policies := manage
	if gcp.SharedWorkloadPool {
		// Two clusters of one pool have the same binding: neither may delete
		// what the other one uses.
		policies = neverDelete
	}
	identity := []string{id, roleWorkloadIdentityUser, member}
	key := c.lasting(memberGrant.Name, standsOn("serviceAccountId"), id, identity...)
	return c.grant(managedResource{
		kind: memberKind, key: key, name: c.sharedName(key, memberGrant.Name),
		former: c.formerly(c.formerKey(memberGrant.Name, identity...), memberGrant.Name),
		called: memberID, policies: policies, providerConfig: gcp.ProviderConfigRef,
		forProvider: map[string]any{
			"serviceAccountId": id,
			"role":             roleWorkloadIdentityUser,
			"member":           member,
		},
	})
}

// googleProject of a service account's e-mail. Google's own accounts, such as
// Compute Engine's default one, don't name it: then it is the cluster's.
func googleProject(email, project string) string {
	_, domain, _ := strings.Cut(email, "@")
	p, ok := strings.CutSuffix(domain, ".iam.gserviceaccount.com")
	if !ok {
		return project
	}
	if id, domain, scoped := strings.Cut(p, "."); scoped {
		return domain + ":" + id
	}
	return p
}
