package connection

import (
	"strings"
)

var memberKind = newManagedKind("ServiceAccountIAMMember", "serviceaccountiammembers", "cloudplatform.gcp", "upbound.io", "v1beta1", "v1beta2")

// The names of Workload Identity Federation for GKE (Google Cloud
// documentation, "Authenticate to Google Cloud APIs from GKE workloads").
const (
	annotationGoogleAccount  = "iam.gke.io/gcp-service-account"
	roleWorkloadIdentityUser = "roles/iam.workloadIdentityUser"
)

// gcpServiceAccount connects to Google Cloud as a service account.
func gcpServiceAccount(c Context) Expansion {
	return c.google(c.Connection.ServiceAccountEmail)
}

// google lets the ServiceAccount act as a Google service account, by a binding
// on that account. It grants the account nothing.
func (c Context) google(account string) Expansion {
	gcp := c.Settings.GCP
	if gcp == nil {
		return blocked(Expansion{}, Verdictf(CloudNotConfigured, "the cluster settings have no gcp section; ask the platform team to add it"))
	}
	email := c.Settings.GoogleEmail(account)
	e := Expansion{
		Family: FamilyGoogle, Target: email, Identity: email,
		Decision:    c.Settings.AllowsGoogleServiceAccount(c.Claim.Namespace, email),
		Annotations: map[string]string{annotationGoogleAccount: email},
		Published:   true,
	}
	member := c.member(email)
	e.Grants = []Grant{member}
	e.Verdict = c.state(member)
	if e.Verdict.Reason == notExist {
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
	key := c.key("member", id, roleWorkloadIdentityUser, member)
	return c.grant(managedResource{
		kind: memberKind, key: key, name: c.sharedName(key, "member"),
		policies: policies, providerConfig: gcp.ProviderConfigRef,
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

// GoogleEmailOf a service account's resource id.
func GoogleEmailOf(serviceAccountID string) string {
	return serviceAccountID[strings.LastIndexByte(serviceAccountID, '/')+1:]
}
