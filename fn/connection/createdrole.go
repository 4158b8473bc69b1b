package connection

import (
	"regexp"
	"slices"
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
	"github.com/serviceconnections/function-service-connections/fn/settings"
	"github.com/serviceconnections/function-service-connections/fn/trust"
)

var (
	policyKind     = newManagedKind("Policy", "policies", "iam.aws", "upbound.io", "v1beta1", "v1beta1")
	attachmentKind = newManagedKind("RolePolicyAttachment", "rolepolicyattachments", "iam.aws", "upbound.io", "v1beta1", "v1beta1")
)

// The grants of a role that is created: the role, the policy of a claim with its
// attachment, and the attachment of each managed policy, whose name follows in its
// key.
var (
	createdRoleGrant = GrantKind{
		// Once it was called so, and a key is for life.
		Name: "ownedrole", Kinds: []managedKind{roleKind}, Reports: reportedRole,
		Target: func(s *settings.Settings, namespace string, o map[string]any) (string, settings.Decision) {
			return createdTarget(s, Annotation(o, externalName)), s.AllowsRoleCreation(namespace)
		},
	}
	policyGrant           = GrantKind{Name: "policy", Kinds: []managedKind{policyKind}, PartOf: policyOf, Target: grantedPolicy(policyOf)}
	policyAttachmentGrant = GrantKind{Name: "policyattachment", Kinds: []managedKind{attachmentKind}, PartOf: attachedTo, Called: attachmentID, Target: grantedPolicy(attachedTo)}
	attachmentGrant       = GrantKind{
		Name: "attachment", Kinds: []managedKind{attachmentKind}, Many: true, PartOf: attachedTo, Called: attachmentID,
		Target: func(s *settings.Settings, namespace string, o map[string]any) (string, settings.Decision) {
			return createdTarget(s, attachedTo(o)), s.AllowsPolicy(namespace, decoded.Text(o, "spec", "forProvider", "policyArn"))
		},
	}
)

// grantedPolicy is the claim's own policy, or its attachment.
func grantedPolicy(role func(map[string]any) string) func(*settings.Settings, string, map[string]any) (string, settings.Decision) {
	return func(s *settings.Settings, namespace string, o map[string]any) (string, settings.Decision) {
		return createdTarget(s, role(o)), s.AllowsInlinePolicy(namespace)
	}
}

// policyOf and attachedTo are the role that a policy or an attachment is a part of.
func policyOf(o map[string]any) string   { return Annotation(o, externalName) }
func attachedTo(o map[string]any) string { return decoded.Text(o, "spec", "forProvider", "role") }

// attachmentID is what Terraform calls an attachment (terraform-provider-aws, import
// of aws_iam_role_policy_attachment), so it is known before there is one.
func attachmentID(o map[string]any) string {
	role, policy := attachedTo(o), decoded.Text(o, "spec", "forProvider", "policyArn")
	if role == "" || policy == "" {
		return ""
	}
	return role + "/" + policy
}

// createdName is what a role that is created may be called. The comma would do, but
// for the names of its policies.
var createdName = claim.Rule{
	Field: "role",
	Rule:  `!has(self.create) || !has(self.role) || self.role.matches(r'` + baseName + `')`,
	Holds: func(c *claim.Connection) bool {
		return c.Create == nil || c.Role == "" || baseNamePattern.MatchString(c.Role)
	},
	Message: "must be a base name of at most 64 letters, digits and +=.@-_ where the role is created, not an ARN; leave create out to use a role that exists",
}

const baseName = `^[\w+=.@-]{1,64}$`

var baseNamePattern = regexp.MustCompile(baseName)

// The IAM name of a created role is sc-<cluster>-<namespace>-<role>- and two hashes, of
// 64 characters at most (AWS IAM API reference, CreateRole). The first is of the
// ServiceAccount that the role is for, so that a name tells whose it is. The
// second is of all that makes the name unique: provider-aws takes over a role that
// has the name already, and two teams whose names are cut to the same must not be
// able to meet.
const (
	createdPrefix = "sc-"
	nameLength    = 64
)

// createdPattern has both hashes, the first of 64 bits or, of roles from before, of 32.
var createdPattern = regexp.MustCompile(`^sc-.*-([0-9a-f]{16}|[0-9a-f]{8})[0-9a-f]{16}$`)

// notInName are the characters that IAM doesn't take in a name.
var notInName = regexp.MustCompile(`[^\w+=,.@-]`)

// isCreatedName says whether an IAM name has the form of those that created roles get.
func isCreatedName(name string) bool { return createdPattern.MatchString(name) }

// createdFor says whether the IAM name of a created role is of a ServiceAccount.
func createdFor(name, namespace, serviceAccount string) bool {
	m := createdPattern.FindStringSubmatch(name)
	return len(m) > 1 && digest(len(m[1]), namespace, serviceAccount) == m[1]
}

