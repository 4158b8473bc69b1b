package cloud

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/serviceconnections/function-service-connections/test/cloudapi"
)

// A role of IAM. What is made by hand may only be read.
type role struct {
	cloudapi.Role

	byHand bool
	made   time.Time
}

// A policy of IAM with its versions, the oldest first.
type policy struct {
	cloudapi.Policy

	versions []cloudapi.PolicyVersion
	next     int
	made     time.Time
}

// An attachment of a policy to a role.
type attachment struct{ role, policyARN string }

// trustsPods is the trust policy of the EKS user guide, "Create IAM role with trust
// policy required by EKS Pod Identity".
const trustsPods = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`

// iamARN of a role or policy, whose path begins and ends with a slash.
func iamARN(kind, under, name string) string {
	return "arn:aws:iam::" + AccountID + ":" + kind + under + name
}

// AddRole of a name, with a path such as /apps/. It trusts EKS Pod Identity, as
// the EKS user guide has it, until SetTrust.
func (c *Cloud) AddRole(under, name string) {
	c.do(func() {
		c.roles[name] = &role{byHand: true, Role: cloudapi.Role{
			Name: name, Path: under, ARN: iamARN("role", under, name), ID: "AROA" + pad(c.id()), Created: "2026-01-01T00:00:00Z",
			AssumeRolePolicy: trustsPods, MaxSessionDuration: 3600,
		}}
	})
}

// SetTrust policy of a role.
func (c *Cloud) SetTrust(name, document string) {
	c.do(func() { c.roles[name].AssumeRolePolicy = document })
}

// TrustOf a role, empty where there is no such role.
func (c *Cloud) TrustOf(name string) string {
	var trust string
	c.do(func() {
		if r := c.roles[name]; r != nil {
			trust = r.AssumeRolePolicy
		}
	})
	return trust
}

// RemoveRole of a name.
func (c *Cloud) RemoveRole(name string) { c.do(func() { delete(c.roles, name) }) }

// iamContents is what clusters have put into IAM.
func (c *Cloud) iamContents() []string {
	var lines []string
	for name, r := range c.roles {
		if !r.byHand {
			lines = append(lines, fmt.Sprintf("role %s within %s", name, r.PermissionsBoundary))
		}
	}
	for arn := range c.policies {
		lines = append(lines, "policy "+path.Base(arn))
	}
	for a := range c.attachments {
		lines = append(lines, fmt.Sprintf("attachment of %s to %s", path.Base(a.policyARN), a.role))
	}
	return lines
}

// describeIAM says for whom a call is by the name of a created role,
// sc-<cluster>-<namespace>-<name>-<hash>.
func (x *call) describeIAM() {
	r := in[cloudapi.IAMRequest](x)
	x.kind, x.scope = "Role", "role "+r.RoleName
	switch {
	case strings.HasSuffix(x.action, "AttachRolePolicy") || strings.HasSuffix(x.action, "DetachRolePolicy"):
		x.kind = "RolePolicyAttachment"
	case r.PolicyARN != "":
		x.kind, x.scope = "Policy", "policy "+r.PolicyARN
	}
	switch x.action {
	case cloudapi.CreateRole:
		x.creates, x.scope = true, iamARN("role", in[cloudapi.Role](x).Path, in[cloudapi.Role](x).Name)
	case cloudapi.CreatePolicy:
		x.creates, x.kind, x.scope = true, "Policy", "policy "+in[cloudapi.Policy](x).Name
	case cloudapi.AttachRolePolicy:
		x.creates = true
	}
	for key := range x.heldKeys() {
		if namespace, _, ok := strings.Cut(key, "/"); ok && strings.Contains(x.scope, "-"+namespace+"-") {
			x.namespace = namespace
		}
	}
}

// arn of the resource by which IAM judges a call of AWS (Service Authorization Reference,
// "Resource types"), empty where that is none of them: of a role that the call has only
// the name of, that which the role has. Of one that isn't there nobody knows the path.
func (x *call) arn() string {
	if x.kind == "PodIdentityAssociation" {
		return x.scope
	}
	if !strings.HasPrefix(x.action, "iam:") {
		return ""
	}
	r := in[cloudapi.IAMRequest](x)
	switch {
	case x.action == cloudapi.CreateRole:
		return x.scope
	case x.action == cloudapi.CreatePolicy:
		p := in[cloudapi.Policy](x)
		return iamARN("policy", p.Path, p.Name)
	case r.RoleName != "":
		if known := x.roles[r.RoleName]; known != nil {
			return known.ARN
		}
		return ""
	default:
		return r.PolicyARN
	}
}

func (x *call) heldKeys() map[string]chan struct{} {
	var held map[string]chan struct{}
	x.do(func() { held = maps.Clone(x.held) })
	return held
}

func noSuchEntity(format string, a ...any) *cloudapi.Error {
	return &cloudapi.Error{Status: http.StatusNotFound, Code: "NoSuchEntity", Message: fmt.Sprintf(format, a...)}
}

// role that a call is about.
func (x *call) role() (*role, *cloudapi.Error) {
	name := in[cloudapi.IAMRequest](x).RoleName
	r := x.roles[name]
	if r == nil || time.Since(r.made) < propagation && x.action != cloudapi.CreateRole {
		return nil, noSuchEntity("The role with name %s cannot be found.", name)
	}
	return r, nil
}

// ownRole that a call changes. To change another one is the function's mistake.
func (x *call) ownRole() (*role, *cloudapi.Error) {
	r, failed := x.role()
	if failed == nil && r.byHand {
		return nil, &cloudapi.Error{Status: http.StatusForbidden, Code: "UnmodifiableEntity", Message: fmt.Sprintf("the function asks for %s of role %s, which it may only observe", x.action, r.Name)}
	}
	return r, failed
}

func (x *call) policy() (*policy, *cloudapi.Error) {
	arn := in[cloudapi.IAMRequest](x).PolicyARN
	p := x.policies[arn]
	if p == nil || time.Since(p.made) < propagation {
		return nil, noSuchEntity("Policy %s was not found.", arn)
	}
	return p, nil
}

// changes a role of the function's.
func changes(change func(*role, cloudapi.IAMRequest)) answer {
	return func(x *call) (any, *cloudapi.Error) {
		r, failed := x.ownRole()
		if failed == nil {
			change(r, in[cloudapi.IAMRequest](x))
			x.wrotef("update role %s", r.Name)
		}
		return cloudapi.Nothing{}, failed
	}
}

// ofPolicy answers a call about a policy that exists.
func ofPolicy(f func(*call, *policy, cloudapi.IAMRequest) (any, *cloudapi.Error)) answer {
	return func(x *call) (any, *cloudapi.Error) {
		p, failed := x.policy()
		if failed != nil {
			return nil, failed
		}
		return f(x, p, in[cloudapi.IAMRequest](x))
	}
}

func tag(tags map[string]string, r cloudapi.IAMRequest) map[string]string {
	out := maps.Clone(tags)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, r.Tags)
	for _, k := range r.Keys {
		delete(out, k)
	}
	return out
}

func iamAnswers() map[string]answer {
	tagRole := func(x *call) (any, *cloudapi.Error) {
		r, failed := x.ownRole()
		if failed == nil {
			r.Tags = tag(r.Tags, in[cloudapi.IAMRequest](x))
		}
		return cloudapi.Nothing{}, failed
	}
	none := func(x *call) (any, *cloudapi.Error) {
		_, failed := x.role()
		return []string{}, failed
	}
	return map[string]answer{
		cloudapi.GetCallerIdentity: func(*call) (any, *cloudapi.Error) { return AccountID, nil },
		cloudapi.GetRole: func(x *call) (any, *cloudapi.Error) {
			r, failed := x.role()
			if failed != nil {
				return nil, failed
			}
			return r.Role, nil
		},
		cloudapi.CreateRole:                    createRole,
		cloudapi.UpdateAssumeRolePolicy:        changes(func(r *role, q cloudapi.IAMRequest) { r.AssumeRolePolicy = q.Document }),
		cloudapi.UpdateRole:                    changes(func(r *role, q cloudapi.IAMRequest) { r.MaxSessionDuration = q.Seconds }),
		cloudapi.UpdateRoleDescription:         changes(func(r *role, q cloudapi.IAMRequest) { r.Description = q.Text }),
		cloudapi.PutRolePermissionsBoundary:    changes(func(r *role, q cloudapi.IAMRequest) { r.PermissionsBoundary = q.Boundary }),
		cloudapi.DeleteRolePermissionsBoundary: changes(func(r *role, _ cloudapi.IAMRequest) { r.PermissionsBoundary = "" }),
		cloudapi.TagRole:                       tagRole,
		cloudapi.UntagRole:                     tagRole,
		cloudapi.DeleteRole:                    deleteRole,
		cloudapi.ListInstanceProfilesForRole:   none,
		cloudapi.ListRolePolicies:              none,
		cloudapi.ListAttachedRolePolicies:      listAttachments,
		cloudapi.AttachRolePolicy:              attach,
		cloudapi.DetachRolePolicy:              detach,
	}
}

func policyAnswers() map[string]answer {
	tagPolicy := ofPolicy(func(_ *call, p *policy, r cloudapi.IAMRequest) (any, *cloudapi.Error) {
		p.Tags = tag(p.Tags, r)
		return cloudapi.Nothing{}, nil
	})
	return map[string]answer{
		cloudapi.CreatePolicy: createPolicy,
		cloudapi.GetPolicy: ofPolicy(func(x *call, p *policy, _ cloudapi.IAMRequest) (any, *cloudapi.Error) {
			p.Attachments = 0
			for a := range x.attachments {
				if a.policyARN == p.ARN {
					p.Attachments++
				}
			}
			return p.Policy, nil
		}),
		cloudapi.GetPolicyVersion: ofPolicy(func(_ *call, p *policy, r cloudapi.IAMRequest) (any, *cloudapi.Error) {
			for _, v := range p.versions {
				if v.ID == r.VersionID {
					return v, nil
				}
			}
			return nil, noSuchEntity("Policy %s version %s does not exist.", p.ARN, r.VersionID)
		}),
		cloudapi.ListPolicyVersions: ofPolicy(func(_ *call, p *policy, _ cloudapi.IAMRequest) (any, *cloudapi.Error) { return p.versions, nil }),
		cloudapi.CreatePolicyVersion: ofPolicy(func(x *call, p *policy, r cloudapi.IAMRequest) (any, *cloudapi.Error) {
			if len(p.versions) >= 5 {
				return nil, &cloudapi.Error{Status: http.StatusConflict, Code: "LimitExceeded", Message: "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version."}
			}
			p.add(r.Document)
			x.wrotef("update policy %s", p.Name)
			return cloudapi.Nothing{}, nil
		}),
		cloudapi.DeletePolicyVersion: ofPolicy(func(_ *call, p *policy, r cloudapi.IAMRequest) (any, *cloudapi.Error) {
			p.versions = slices.DeleteFunc(p.versions, func(v cloudapi.PolicyVersion) bool { return v.ID == r.VersionID })
			return cloudapi.Nothing{}, nil
		}),
		cloudapi.TagPolicy:    tagPolicy,
		cloudapi.UntagPolicy:  tagPolicy,
		cloudapi.DeletePolicy: ofPolicy(deletePolicy),
	}
}

func createRole(x *call) (any, *cloudapi.Error) {
	r := in[cloudapi.Role](x)
	if x.roles[r.Name] != nil {
		return nil, &cloudapi.Error{Status: http.StatusConflict, Code: "EntityAlreadyExists", Message: fmt.Sprintf("Role with name %s already exists.", r.Name)}
	}
	r.ARN, r.ID, r.Created = iamARN("role", r.Path, r.Name), "AROA"+pad(x.id()), "2026-01-01T00:00:00Z"
	x.roles[r.Name] = &role{Role: r, made: time.Now()}
	x.wrotef("create role %s", r.Name)
	return r, nil
}

func deleteRole(x *call) (any, *cloudapi.Error) {
	r, failed := x.ownRole()
	if failed != nil {
		return nil, failed
	}
	for a := range x.attachments {
		if a.role == r.Name {
			return nil, &cloudapi.Error{Status: http.StatusConflict, Code: "DeleteConflict", Message: "Cannot delete entity, must detach all policies first."}
		}
	}
	delete(x.roles, r.Name)
	x.wrotef("delete role %s", r.Name)
	return cloudapi.Nothing{}, nil
}

func listAttachments(x *call) (any, *cloudapi.Error) {
	r, failed := x.role()
	if failed != nil {
		return nil, failed
	}
	arns := []string{}
	for a := range x.attachments {
		if a.role == r.Name {
			arns = append(arns, a.policyARN)
		}
	}
	slices.Sort(arns)
	return arns, nil
}

// attach what exists (IAM API reference, AttachRolePolicy).
func attach(x *call) (any, *cloudapi.Error) {
	r, failed := x.ownRole()
	if failed != nil {
		return nil, failed
	}
	a := attachment{r.Name, in[cloudapi.IAMRequest](x).PolicyARN}
	if x.policies[a.policyARN] == nil && !strings.HasPrefix(a.policyARN, "arn:aws:iam::aws:policy/") {
		return nil, noSuchEntity("Policy %s does not exist or is not attachable.", a.policyARN)
	}
	if !x.attachments[a] {
		x.wrotef("attach %s to %s", path.Base(a.policyARN), a.role)
	}
	x.attachments[a] = true
	return cloudapi.Nothing{}, nil
}

func detach(x *call) (any, *cloudapi.Error) {
	r := in[cloudapi.IAMRequest](x)
	a := attachment{r.RoleName, r.PolicyARN}
	if !x.attachments[a] {
		return nil, noSuchEntity("Policy %s was not found.", a.policyARN)
	}
	delete(x.attachments, a)
	x.wrotef("detach %s from %s", path.Base(a.policyARN), a.role)
	return cloudapi.Nothing{}, nil
}

func createPolicy(x *call) (any, *cloudapi.Error) {
	q := in[cloudapi.CreatePolicyRequest](x)
	q.ARN, q.ID = iamARN("policy", q.Path, q.Name), "ANPA"+pad(x.id())
	if x.policies[q.ARN] != nil {
		return nil, &cloudapi.Error{Status: http.StatusConflict, Code: "EntityAlreadyExists", Message: fmt.Sprintf("A policy called %s already exists. Duplicate names are not allowed.", q.Name)}
	}
	p := &policy{Policy: q.Policy, made: time.Now()}
	p.add(q.Document)
	x.policies[p.ARN] = p
	x.wrotef("create policy %s", p.Name)
	return p.Policy, nil
}

// add a version, which is the default one from then on.
func (p *policy) add(document string) {
	p.next++
	for i := range p.versions {
		p.versions[i].Default = false
	}
	p.Default = fmt.Sprintf("v%d", p.next)
	p.versions = append(p.versions, cloudapi.PolicyVersion{ID: p.Default, Document: document, Default: true})
}

// deletePolicy that no role has any more (IAM API reference, DeletePolicy).
func deletePolicy(x *call, p *policy, _ cloudapi.IAMRequest) (any, *cloudapi.Error) {
	for a := range x.attachments {
		if a.policyARN == p.ARN {
			return nil, &cloudapi.Error{Status: http.StatusConflict, Code: "DeleteConflict", Message: "Cannot delete a policy attached to entities."}
		}
	}
	delete(x.policies, p.ARN)
	x.wrotef("delete policy %s", p.Name)
	return cloudapi.Nothing{}, nil
}

// letsPodsIn says whether a trust policy allows EKS Pod Identity to assume the
// role, under whatever conditions.
func letsPodsIn(document string) bool {
	var p struct{ Statement oneOrMore[statement] }
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		return false
	}
	return slices.ContainsFunc(p.Statement, func(s statement) bool {
		return s.Effect == "Allow" &&
			slices.ContainsFunc(s.Action, func(a string) bool { return a == "*" || a == "sts:*" || a == "sts:AssumeRole" }) &&
			slices.ContainsFunc(s.Principal.Service, func(p string) bool { return p == "*" || p == "pods.eks.amazonaws.com" })
	})
}

type statement struct {
	Effect    string
	Action    oneOrMore[string]
	Principal principal
}

// A principal is "*", or has services among others.
type principal struct{ Service oneOrMore[string] }

// UnmarshalJSON of both forms.
func (p *principal) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, new(string)) == nil {
		p.Service = oneOrMore[string]{"*"}
		return nil
	}
	var all map[string]oneOrMore[string]
	if err := json.Unmarshal(b, &all); err != nil {
		return fmt.Errorf("cannot read principal: %w", err)
	}
	p.Service = slices.Concat(all["Service"], all["AWS"])
	return nil
}

// oneOrMore is a list, which one alone may stand for.
type oneOrMore[T any] []T

// UnmarshalJSON of both forms.
func (l *oneOrMore[T]) UnmarshalJSON(b []byte) error {
	var one T
	if err := json.Unmarshal(b, &one); err == nil {
		*l = oneOrMore[T]{one}
		return nil
	}
	return json.Unmarshal(b, (*[]T)(l)) //nolint:wrapcheck // The caller says what it is.
}
