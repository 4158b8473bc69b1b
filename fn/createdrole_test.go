package fn

import (
	"slices"
	"strings"
	"testing"
)

const (
	readOnlyARN = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
	queueARN    = "arn:aws:iam::aws:policy/AmazonSQSFullAccess"
	plainARN    = "arn:aws:iam::123456789012:role/my-app-s3"

	createdRole = `{type: awsRole, role: uploads, create: {policyArns: ["` + readOnlyARN + `"]}}`
	twoPolicies = `{type: awsRole, role: uploads, create: {policyArns: ["` + readOnlyARN + `", "` + queueARN + `"]}}`
	otherRole   = `{type: awsRole, role: reports, create: {policyArns: ["` + readOnlyARN + `"]}}`

	createList = `createRoles: {namespaces: [team-a], permissionsBoundaryArn: "arn:aws:iam::123456789012:policy/boundary", allowedPolicyArns: ["arn:aws:iam::aws:policy/*"], allowInlinePolicies: true}`
)

func inline(action string) string {
	return `{type: awsRole, role: uploads, create: {policy: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: "` + action + `", Resource: "*"}]}}}`
}

// creating is allSettings with a createRoles of the aws section.
func creating(list string) string {
	return strings.Replace(allSettings, "  allowedRoles:", "  "+list+"\n  allowedRoles:", 1)
}

func inIRSA(settings string) string {
	return strings.Replace(settings, "  clusterName: prod-eu", "  mode: IRSA\n  oidcIssuer: https://oidc.eks.eu-west-1.amazonaws.com/id/ABC", 1)
}

// provideOnly what a kind of managed resource stands for.
func (c *cluster) provideOnly(kinds ...string) {
	was := map[string]any{}
	for k, o := range c.composed {
		if !slices.Contains(kinds, str(o, "kind")) {
			was[k] = o["status"]
		}
	}
	c.provide()
	for k, status := range was {
		if c.composed[k]["status"] = status; status == nil {
			delete(c.composed[k], "status")
		}
	}
}

func (c *cluster) roleArn() string {
	return str(c.only("PodIdentityAssociation"), "spec", "forProvider", "roleArn")
}

// created roles by their base names.
func (c *cluster) created() []string {
	var names []string
	for _, k := range c.keys("Role") {
		name := str(c.composed[k], "metadata", "annotations", "crossplane.io/external-name")
		if parts := strings.Split(name, "-"); strings.HasPrefix(name, "sc-") {
			names = append(names, parts[len(parts)-2])
		}
	}
	slices.Sort(names)
	return names
}

