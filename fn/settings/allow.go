package settings

import (
	"slices"
	"strconv"
	"strings"

	"github.com/ryanuber/go-glob"

	"github.com/serviceconnections/function-service-connections/input/v1beta1"
)

// A Decision of an allow-list.
type Decision int

const (
	// Absent means that there is no list. Nothing new is granted, and what was
	// granted stays.
	Absent Decision = iota

	// Excluded means that a list is there and lets the namespace not use the
	// target. What was granted is withdrawn.
	Excluded

	// Unregistered is Excluded, because the list doesn't know the target at
	// all.
	Unregistered

	// Allowed means that a list is there and lets the namespace use the target.
	Allowed

	// Moved means that a list has the target's name for the cluster's account,
	// subscription or project, which was another one when the target was granted.
	// What was granted stays until what is asked for now works, as nobody has taken it
	// back. Only what an observed object of ours tells of itself is Moved.
	Moved
)

// String is the decision's name.
func (d Decision) String() string {
	switch d {
	case Absent:
		return "Absent"
	case Excluded:
		return "Excluded"
	case Unregistered:
		return "Unregistered"
	case Moved:
		return "Moved"
	case Allowed:
		return "Allowed"
	default:
		return "Decision(" + strconv.Itoa(int(d)) + ")"
	}
}

// Revokes says whether what was granted must be withdrawn.
func (d Decision) Revokes() bool { return d == Excluded || d == Unregistered }

// For are the settings as they are for one namespace: what the lists say of it is
// worked out once, and not again for each target. The settings themselves stay as
// they are.
func (s *Settings) For(namespace string) *Settings {
	scope := *s
	if s.AWS != nil {
		aws := *s.AWS
		aws.AllowedRoles = scoped(aws.AllowedRoles, namespace, func(r *v1beta1.RoleRule) *[]string { return &r.Namespaces })
		if aws.CreateRoles != nil {
			create := *aws.CreateRoles
			create.Namespaces = nil
			if matches(aws.CreateRoles.Namespaces, namespace) {
				create.Namespaces = everywhere
			}
			aws.CreateRoles = &create
		}
		scope.AWS = &aws
	}
	if s.Azure != nil {
		azure := *s.Azure
		azure.AllowedIdentities = scoped(azure.AllowedIdentities, namespace, func(r *v1beta1.IdentityRule) *[]string { return &r.Namespaces })
		scope.Azure = &azure
	}
	return &scope
}

// scoped rules are those of a namespace, of which each is for everywhere then. A
// list that is absent stays so: it says something else than one without rules.
func scoped[R any](list *[]R, namespace string, namespaces func(*R) *[]string) *[]R {
	if list == nil {
		return nil
	}
	rules := make([]R, 0, len(*list))
	for _, r := range *list {
		if of := namespaces(&r); matches(*of, namespace) {
			*of = everywhere
			rules = append(rules, r)
		}
	}
	return &rules
}

// everywhere is the pattern of all namespaces.
var everywhere = []string{"*"}

// AllowsRole says whether a namespace may use an IAM role, by its ARN. A
// pattern without arn: matches names of roles in the cluster's account only.
func (s *Settings) AllowsRole(namespace, arn string) Decision {
	if s.AWS == nil || s.AWS.AllowedRoles == nil {
		return Absent
	}
	path, local := strings.CutPrefix(arn, "arn:"+s.AWS.Partition+":iam::"+s.AWS.AccountID+":role/")
	name := path[strings.LastIndexByte(path, '/')+1:]
	for _, r := range *s.AWS.AllowedRoles {
		switch full := strings.HasPrefix(r.Pattern, "arn:"); {
		case !matches(r.Namespaces, namespace):
		case full && glob.Glob(r.Pattern, arn), !full && local && glob.Glob(r.Pattern, name):
			return Allowed
		}
	}
	return Excluded
}

