package fn

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestCreatedRoleInvariants drives a claim that has a role created through random
// edits, and asks after each reconcile whether a ServiceAccount has lost what
// nobody took away, or has what was. It is judged by what was drawn.
func TestCreatedRoleInvariants(t *testing.T) {
	t.Parallel()

	for _, irsa := range []bool{false, true} {
		t.Run(fmt.Sprintf("IRSA=%t", irsa), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				m := &createdRoleMachine{rt: rt, irsa: irsa, cluster: newCluster(t, "[]", allSettings)}
				m.errorf = rt.Fatalf
				if rapid.Bool().Draw(rt, "claim") {
					m.claimMode()
				}
				m.add(deployment("api", ""))
				m.drawSettings()
				m.drawClaim()
				for range rapid.IntRange(1, 14).Draw(rt, "steps") {
					m.step()
					m.reconcileChecked()
				}
			})
		})
	}
}

type createdRoleMachine struct {
	*cluster

	rt   *rapid.T
	irsa bool

	// The claim as it was drawn: a role that is created or one that exists, the
	// policies asked for, and whether it can be read.
	role     string
	policies []string
	inline   bool
	broken   bool

	// The lists as they were drawn; nil is absent.
	created, plain, documents *bool
	allowed                   *[]string
}

const existingRole = "my-app-s3"

func (m *createdRoleMachine) step() {
	switch rapid.SampledFrom([]string{"claim", "claim", "settings", "provide", "provide", "fail", "restart", "nothing"}).Draw(m.rt, "step") {
	case "claim":
		m.drawClaim()
	case "settings":
		m.drawSettings()
	case "provide":
		m.provide()
	case "fail":
		for _, k := range slices.Sorted(maps.Keys(m.composed)) {
			if o := m.composed[k]; o["kind"] != "ServiceAccount" && rapid.Bool().Draw(m.rt, "fails") {
				o["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Synced", "status": "False", "message": "cloud is down"}}}
			}
		}
	case "restart":
		m.add(strings.Replace(deployment("api", ""), "{app: x}", fmt.Sprintf("{app: x, v: v%d}", rapid.IntRange(0, 1000).Draw(m.rt, "version")), 1))
	}
}

func (m *createdRoleMachine) drawClaim() {
	m.role = rapid.SampledFrom([]string{"uploads", "uploads", "reports", existingRole}).Draw(m.rt, "role")
	m.policies, m.inline, m.broken = nil, false, rapid.IntRange(0, 5).Draw(m.rt, "broken") == 0
	create := ""
	if m.role != existingRole {
		for _, arn := range []string{readOnlyARN, queueARN} {
			if rapid.Bool().Draw(m.rt, arn) {
				m.policies = append(m.policies, arn)
			}
		}
		m.inline = rapid.Bool().Draw(m.rt, "inline")
		create = ", create: {policyArns: ["
		for _, arn := range m.policies {
			create += fmt.Sprintf("%q, ", arn)
		}
		create += "]"
		if m.inline {
			create += `, policy: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: "s3:*", Resource: "*"}]}`
		}
		create += "}"
	}
	if m.broken {
		create = ", create: {policyArns: [broken]}"
	}
	m.setServices(service("api", "{type: awsRole, role: "+m.role+create+"}"))
}

func (m *createdRoleMachine) drawSettings() {
	list := func(name string) *bool {
		switch rapid.IntRange(0, 7).Draw(m.rt, name) {
		case 0:
			return nil
		case 1:
			return new(bool)
		default:
			allowed := true
			return &allowed
		}
	}
	m.created, m.plain, m.documents, m.allowed = list("createRoles"), list("allowedRoles"), list("allowInlinePolicies"), nil
	if policies := list("allowedPolicyArns"); policies != nil {
		m.allowed = &[]string{readOnlyARN}
		if *policies {
			m.allowed = &[]string{readOnlyARN, queueARN}
		}
	}
	if m.created == nil {
		m.documents, m.allowed = nil, nil
	}
	create, roles := m.createRoles(), ""
	if m.plain != nil {
		roles = "allowedRoles: []"
		if *m.plain {
			roles = `allowedRoles: [{pattern: "my-app-*", namespaces: [team-a]}]`
		}
	}
	s := strings.Replace(cutLine(allSettings, "allowedRoles"), "  clusterName: prod-eu\n", "  clusterName: prod-eu\n  "+create+"\n  "+roles+"\n", 1)
	if m.irsa {
		s = inIRSA(s)
	}
	m.setSettings(s)
}

func (m *createdRoleMachine) createRoles() string {
	if m.created == nil {
		return ""
	}
	namespace, more := "team-b", ""
	if *m.created {
		namespace = "team-a"
	}
	if m.documents != nil {
		more += fmt.Sprintf(", allowInlinePolicies: %t", *m.documents)
	}
	if m.allowed != nil {
		more += `, allowedPolicyArns: ["` + strings.Join(*m.allowed, `", "`) + `"]`
	}
	return `createRoles: {namespaces: [` + namespace + `], permissionsBoundaryArn: "arn:aws:iam::123456789012:policy/b"` + more + "}"
}