// attached policies, by the last part of their ARN; that of a document is inline.
func (c *cluster) attached() []string {
	keys := c.keys("RolePolicyAttachment")
	names := make([]string, 0, len(keys))
	for _, k := range keys {
		name := lastPart(str(c.composed[k], "spec", "forProvider", "policyArn"))
		if strings.HasPrefix(name, "sc-") {
			name = "inline"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// TestCreatedRole holds what becomes of a role that is created as the claim, the
// settings and the cluster change.
func TestCreatedRole(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason string
		before string
		// settings before, with all that can be allowed where empty.
		settings string
		check    func(*testing.T, *cluster)
	}{
		"Created": {
			reason: "the ServiceAccount has the role, and the role its policies",
			before: service("api", twoPolicies),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				want(t, "Connected", c.reason("api", "awsRole"), "reason")
				want(t, []string{"uploads"}, c.created(), "roles")
				want(t, []string{"AmazonS3ReadOnlyAccess", "AmazonSQSFullAccess"}, c.attached(), "policies")
				want(t, "arn:aws:iam::123456789012:role/serviceconnections/"+str(c.only("Role"), "metadata", "annotations", "crossplane.io/external-name"), c.roleArn(), "role of the association")
				want(t, true, c.service("api")["injection"].(map[string]any)["complete"], "complete injection")
			},
		},
		"FromARoleOfTheTeam": {
			reason: "the association keeps the role that works until the new one has all of its policies",
			before: service("api", awsConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setServices(service("api", twoPolicies))
				c.reconcile()
				want(t, plainARN, c.roleArn(), "role before the new one is there")
				c.provideOnly("Role")
				c.reconcile()
				want(t, plainARN, c.roleArn(), "role before its policies are there")
				want(t, "Creating", c.reason("api", "awsRole"), "reason")
				c.provideOnly("Role", "RolePolicyAttachment")
				c.reconcile()
				want(t, "uploads", strings.Split(c.roleArn(), "-")[5], "role")
				want(t, "Creating", c.reason("api", "awsRole"), "reason while EKS has the old one")
				c.settle()
				want(t, "Connected", c.reason("api", "awsRole"), "reason")
			},
		},
		"FromARoleThatIsRevoked": {
			reason: "what a list takes away isn't kept for the sake of a successor",
			before: service("api", awsConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setSettings(strings.Replace(creating(createList), "my-app-*", "your-app-*", 1))
				c.setServices(service("api", createdRole))
				c.reconcile()
				want(t, 0, len(c.keys("PodIdentityAssociation")), "associations before the new role is there")
				c.settle()
				if got := c.roleArn(); got == plainARN {
					t.Errorf("the association gives %q, which is revoked", got)
				}
			},
		},
		"ToAnotherCreatedRole": {
			reason: "the old role stays until the association has the new one, and pods with sessions of it are gone",
			before: service("api", createdRole),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				was := c.roleArn()
				c.setServices(service("api", otherRole))
				c.reconcile()
				want(t, was, c.roleArn(), "role before the new one is there")
				c.settle()
				if c.roleArn() == was {
					t.Errorf("the association still has %q", was)
				}
				want(t, []string{"reports", "uploads"}, c.created(), "roles before the restart")
				want(t, 2, len(c.attached()), "attachments before the restart")
				want(t, "kubectl -n team-a rollout restart deployment/api", str(c.service("api"), "restart"), "restart")
				c.restarted("2")
				want(t, []string{"reports"}, c.created(), "roles after the restart")
				want(t, 1, len(c.attached()), "attachments after the restart")
				want(t, "Connected", c.reason("api", "awsRole"), "reason")
			},
		},
		"RestartBeforeTheSwitch": {
			reason: "pods that restart while EKS still gives the old role are no reason to delete it",
			before: service("api", createdRole),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setServices(service("api", otherRole))
				c.reconcile()
				c.add(strings.Replace(deployment("api", ""), "{app: x}", "{app: x, v: early}", 1))
				c.reconcile()
				c.settle()
				want(t, []string{"reports", "uploads"}, c.created(), "roles")
			},
		},
		"ToARoleOfTheTeam": {
			reason: "so does it where a role that exists takes over",
			before: service("api", createdRole),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setServices(service("api", awsConnection))
				c.settle()
				want(t, plainARN, c.roleArn(), "role")
				want(t, []string{"uploads"}, c.created(), "roles before the restart")
				c.restarted("2")
				want(t, 0, len(c.created())+len(c.attached()), "parts of the old role")
			},
		},
		"Leaves": {
			reason: "a role goes with its connection, and all that is attached to it",
			before: service("api", inline("s3:*"), diskConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setServices(service("api", diskConnection))
				c.settle()
				for _, kind := range []string{"Role", "Policy", "RolePolicyAttachment", "PodIdentityAssociation"} {
					want(t, 0, len(c.keys(kind)), kind)
				}
			},
		},
		"PolicyLeaves": {
			reason: "what the claim no longer asks for the role doesn't keep, although its connection stays and no pod restarts",
			before: service("api", twoPolicies),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setServices(service("api", createdRole))
				c.settle()
				want(t, []string{"AmazonS3ReadOnlyAccess"}, c.attached(), "policies")
				want(t, []string{"uploads"}, c.created(), "roles")
			},
		},
		"PolicyIsExchanged": {
			reason: "the old policy stays until the new one is attached",
			before: service("api", createdRole),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setServices(service("api", strings.Replace(createdRole, readOnlyARN, queueARN, 1)))
				c.reconcile()
				want(t, 2, len(c.attached()), "policies before the new one is attached")
				c.settle()
				want(t, []string{"AmazonSQSFullAccess"}, c.attached(), "policies")
			},
		},
		"PolicyOfASharerStays": {
			reason: "a policy that one service gives up is another's of the same role",
			before: "- {name: api, serviceAccountName: shared, connections: [" + twoPolicies + "]}\n- {name: web, serviceAccountName: shared, connections: [" + twoPolicies + "]}",
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setServices("- {name: api, serviceAccountName: shared, connections: [" + createdRole + "]}\n- {name: web, serviceAccountName: shared, connections: [" + twoPolicies + "]}")
				c.settle()
				want(t, 2, len(c.attached()), "policies while web asks for both")
				c.setServices("- {name: api, serviceAccountName: shared, connections: [" + createdRole + "]}\n- {name: web, serviceAccountName: shared, connections: [" + createdRole + "]}")
				c.settle()
				want(t, []string{"AmazonS3ReadOnlyAccess"}, c.attached(), "policies")
			},
		},
		"MistakeKeepsAll": {
			reason: "a claim that can't be read in full takes nothing away",
			before: service("api", strings.Replace(inline("s3:*"), "create: {", `create: {policyArns: ["`+readOnlyARN+`"], `, 1)),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				for _, broken := range []string{
					`{type: awsRole, role: uploads, create: {policyArns: [broken]}}`,
					`{type: awsRole, role: uploads, create: {policy: {Version: "2012-10-17"}}}`,
					`{type: awsRole, role: uploads, create: "yes"}`,
				} {
					c.setServices(service("api", broken))
					c.settle()
					want(t, "InvalidField", c.reason("api", "awsRole"), "reason")
					want(t, []string{"AmazonS3ReadOnlyAccess", "inline"}, c.attached(), "policies")
					want(t, 1, len(c.keys("Policy"))*len(c.created())*len(c.keys("PodIdentityAssociation")), "the others")
				}
			},
		},
		"PolicyThatIsNotAllowed": {
			reason: "what a new policy lacks takes nothing from the role, nor from the pods",
			before: service("api", createdRole),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setServices(service("api", strings.Replace(createdRole, readOnlyARN, "arn:aws:iam::123456789012:policy/admin", 1)))
				c.settle()
				want(t, "NotAllowed", c.reason("api", "awsRole"), "reason")
				want(t, []string{"AmazonS3ReadOnlyAccess"}, c.attached(), "policies")
				want(t, true, c.service("api")["injection"].(map[string]any)["complete"], "complete injection")
			},
		},
		"ListRevokesAPolicy": {
			reason: "a list that excludes a policy detaches it, and leaves the role",
			before: service("api", twoPolicies),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setSettings(creating(strings.Replace(createList, "arn:aws:iam::aws:policy/*", readOnlyARN, 1)))
				c.settle()
				want(t, "NotAllowed", c.reason("api", "awsRole"), "reason")
				want(t, []string{"AmazonS3ReadOnlyAccess"}, c.attached(), "policies")
				want(t, []string{"uploads"}, c.created(), "roles")
				want(t, 1, len(c.keys("PodIdentityAssociation")), "associations")
			},
		},
		"NoNamespaceRevokesAll": {
			reason: "an empty list takes all back, also from a claim with mistakes",
			before: service("api", strings.Replace(inline("s3:*"), "create: {", `create: {policyArns: ["`+readOnlyARN+`"], `, 1)),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setServices(service("api", `{type: awsRole, role: uploads, create: {policyArns: [broken]}}`))
				c.settle()
				c.setSettings(creating("createRoles: {namespaces: []}"))
				c.settle()
				for _, kind := range []string{"Role", "Policy", "RolePolicyAttachment", "PodIdentityAssociation"} {
					want(t, 0, len(c.keys(kind)), kind)
				}
				c.setServices(service("api", createdRole))
				c.settle()
				want(t, "NotAllowed", c.reason("api", "awsRole"), "reason")
				want(t, 0, len(c.keys("Role")), "roles")
			},
		},
		"EachListForItsOwn": {
			reason: "allowedRoles is for roles that exist, createRoles for those that are created",
			before: service("api", createdRole) + service("web", awsConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setSettings(strings.Replace(creating(createList), `allowedRoles: [{pattern: "my-app-*", namespaces: [team-a]}, {pattern: "arn:aws:iam::210987654321:role/*", namespaces: [team-a]}]`, "allowedRoles: []", 1))
				c.settle()
				want(t, "Connected", c.reason("api", "awsRole"), "reason of the created role")
				want(t, "NotAllowed", c.reason("web", "awsRole"), "reason of the role that exists")
				c.setSettings(creating("createRoles: {namespaces: []}"))
				c.settle()
				want(t, "NotAllowed", c.reason("api", "awsRole"), "reason of the created role")
				want(t, "Connected", c.reason("web", "awsRole"), "reason of the role that exists")
			},
		},
		"ListGoesAbsent": {
			reason: "an absent list takes nothing away, and grants nothing new",
			before: service("api", createdRole),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setSettings(allSettings)
				c.settle()
				want(t, "Connected", c.reason("api", "awsRole"), "reason")
				want(t, "AllowListAbsent", warning(c, "awsRole"), "warning")
				c.setServices(service("api", twoPolicies) + service("web", createdRole))
				c.settle()
				want(t, "NotAllowed", c.reason("api", "awsRole"), "reason with a new policy")
				want(t, "NotAllowed", c.reason("web", "awsRole"), "reason of a new role")
				want(t, []string{"AmazonS3ReadOnlyAccess"}, c.attached(), "policies")
				want(t, []string{"uploads"}, c.created(), "roles")
			},
		},
		"ListGoesAbsentAfterASwitch": {
			reason: "with no list, a role that is only kept for running pods isn't given anew",
			before: service("api", createdRole),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setServices(service("api", awsConnection))
				c.settle()
				c.setSettings(allSettings)
				c.setServices(service("api", createdRole))
				c.settle()
				want(t, "NotAllowed", c.reason("api", "awsRole"), "reason")
				want(t, plainARN, c.roleArn(), "role")
				want(t, []string{"uploads"}, c.created(), "roles")
			},
		},
		"PolicyListGoesAbsent": {
			reason: "so does an absent list of policies",
			before: service("api", strings.Replace(inline("s3:*"), "create: {", `create: {policyArns: ["`+readOnlyARN+`"], `, 1)),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setSettings(creating(`createRoles: {namespaces: [team-a], permissionsBoundaryArn: "arn:aws:iam::123456789012:policy/boundary"}`))
				c.settle()
				want(t, "Connected", c.reason("api", "awsRole"), "reason")
				was := str(c.only("Policy"), "spec", "forProvider", "policy")
				c.setServices(service("api", inline("iam:*")))
				c.settle()
				want(t, "NotAllowed", c.reason("api", "awsRole"), "reason of another document")
				want(t, was, str(c.only("Policy"), "spec", "forProvider", "policy"), "document")
				want(t, []string{"AmazonS3ReadOnlyAccess", "inline"}, c.attached(), "policies")
			},
		},
		"DocumentChanges": {
			reason: "IAM takes another document for the same policy",
			before: service("api", inline("s3:GetObject")),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setServices(service("api", inline("s3:PutObject")))
				c.settle()
				want(t, `{"Version":"2012-10-17","Statement":[{"Action":"s3:PutObject","Effect":"Allow","Resource":"*"}]}`, str(c.only("Policy"), "spec", "forProvider", "policy"), "document")
				want(t, "Connected", c.reason("api", "awsRole"), "reason")
			},
		},
		"DocumentsAreRevoked": {
			reason: "a document goes where the settings don't let claims bring one",
			before: service("api", inline("s3:*")),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setSettings(creating(strings.Replace(createList, "allowInlinePolicies: true", "allowInlinePolicies: false", 1)))
				c.settle()
				want(t, "NotAllowed", c.reason("api", "awsRole"), "reason")
				want(t, 0, len(c.keys("Policy"))+len(c.attached()), "policies")
				want(t, []string{"uploads"}, c.created(), "roles")
			},
		},
		"TwoDocumentsForOneRole": {
			reason: "one service's document must not become another's, and neither takes the other's place",
			before: "- {name: api, serviceAccountName: shared, connections: [" + inline("s3:*") + "]}",
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				was := str(c.only("Policy"), "spec", "forProvider", "policy")
				c.setServices("- {name: web, serviceAccountName: shared, connections: [" + inline("iam:*") + "]}\n- {name: api, serviceAccountName: shared, connections: [" + inline("s3:*") + "]}")
				c.settle()
				want(t, "ServiceAccountConflict", c.reason("api", "awsRole"), "reason")
				want(t, "ServiceAccountConflict", c.reason("web", "awsRole"), "reason")
				want(t, was, str(c.only("Policy"), "spec", "forProvider", "policy"), "document")
			},
		},
		"PathChanges": {
			reason: "IAM can't move a role, so another one takes over",
			before: service("api", createdRole),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				was := c.roleArn()
				c.setSettings(creating(strings.Replace(createList, "{namespaces", "{path: /teams/, namespaces", 1)))
				c.reconcile()
				want(t, was, c.roleArn(), "role before the new one is there")
				c.settle()
				want(t, 2, len(c.created()), "roles before the restart")
				c.restarted("2")
				want(t, 1, len(c.created()), "roles after the restart")
				want(t, true, strings.HasPrefix(c.roleArn(), "arn:aws:iam::123456789012:role/teams/sc-"), "role of the path")
			},
		},
		"ClusterIsRenamed": {
			reason: "a role that is named after the cluster's old name is still its ServiceAccount's",
			before: service("api", createdRole),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				was := c.roleArn()
				c.setSettings(strings.Replace(creating(createList), "{name: prod-eu}", "{name: prod}", 1))
				c.reconcile()
				want(t, was, c.roleArn(), "role before the new one is there")
				c.settle()
				want(t, "Connected", c.reason("api", "awsRole"), "reason")
			},
		},
		"GeneratedNameIsNobodysToAsk": {
			reason:   "another ServiceAccount's role can't be had by its name, whatever allowedRoles says",
			before:   service("api", createdRole),
			settings: strings.Replace(creating(createList), "my-app-*", "*", 1),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				arn := c.roleArn()
				for _, role := range []string{arn, lastPart(arn)} {
					c.setServices(service("api", createdRole) + service("web", `{type: awsRole, role: "`+role+`"}`))
					c.settle()
					want(t, "InvalidField", c.reason("web", "awsRole"), "reason of "+role)
				}
				c.setServices(service("api", createdRole) + service("web", `{type: awsRole, role: my-app-s3, targetRoleArn: "`+arn+`"}`))
				c.settle()
				want(t, "InvalidField", c.reason("web", "awsRole"), "reason of a target")
				want(t, 1, len(c.keys("PodIdentityAssociation")), "associations")
			},
		},
		"AssociationOfAnothersRole": {
			reason:   "an association that gives a role which was created for another ServiceAccount is revoked",
			before:   service("api", createdRole) + service("web", `{type: awsRole, role: my-app-s3}`),
			settings: strings.Replace(creating(createList), "my-app-*", "*", 1),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setServices(service("api", createdRole) + service("web", `{type: awsRole, role: "not a role"}`))
				c.settle()
				var arn string
				for _, k := range c.keys("PodIdentityAssociation") {
					if strings.HasPrefix(k, "shop-api.") {
						arn = str(c.composed[k], "spec", "forProvider", "roleArn")
					}
				}
				for _, k := range c.keys("PodIdentityAssociation") {
					if strings.HasPrefix(k, "shop-web.") {
						fieldAt(c.composed[k], []string{"spec", "forProvider"}).(map[string]any)["roleArn"] = arn
					}
				}
				c.settle()
				want(t, 1, len(c.keys("PodIdentityAssociation")), "associations")
			},
		},
		"SecondClaim": {
			reason: "a claim that asks for the same meets the first one's role",
			before: service("api", diskConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				first := newCluster(t, "- {name: api, serviceAccountName: shared, connections: ["+createdRole+"]}", creating(createList))
				if c.xr["kind"] == "XServiceConnection" {
					first.claimMode()
				}
				first.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: shared, namespace: team-a}}`)
				first.settle()
				for _, o := range first.composed {
					metadata, _ := o["metadata"].(map[string]any)
					metadata["ownerReferences"] = []any{map[string]any{"uid": "other", "name": "cart", "controller": true}}
					c.objects[objectKey(o)] = o
				}
				c.setServices("- {name: api, serviceAccountName: shared, connections: [" + createdRole + "]}")
				c.settle()
				want(t, "ServiceAccountConflict", c.reason("api", "awsRole"), "reason")
				want(t, 0, len(c.keys("Role"))+len(c.attached()), "twins")
			},
		},
		"AnnotationWaits": {
			reason: "in mode IRSA the annotation names the role that works until the new one has all of its policies",
			before: service("api", awsConnection),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setSettings(inIRSA(creating(createList)))
				c.settle()
				annotation := func() string {
					return str(c.only("ServiceAccount"), "metadata", "annotations", "eks.amazonaws.com/role-arn")
				}
				want(t, plainARN, annotation(), "role before the edit")
				c.setServices(service("api", twoPolicies))
				c.reconcile()
				c.provideOnly("Role")
				c.reconcile()
				want(t, plainARN, annotation(), "role before its policies are there")
				c.settle()
				if annotation() == plainARN {
					t.Error("the annotation still names the old role")
				}
				want(t, "Connected", c.reason("api", "awsRole"), "reason")
				want(t, "", warning(c, "awsRole"), "warning")
				c.restarted("2")
				c.setSettings(inIRSA(creating("createRoles: {namespaces: []}")))
				c.settle()
				want(t, 0, len(c.created())+len(c.attached()), "parts of the role after it was revoked")
				want(t, "", annotation(), "role after it was revoked")
			},
		},
		"ModeChanges": {
			reason: "pods of the old mode have their role until they restart",
			before: service("api", createdRole),
			check: func(t *testing.T, c *cluster) {
				t.Helper()
				c.setSettings(inIRSA(creating(createList)))
				c.settle()
				want(t, 2, len(c.created()), "roles before the restart")
				want(t, 1, len(c.keys("PodIdentityAssociation")), "associations before the restart")
				c.restarted("2")
				want(t, 1, len(c.created()), "roles after the restart")
				want(t, 0, len(c.keys("PodIdentityAssociation")), "associations after the restart")
			},
		},
	}
	for name, tc := range cases {
		for _, claimed := range []bool{false, true} {
			t.Run(name+map[bool]string{true: "/Claim", false: "/Namespaced"}[claimed], func(t *testing.T) {
				t.Parallel()
				s := tc.settings
				if s == "" {
					s = creating(createList)
				}
				c := newCluster(t, tc.before, s)
				if claimed {
					c.claimMode()
				}
				c.add(deployment("api", ""))
				c.add(cacheStorage)
				c.add(`{apiVersion: v1, kind: ServiceAccount, metadata: {name: shared, namespace: team-a}}`)
				c.settle()
				c.restarted("1")
				tc.check(t, c)
				if t.Failed() {
					t.Log(tc.reason)
				}
			})
		}
	}
}