// AllowsRoleCreation says whether a namespace may have IAM roles created.
func (s *Settings) AllowsRoleCreation(namespace string) Decision {
	switch {
	case s.AWS == nil || s.AWS.CreateRoles == nil:
		return Absent
	case matches(s.AWS.CreateRoles.Namespaces, namespace):
		return Allowed
	default:
		return Excluded
	}
}

// AllowsPolicy says whether a role that is created for a namespace may have a
// managed policy, by its ARN.
func (s *Settings) AllowsPolicy(namespace, arn string) Decision {
	d := s.AllowsRoleCreation(namespace)
	switch {
	case d != Allowed:
		return d
	case s.AWS.CreateRoles.AllowedPolicyARNs == nil:
		return Absent
	case matches(*s.AWS.CreateRoles.AllowedPolicyARNs, arn):
		return Allowed
	default:
		return Excluded
	}
}

// AllowsInlinePolicy says whether a role that is created for a namespace may
// have a policy document that the claim brings.
func (s *Settings) AllowsInlinePolicy(namespace string) Decision {
	d := s.AllowsRoleCreation(namespace)
	switch {
	case d != Allowed:
		return d
	case s.AWS.CreateRoles.AllowInlinePolicies == nil:
		return Absent
	case *s.AWS.CreateRoles.AllowInlinePolicies:
		return Allowed
	default:
		return Excluded
	}
}

// AllowsIdentity says whether a namespace may use an Azure managed identity.
// Azure compares names without regard to case, and so does the list.
func (s *Settings) AllowsIdentity(namespace, subscription, resourceGroup, identity string) Decision {
	if s.Azure == nil || s.Azure.AllowedIdentities == nil {
		return Absent
	}
	for _, r := range *s.Azure.AllowedIdentities {
		sub := r.SubscriptionID
		if sub == "" {
			sub = s.Azure.SubscriptionID
		}
		if strings.EqualFold(sub, subscription) &&
			fold(r.ResourceGroup, resourceGroup) &&
			fold(r.Identity, identity) &&
			matches(r.Namespaces, namespace) {
			return Allowed
		}
	}
	return Excluded
}

// AllowsGoogleServiceAccount says whether a namespace may use a Google service
// account, by its e-mail.
func (s *Settings) AllowsGoogleServiceAccount(namespace, email string) Decision {
	if s.GCP == nil || s.GCP.ServiceAccounts == nil {
		return Absent
	}
	d := Unregistered
	for _, a := range *s.GCP.ServiceAccounts {
		if s.GoogleEmail(a.Name) != email {
			continue
		}
		if matches(a.Namespaces, namespace) {
			return Allowed
		}
		d = Excluded
	}
	return d
}

// GoogleEmail of a service account that is named by e-mail, or by its id in the
// cluster's project. The e-mail of a domain-scoped project's account has the
// project's parts in reverse: Google Cloud documentation, "Service accounts
// overview".
func (s *Settings) GoogleEmail(name string) string {
	if strings.Contains(name, "@") {
		return name
	}
	project := s.GCP.ProjectID
	if domain, id, ok := strings.Cut(project, ":"); ok {
		project = id + "." + domain
	}
	return name + "@" + project + ".iam.gserviceaccount.com"
}

// AllowsDisk says whether a namespace may use a disk, and by which rule.
func (s *Settings) AllowsDisk(namespace, name string) (Decision, *v1beta1.Disk) {
	if s.Disks == nil {
		return Absent, nil
	}
	i := slices.IndexFunc(*s.Disks, func(d v1beta1.Disk) bool { return d.Name == name })
	if i < 0 {
		return Unregistered, nil
	}
	d := &(*s.Disks)[i]
	if !matches(d.Namespaces, namespace) {
		return Excluded, d
	}
	return Allowed, d
}

func matches(patterns []string, s string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return glob.Glob(p, s) })
}

func fold(pattern, s string) bool {
	return glob.Glob(strings.ToLower(pattern), strings.ToLower(s))
}
