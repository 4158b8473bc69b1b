package cloud

import (
	"fmt"
	"path"
	"strings"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
)

// A role of IAM, with its trust policy. What is made by hand may only be observed.
type role struct {
	arn, trust, boundary string
	byHand               bool
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

// iamContents is what clusters have put into IAM.
func (c *Cloud) iamContents() []string {
	var lines []string
	for name, r := range c.roles {
		if !r.byHand {
			lines = append(lines, fmt.Sprintf("role %s within %s", name, r.boundary))
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

// TrustOf a role, empty where there is no such role.
func (c *Cloud) TrustOf(name string) string {
	var trust string
	c.do(func() { trust = c.roles[name].trust })
	return trust
}

// roles of IAM. A provider takes over one that has the name already.
type roles struct{ *Cloud }

func (c roles) observe(m *managedResource) (observation, error) {
	r, ok := c.roles[m.externalName()]
	if !ok {
		return observation{}, nil
	}
	upToDate := m.text("assumeRolePolicy") == "" || m.text("assumeRolePolicy") == r.trust && m.text("permissionsBoundary") == r.boundary
	return observation{exists: true, upToDate: upToDate, at: map[string]any{
		"arn": r.arn, "id": m.externalName(), "assumeRolePolicy": r.trust,
	}}, nil
}

func (c roles) create(m *managedResource) error {
	if m.text("assumeRolePolicy") == "" {
		return unexpected("create", m)
	}
	c.roles[m.externalName()] = role{arn: iamARN("role", m.text("path"), m.externalName()), trust: m.text("assumeRolePolicy"), boundary: m.text("permissionsBoundary")}
	c.wrotef("create role %s", m.externalName())
	return nil
}

func (c roles) update(m *managedResource) error {
	r := c.roles[m.externalName()]
	if r.byHand {
		return unexpected("update", m)
	}
	r.trust, r.boundary = m.text("assumeRolePolicy"), m.text("permissionsBoundary")
	c.roles[m.externalName()] = r
	c.wrotef("update role %s", m.externalName())
	return nil
}

// remove a role with its attachments, as forceDetachPolicies says.
func (c roles) remove(m *managedResource) error {
	if c.roles[m.externalName()].byHand {
		return unexpected("delete", m)
	}
	delete(c.roles, m.externalName())
	for a := range c.attachments {
		if a.role == m.externalName() {
			delete(c.attachments, a)
		}
	}
	c.wrotef("delete role %s", m.externalName())
	return nil
}

// policies of IAM, which the provider calls by their name.
type policies struct{ *Cloud }

func (policies) arn(m *managedResource) string {
	return iamARN("policy", m.text("path"), m.externalName())
}

func (c policies) observe(m *managedResource) (observation, error) {
	document, ok := c.policies[c.arn(m)]
	if !ok {
		return observation{}, nil
	}
	return observation{exists: true, upToDate: document == m.text("policy"), at: map[string]any{"arn": c.arn(m), "id": c.arn(m)}}, nil
}

func (c policies) create(m *managedResource) error {
	c.policies[c.arn(m)] = m.text("policy")
	c.wrotef("create policy %s", m.externalName())
	return nil
}

func (c policies) update(m *managedResource) error { return c.create(m) }

// remove a policy that no role has any more (IAM API reference, DeletePolicy).
func (c policies) remove(m *managedResource) error {
	for a := range c.attachments {
		if a.policyARN == c.arn(m) {
			return fmt.Errorf("failed to delete the resource: [{0 deleting IAM Policy (%s): operation error IAM: DeletePolicy, https response error StatusCode: 409, RequestID: 00000000-0000-4000-8000-%s, DeleteConflict: Cannot delete a policy attached to entities.  []}]", c.arn(m), pad(c.id("")))
		}
	}
	delete(c.policies, c.arn(m))
	c.wrotef("delete policy %s", m.externalName())
	return nil
}

// attachments of policies to roles, to which the provider gives their ids.
type attachments struct{ *Cloud }

func (attachments) wanted(m *managedResource) attachment {
	return attachment{m.text("role"), m.text("policyArn")}
}

func (c attachments) observe(m *managedResource) (observation, error) {
	a := c.wanted(m)
	if m.externalName() == "" || !c.attachments[a] {
		return observation{}, nil
	}
	return observation{exists: true, upToDate: true, at: map[string]any{"id": m.externalName(), "role": a.role, "policyArn": a.policyARN}}, nil
}

// create an attachment of what exists (IAM API reference, AttachRolePolicy).
func (c attachments) create(m *managedResource) error {
	a := c.wanted(m)
	missing := ""
	if _, ok := c.roles[a.role]; !ok {
		missing = "The role with name " + a.role + " cannot be found."
	} else if _, ok := c.policies[a.policyARN]; !ok && !strings.HasPrefix(a.policyARN, "arn:aws:iam::aws:policy/") {
		missing = "Policy " + a.policyARN + " does not exist or is not attachable."
	}
	if missing != "" {
		return fmt.Errorf("failed to create the resource: [{0 attaching IAM Policy (%s) to IAM Role (%s): operation error IAM: AttachRolePolicy, https response error StatusCode: 404, RequestID: 00000000-0000-4000-8000-%s, NoSuchEntity: %s  []}]", a.policyARN, a.role, pad(c.id("")), missing)
	}
	c.attachments[a] = true
	meta.SetExternalName(m, c.id(a.role+"-"))
	c.wrotef("attach %s to %s", path.Base(a.policyARN), a.role)
	return nil
}

func (attachments) update(m *managedResource) error { return unexpected("update", m) }

func (c attachments) remove(m *managedResource) error {
	a := c.wanted(m)
	delete(c.attachments, a)
	c.wrotef("detach %s from %s", path.Base(a.policyARN), a.role)
	return nil
}