// createdName is the IAM name of the role that the connection creates under a
// path. What a provider can't change in place makes another name, and so does
// the mode: pods of the old one need the old trust policy until they restart.
// A role from when the owner's hash had 32 bits keeps its name.
func (c Context) createdName(path string) string {
	former := c.createdNameOf(path, formerOwnerLength)
	if c.keeps(c.formerKey(createdRoleGrant.Name, iamARN(c.Settings, "role"+path+former)), standsByName, former) {
		return former
	}
	return c.createdNameOf(path, hashLength)
}

// createdNameOf so many digits of the owner's hash.
func (c Context) createdNameOf(path string, ownerLength int) string {
	s, ns, sa, role := c.Settings, c.Claim.Namespace, c.ServiceAccount, c.Connection.Role
	hashes := digest(ownerLength, ns, sa) + hash(s.Cluster.Name, s.AWS.Mode, path, ns, sa, role)
	parts := []string{notInName.ReplaceAllString(s.Cluster.Name, "-"), ns, role}
	return createdPrefix + strings.Join(shorten(parts, nameLength-len(createdPrefix)-len(hashes)-len(parts)), "-") + "-" + hashes
}

// shorten the longest of some parts until all have room.
func shorten(parts []string, room int) []string {
	for len(strings.Join(parts, "")) > room {
		longest := 0
		for i := range parts {
			if len(parts[i]) > len(parts[longest]) {
				longest = i
			}
		}
		parts[longest] = parts[longest][:len(parts[longest])-1]
	}
	return parts
}

// iamARN of something in the cluster's account, such as role/path/name.
func iamARN(s *settings.Settings, resource string) string {
	return "arn:" + s.AWS.Partition + ":iam::" + s.AWS.AccountID + ":" + resource
}

// A createdRole is one that the connection creates.
type createdRole struct {
	Context

	name, path, boundary string
}

func (o createdRole) arn() string       { return iamARN(o.Settings, "role"+o.path+o.name) }
func (o createdRole) policyARN() string { return iamARN(o.Settings, "policy"+o.path+o.name) }

// createdRole of the connection. Where the settings don't say any more with what
// to create roles, the observed one tells.
func (c Context) createdRole() (createdRole, bool) {
	if r := c.Settings.AWS.CreateRoles; r != nil {
		return createdRole{Context: c, name: c.createdName(r.Path), path: r.Path, boundary: r.PermissionsBoundaryARN}, true
	}
	prefix := c.ServiceAccount + "." + createdRoleGrant.Name + "."
	var keys []string
	for key, o := range c.Observed.Composed {
		if strings.HasPrefix(key, prefix) && roleKind.is(o.Object) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		object := c.Observed.Object(key)
		path := decoded.Text(object, "spec", "forProvider", "path")
		if name := c.createdName(path); name == Annotation(object, externalName) {
			return createdRole{Context: c, name: name, path: path, boundary: decoded.Text(object, "spec", "forProvider", "permissionsBoundary")}, true
		}
	}
	return createdRole{}, false
}

// createRole composes the role, with a trust policy that lets in the service's
// ServiceAccount only, and connects to it as to any other.
func (c Context) createRole() Expansion {
	ns := c.Claim.Namespace
	e := Expansion{Decision: c.Settings.AllowsRoleCreation(ns)}
	o, ok := c.createdRole()
	switch {
	case e.Decision.Revokes():
		return blocked(e, Verdictf(NotAllowed, "namespace %q may not have the role %q created by the cluster settings; ask the platform team to add it to aws.createRoles.namespaces", ns, c.Connection.Role))
	case !ok, e.Decision == settings.Absent && !o.connected():
		return blocked(e, Verdictf(NotAllowed, "the cluster settings have no aws.createRoles that allows the role %q for namespace %q; ask the platform team to add it", c.Connection.Role, ns))
	}
	e.Identity = o.arn()
	e.Target = awsTarget(o.arn(), c.Connection.TargetRoleARN, c.untagged())
	if c.Connection.TargetRoleARN != "" {
		e.Decision, e.Judged = c.judged(o.arn())
	}
	role := o.role()
	e.Grants = []Grant{role}
	refused := o.policies(&e)
	if v := o.mismatch(role); v.Reason != "" {
		e.Verdict = v
		return e
	}
	verdict := refused
	for _, g := range e.Grants {
		verdict = First(verdict, c.state(g))
	}
	if verdict.Reason == notExist {
		verdict.Reason = ProviderError
	}
	inUse := roleState{roleARN: parseRoleARN(o.arn()), known: true, verdict: verdict, observed: decoded.Text(o.Observed.Object(role.Key), "status", "atProvider", "arn") != ""}
	if verdict.Reason != "" {
		// Not before all of the new role is there do the pods leave the old one.
		o.Context, inUse = c.formerRole(inUse)
	}
	e.Verdict = verdict
	if o.Settings.AWS.Mode == settings.ModeIRSA {
		return o.irsa(e, inUse)
	}
	return o.podIdentity(e, inUse)
}