// revoked says whether the lists take a composed object away.
func (m *createdRoleMachine) revoked(o map[string]any) bool {
	no := func(b *bool) bool { return b != nil && !*b }
	arn := str(o, "spec", "forProvider", "policyArn")
	switch {
	case o["kind"] == "PodIdentityAssociation" && strings.HasSuffix(str(o, "spec", "forProvider", "roleArn"), "/"+existingRole):
		return no(m.plain)
	case no(m.created):
		return true
	case o["kind"] == "Policy", strings.Contains(arn, "/sc-"):
		return m.created != nil && no(m.documents)
	case arn != "":
		return m.allowed != nil && !slices.Contains(*m.allowed, arn)
	default:
		return false
	}
}

// inUse are the ARNs of roles that the ServiceAccount has, as the cloud says and
// as the objects say.
func inUse(composed map[string]map[string]any) []string {
	var arns []string
	for _, o := range composed {
		switch o["kind"] {
		case "PodIdentityAssociation":
			arns = append(arns, str(o, "spec", "forProvider", "roleArn"), str(o, "status", "atProvider", "roleArn"))
		case "ServiceAccount":
			arns = append(arns, str(o, "metadata", "annotations", "eks.amazonaws.com/role-arn"))
		}
	}
	return slices.DeleteFunc(arns, func(s string) bool { return s == "" })
}

// asked says whether the claim asks for a role's policy. One that can't be read
// asks for all that is there.
func (m *createdRoleMachine) asked(o map[string]any, role string) bool {
	arn := str(o, "spec", "forProvider", "policyArn")
	switch {
	case m.broken, !strings.Contains(role, "-"+m.role+"-"):
		return true
	case o["kind"] == "Policy", strings.Contains(arn, "/sc-"):
		return m.inline
	default:
		return slices.Contains(m.policies, arn)
	}
}

func (m *createdRoleMachine) reconcileChecked() {
	before := maps.Clone(m.composed)
	deleted := m.reconcile()
	if f := fatalOf(m.rsp); f != "" {
		m.rt.Fatalf("fatal: %s", f)
	}
	for _, k := range deleted {
		o, role := before[k], ""
		switch o["kind"] {
		case "Role", "Policy":
			role = str(o, "metadata", "annotations", "crossplane.io/external-name")
		case "RolePolicyAttachment":
			role = str(o, "spec", "forProvider", "role")
		case "PodIdentityAssociation":
			if !m.revoked(o) {
				m.rt.Fatalf("the association %s of %s is deleted, and nobody took it away", k, str(o, "spec", "forProvider", "roleArn"))
			}
			continue
		}
		if !strings.HasPrefix(role, "sc-") || m.revoked(o) {
			continue
		}
		uses := slices.ContainsFunc(inUse(m.composed), func(arn string) bool { return strings.HasSuffix(arn, "/"+role) })
		if uses && (o["kind"] == "Role" || m.asked(o, role)) {
			m.rt.Fatalf("%s %s is deleted, and the ServiceAccount has its role %s", o["kind"], k, role)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(m.composed)) {
		o := m.composed[k]
		switch o["kind"] {
		case "PodIdentityAssociation", "Role", "Policy", "RolePolicyAttachment":
		default:
			continue
		}
		observedOnly := o["kind"] == "Role" && !strings.Contains(k, ".ownedrole.")
		if !observedOnly && m.revoked(o) {
			m.rt.Fatalf("%s %s is revoked, and stays", o["kind"], k)
		}
		if before[k] == nil && !observedOnly && m.absent(o) {
			m.rt.Fatalf("%s %s is new, and no list allows it", o["kind"], k)
		}
	}
	m.switched(before)
}

// absent says whether there is no list that could allow a composed object.
func (m *createdRoleMachine) absent(o map[string]any) bool {
	arn := str(o, "spec", "forProvider", "policyArn")
	switch {
	case o["kind"] == "PodIdentityAssociation" && strings.HasSuffix(str(o, "spec", "forProvider", "roleArn"), "/"+existingRole):
		return m.plain == nil
	case m.created == nil:
		return true
	case o["kind"] == "Policy", strings.Contains(arn, "/sc-"):
		return m.documents == nil
	default:
		return arn != "" && m.allowed == nil
	}
}

// switched: a ServiceAccount that had a role gets a created one only with all of
// its policies, unless what it had was taken away.
func (m *createdRoleMachine) switched(before map[string]map[string]any) {
	for k, o := range m.composed {
		was, is := str(before[k], "spec", "forProvider", "roleArn"), str(o, "spec", "forProvider", "roleArn")
		if o["kind"] == "ServiceAccount" {
			was, is = str(before[k], "metadata", "annotations", "eks.amazonaws.com/role-arn"), str(o, "metadata", "annotations", "eks.amazonaws.com/role-arn")
		}
		if was == "" || was == is || !strings.Contains(is, "/sc-") {
			continue
		}
		had := map[string]any{"kind": "PodIdentityAssociation", "spec": map[string]any{"forProvider": map[string]any{"roleArn": was}}}
		if m.revoked(had) {
			continue
		}
		ready := 0
		for _, p := range before {
			role := lastPart(is)
			part := str(p, "metadata", "annotations", "crossplane.io/external-name") == role || str(p, "spec", "forProvider", "role") == role
			if conditions := list(p, "status", "conditions"); part && len(conditions) == 2 {
				ready++
			}
		}
		wanted := 1 + len(m.policies)
		if m.inline {
			wanted += 2
		}
		if ready < wanted {
			m.rt.Fatalf("%s %s switches from %s to %s, of which %d parts of %d are ready", o["kind"], k, was, is, ready, wanted)
		}
	}
}