// connected says whether the ServiceAccount has the role already. In mode IRSA the
// role itself lets it in.
func (o createdRole) connected() bool {
	return o.Settings.AWS.Mode == settings.ModeIRSA || decoded.Text(o.Observed.Object(o.associationKey()), "spec", "forProvider", "roleArn") == o.arn()
}

// formerRole is the role that the ServiceAccount has now, where it is another
// than the one that is asked for, and may still be used.
func (c Context) formerRole(asked roleState) (Context, roleState) {
	arn, target, allows := annotatedRole(c.observedServiceAccount()), "", allowsAWS
	if c.Settings.AWS.Mode == settings.ModePodIdentity {
		association := c.Observed.Object(c.associationKey())
		arn, target = decoded.Text(association, "spec", "forProvider", "roleArn"), decoded.Text(association, "spec", "forProvider", "targetRoleArn")
		allows = allowsAssociation
	}
	if arn != "" && arn == asked.arn {
		asked.observed = true
		c.Connection.DisableSessionTags = c.formerTags()
		return c, asked
	}
	if arn == "" || allows(c.Settings, c.Claim.Namespace, c.ServiceAccount, arn, target).Revokes() {
		return c, asked
	}
	former := c
	former.Connection.TargetRoleARN, former.Connection.DisableSessionTags = target, c.formerTags()
	return former, roleState{roleARN: parseRoleARN(arn), known: true, observed: true, verdict: asked.verdict}
}

// role that is created.
func (o createdRole) role() Grant {
	forProvider := map[string]any{
		"assumeRolePolicy":    o.trustPolicy(),
		"forceDetachPolicies": true,
		"path":                o.path,
	}
	if o.boundary != "" {
		forProvider["permissionsBoundary"] = o.boundary
	}
	role := o.part(roleKind, createdRoleGrant.Name, o.name, forProvider, o.arn())
	// Another claim may have created it when its name had a shorter hash. That one has its
	// policies as well.
	former := o.formerKey(createdRoleGrant.Name, iamARN(o.Settings, "role"+o.path+o.createdNameOf(o.path, formerOwnerLength)))
	role.Former = o.formerly(former, createdRoleGrant.Name)
	return role
}

// part of a created role. What provider-aws calls a role or policy by is its IAM
// name, from which and the path it makes the policy's ARN (provider-aws,
// config/externalname.go). The name of the object doesn't hold the claim's, so that
// another claim that asks for the same meets it.
func (o createdRole) part(kind managedKind, grant, external string, forProvider map[string]any, identity ...string) Grant {
	key := o.lasting(grant, standsByName, external, identity...)
	return o.grant(managedResource{
		kind: kind, key: key, name: o.sharedName(key, grant), externalName: external,
		policies: manage, providerConfig: o.Settings.AWS.ProviderConfigRef, forProvider: forProvider,
	})
}

func (o createdRole) attachment(grant, policyARN string) Grant {
	key := o.lasting(grant, standsOn("policyArn"), policyARN, o.arn(), policyARN)
	grant, _, _ = strings.Cut(grant, "-")
	return o.grant(managedResource{
		kind: attachmentKind, key: key, name: o.sharedName(key, grant), called: attachmentID,
		policies: manage, providerConfig: o.Settings.AWS.ProviderConfigRef,
		forProvider: map[string]any{"role": o.name, "policyArn": policyARN},
	})
}

// policies of the role, as far as the cluster settings allow them: the grants
// are added to the expansion. The verdict says which one isn't allowed.
func (o createdRole) policies(e *Expansion) Verdict {
	ns, create := o.Claim.Namespace, o.Connection.Create
	var refused Verdict
	for _, arn := range create.PolicyARNs {
		name := strings.ReplaceAll(arn[strings.LastIndexByte(arn, '/')+1:], ".", "-")
		g := o.attachment(attachmentGrant.Name+"-"+name, arn)
		d := o.Settings.AllowsPolicy(ns, arn)
		switch {
		case d == settings.Allowed:
			e.Grants = append(e.Grants, g)
		case d == settings.Absent && decoded.Text(o.Observed.Object(g.Key), "spec", "forProvider", "policyArn") == arn:
			e.Grants = append(e.Grants, g)
			e.Warnings = append(e.Warnings, Verdictf(AllowListAbsent, "the cluster settings have no list that allows policy %q; it stays because it is in use, and nothing new is granted", arn))
		default:
			refused = First(refused, Verdictf(NotAllowed, "a role of namespace %q may not have policy %q by the cluster settings; ask the platform team to add it to aws.createRoles.allowedPolicyArns", ns, arn))
		}
	}
	if create.Policy == nil {
		return refused
	}
	return First(refused, o.inlinePolicy(e))
}

// inlinePolicy that the claim brings.
func (o createdRole) inlinePolicy(e *Expansion) Verdict {
	document, err := o.Connection.Create.Policy.JSON()
	if err != nil {
		return Verdictf(InvalidField, "the policy of role %q can't be written: %s", o.Connection.Role, err)
	}
	if other := o.otherDocument(document); other != "" {
		return Verdictf(ServiceAccountConflict, "services %q and %q give the role %q of ServiceAccount %q two policies; write the same policy for both, or use another serviceAccountName for one", o.Service.Name, other, o.Connection.Role, o.ServiceAccount)
	}
	policy := o.part(policyKind, policyGrant.Name, o.name, map[string]any{"path": o.path, "policy": document}, o.arn())
	grants := []Grant{policy, o.attachment(policyAttachmentGrant.Name, o.policyARN())}
	d := o.Settings.AllowsInlinePolicy(o.Claim.Namespace)
	switch {
	case d == settings.Allowed:
		e.Grants = append(e.Grants, grants...)
	case d == settings.Absent && decoded.Text(o.Observed.Object(policy.Key), "spec", "forProvider", "policy") == document:
		e.Grants = append(e.Grants, grants...)
		e.Warnings = append(e.Warnings, Verdictf(AllowListAbsent, "the cluster settings don't say whether policy documents of claims are allowed; that of role %q stays because it is in use, and nothing new is granted", o.Connection.Role))
	default:
		return Verdictf(NotAllowed, "a role of namespace %q may not have a policy document of its own by the cluster settings; name managed policies in policyArns, or ask the platform team for aws.createRoles.allowInlinePolicies", o.Claim.Namespace)
	}
	return Verdict{}
}

// otherDocument is the service of the claim that asks for another policy document
// for the same role, empty where there is none.
func (o createdRole) otherDocument(document string) string {
	for i := range o.Claim.Services {
		s := &o.Claim.Services[i]
		if sa, _ := o.Claim.ServiceAccount(s.Service); sa != o.ServiceAccount {
			continue
		}
		for _, e := range s.Entries {
			if e.Type != claim.TypeAWSRole || e.Role != o.Connection.Role || e.Create == nil || e.Create.Policy == nil {
				continue
			}
			if d, err := e.Create.Policy.JSON(); err != nil || d != document {
				return s.Name
			}
		}
	}
	return ""
}

// mismatch says that the role was created elsewhere.
func (o createdRole) mismatch(role Grant) Verdict {
	arn := decoded.Text(o.Observed.Object(role.Key), "status", "atProvider", "arn")
	if arn == "" || parseRoleARN(arn).same(parseRoleARN(o.arn())) {
		return Verdict{}
	}
	return Verdictf(IdentityMismatch, "Role %q is %q, not the role %q that is to be created; ask the platform team whether the provider's credentials are of that account, and who changed the object", decoded.Text(role.Object, "metadata", "name"), arn, o.arn())
}

// trustPolicy that lets in the ServiceAccount only, and only in this cluster.
func (o createdRole) trustPolicy() string { return trust.Scoped(o.trustSubject()) }

// sessions of a created role that running pods may have: they end as the role
// is deleted.
func (c Context) sessions(association Grant) string {
	arn, _ := c.rolesInUse(association)
	if arn == "" {
		arn = decoded.Text(association.Object, "spec", "forProvider", "roleArn")
	}
	if !isCreatedName(parseRoleARN(arn).name) {
		return ""
	}
	return arn
}

// reserved says that a role is named as those that are created are. It would be
// another ServiceAccount's.
func reserved(arns ...string) Verdict {
	for _, arn := range arns {
		if name := arn[strings.LastIndexByte(arn, '/')+1:]; isCreatedName(name) {
			return Verdictf(InvalidField, "role %q has the form of the name of a created role, which is for one ServiceAccount only; name another role, or write a base name such as uploads and a create section beside it", name)
		}
	}
	return Verdict{}
}

// createdTarget is what a role that was created is to its ServiceAccount.
func createdTarget(s *settings.Settings, name string) string {
	if s.AWS == nil {
		return ""
	}
	return awsTarget(iamARN(s, "role/"+name), "", false)
}

// CreatesRole says whether a connection creates the role of an IAM name.
func (e *Expansion) CreatesRole(name string) bool {
	return slices.ContainsFunc(e.Grants, func(g Grant) bool {
		return roleKind.is(g.Object) && isCreatedName(name) && Annotation(g.Object, externalName) == name
	})
}
