package connection

import (
	"cmp"
	"slices"
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
	"github.com/serviceconnections/function-service-connections/fn/settings"
	"github.com/serviceconnections/function-service-connections/fn/trust"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// awsRole connects to an IAM role, by EKS Pod Identity or by IAM roles for service
// accounts.
var awsRole = Type{
	Type: claim.Type{
		Name: claim.TypeAWSRole,
		Once: "a service has one awsRole, because its pods run as one ServiceAccount, to which AWS gives one role; put the other connection into a service with a workload of its own, or grant both to one role",
		Fields: []claim.Field{
			{
				Name: "role", Required: true, In: func(c *claim.Connection) any { return &c.Role }, MaxLength: maxRoleARN,
				Forms: []claim.Form{claim.Matching(`^(`+roleARNForm+`|`+roleForm+`)$`, "must be a role name of at most 64 letters, digits and +=,.@-_, or a role ARN such as arn:aws:iam::123456789012:role/name")},
			},
			{Name: "create", In: func(c *claim.Connection) any { return &c.Create }},
			{
				Name: "targetRoleArn", In: func(c *claim.Connection) any { return &c.TargetRoleARN }, MaxLength: maxRoleARN,
				Forms: []claim.Form{claim.Matching(`^`+roleARNForm+`$`, "must be a role ARN such as arn:aws:iam::123456789012:role/name")},
			},
			{Name: "disableSessionTags", In: func(c *claim.Connection) any { return &c.DisableSessionTags }},
		},
		Rules: []claim.Rule{createdName, taggedWhereCreated},
	},
	Family: &awsFamily,
	Grants: []*GrantKind{&roleGrant, &associationGrant, &foundAssociation, &createdRoleGrant, &policyGrant, &attachmentGrant, &policyAttachmentGrant},
	Injects: workload.Forms{
		Env: map[string]string{
			"AWS_REGION":                             `^[a-z0-9-]+$`,
			"AWS_DEFAULT_REGION":                     `^[a-z0-9-]+$`,
			"AWS_STS_REGIONAL_ENDPOINTS":             `^regional$`,
			"AWS_CONTAINER_CREDENTIALS_FULL_URI":     `^http://(169[.]254[.]170[.]23|[[]fd00:ec2::23[]])/v1/credentials$`,
			"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": `^/var/run/secrets/pods[.]eks[.]amazonaws[.]com/serviceaccount/eks-pod-identity-token$`,
			// A path may hold a dollar, but none that begins a reference.
			envRoleARN:                    `^arn:aws[a-z-]*:iam::[0-9]{12}:role/(([!-#%-~]|[$][!-')-~]){1,512}[$]?/|[$]/)?[A-Za-z0-9_+=,.@-]{1,64}$`,
			"AWS_WEB_IDENTITY_TOKEN_FILE": `^/var/run/secrets/eks[.]amazonaws[.]com/serviceaccount/token$`,
		},
		Tokens: map[string]workload.Token{
			podIdentityVolume: {Audience: podIdentityAudience, Path: podIdentityVolume, MountPath: podIdentityMount},
			irsaVolume:        {Audience: irsaAudience, Path: irsaPath, MountPath: irsaMount},
		},
	},
	Expand:    expandAWSRole,
	Published: publishedRole,
	Route:     routeOfRole,
}

// awsFamily are IAM roles.
var awsFamily = Family{
	Name:        "aws",
	Annotations: "eks.amazonaws.com/",
	Keys:        []string{annotationAudience, annotationRoleARN, annotationRegional},
	Annotated: func(s *settings.Settings, namespace string, serviceAccount map[string]any) (target string, d settings.Decision, ok bool) {
		role := annotatedRole(serviceAccount)
		if role == "" {
			return "", settings.Absent, false
		}
		return awsTarget(role, "", false), allowsAWS(s, namespace, decoded.Text(serviceAccount, "metadata", "name"), role, ""), true
	},
	Suffices: func(s *settings.Settings) bool { return s.AWS != nil && s.AWS.Mode == settings.ModeIRSA },
}

var (
	roleKind        = newManagedKind("Role", "roles", "iam.aws", "upbound.io", "v1beta1", "v1beta1")
	associationKind = newManagedKind("PodIdentityAssociation", "podidentityassociations", "eks.aws", "upbound.io", "v1beta1", "v1beta1")

	// roleGrant reads the role, and associationGrant grants it.
	roleGrant        = GrantKind{Name: "role", Kinds: []managedKind{roleKind}, Reports: reportedRole}
	associationGrant = GrantKind{Name: "association", Kinds: []managedKind{associationKind}, Called: associationID, handsOver: &associationHandOver, Reports: reportedAssociation, Target: func(s *settings.Settings, namespace string, o map[string]any) (string, settings.Decision) {
		arn, target := decoded.Text(o, "spec", "forProvider", "roleArn"), decoded.Text(o, "spec", "forProvider", "targetRoleArn")
		untagged, _ := decoded.At(o, sessionTags...).(bool)
		return awsTarget(arn, target, untagged), allowsAssociation(s, namespace, decoded.Text(o, "spec", "forProvider", "serviceAccount"), arn, target)
	}}
)

// The forms of an IAM role's name, and of its ARN (AWS IAM API reference,
// CreateRole), and how long an ARN may be.
const (
	roleForm    = `[\w+=,.@-]{1,64}`
	roleARNForm = `arn:aws[a-z-]*:iam::[0-9]{12}:role/([!-~]{1,512}/)?` + roleForm
	maxRoleARN  = 1024
)

// What a pod needs for EKS Pod Identity, by the names that EKS's own webhook
// gives (github.com/aws/amazon-eks-pod-identity-webhook, and the EKS user
// guide, "Understand how EKS Pod Identity works"). The webhook leaves alone what
// is set, so a pod that starts before its association exists heals by itself.
const (
	podIdentityURL      = "http://169.254.170.23/v1/credentials"
	podIdentityURLIPv6  = "http://[fd00:ec2::23]/v1/credentials"
	podIdentityAudience = "pods.eks.amazonaws.com"
	podIdentityVolume   = "eks-pod-identity-token"
	podIdentityMount    = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
)

// What a pod needs for IAM roles for service accounts, from the same sources.
const (
	irsaAudience = "sts.amazonaws.com"
	irsaVolume   = "aws-iam-token"
	irsaMount    = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
	irsaPath     = "token"

	annotationRoleARN  = "eks.amazonaws.com/role-arn"
	annotationRegional = "eks.amazonaws.com/sts-regional-endpoints"
	annotationAudience = "eks.amazonaws.com/audience"
)

// tokenSeconds is the lifetime of both tokens that EKS's webhook asks for.
const tokenSeconds = 86400

// A roleARN is an IAM role's ARN in its parts.
type roleARN struct {
	arn     string
	account string
	name    string
}

func parseRoleARN(arn string) roleARN {
	// arn:aws:iam::123456789012:role/path/name, validated before.
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return roleARN{arn: arn}
	}
	return roleARN{arn: arn, account: parts[4], name: parts[5][strings.LastIndexByte(parts[5], '/')+1:]}
}

// same role, whatever its path: names are unique in an account.
func (r roleARN) same(o roleARN) bool { return r.account == o.account && r.name == o.name }

// expandAWSRole: the role is somebody else's. It is observed, never written.
func expandAWSRole(c Context) Expansion {
	aws := c.Settings.AWS
	if aws == nil {
		return blocked(Expansion{}, Verdictf(CloudNotConfigured, "the cluster settings have no aws section; ask the platform team to add it"))
	}
	if t := c.Connection.TargetRoleARN; t != "" && aws.Mode == settings.ModeIRSA {
		return blocked(Expansion{}, Verdictf(InvalidField, "targetRoleArn %q needs EKS Pod Identity, and this cluster is in mode IRSA; assume that role in the application, or ask the platform team for mode PodIdentity", t))
	}
	if v := reserved(c.Connection.Role, c.Connection.TargetRoleARN); v.Reason != "" {
		return blocked(Expansion{}, v)
	}
	if c.Connection.Create != nil {
		return c.createRole()
	}
	asked := parseRoleARN(c.Connection.Role)
	if asked.account == "" {
		asked = parseRoleARN("arn:" + aws.Partition + ":iam::" + aws.AccountID + ":role/" + c.Connection.Role)
	}
	if aws.Mode == settings.ModePodIdentity && asked.account != aws.AccountID {
		return blocked(Expansion{}, Verdictf(InvalidField, "role %q is in account %s, and EKS Pod Identity takes roles of the cluster's account %s only; set targetRoleArn to this one, and role to one of that account that may assume it", asked.arn, asked.account, aws.AccountID))
	}
	e := Expansion{Identity: asked.arn}
	role := roleState{roleARN: asked, known: asked.arn == c.Connection.Role}
	if asked.account == aws.AccountID {
		g := c.observedRole(asked)
		e.Grants = append(e.Grants, g)
		role = c.roleState(g, role)
	}
	if !role.known {
		// The provider may be down: what was observed once stays.
		role.roleARN, role.known = c.lastObserved(role.roleARN)
	}
	untagged := c.untagged()
	e.Target = awsTarget(role.arn, c.Connection.TargetRoleARN, untagged)
	e.Decision, e.Judged = c.judged(role.arn)
	finding, warnings := c.trusts(role, untagged)
	role.verdict = First(role.verdict, finding)
	e.Verdict, e.Warnings = role.verdict, warnings
	switch {
	case e.Verdict.Reason == IdentityMismatch:
		return e
	case aws.Mode == settings.ModeIRSA:
		return c.irsa(e, role)
	case e.Verdict.Blocks():
		// The association is changed in place, so it stays with a role that works
		// until this one is known to.
		c, role = c.formerRole(role)
	}
	return c.podIdentity(e, role)
}

// A roleState is a role's ARN, whether it is sure (a bare name leaves the path
// open until the role is observed), and what is the matter with the role.
type roleState struct {
	roleARN

	known   bool
	verdict Verdict

	// observed says that the role has been seen, or is in use.
	observed bool

	// policy is the role's trust policy, empty where it isn't observed.
	policy string
}

// observedRole is the role as AWS has it, read only: its path is in the ARN,
// and nobody else knows it.
func (c Context) observedRole(asked roleARN) Grant {
	key := c.lasting(roleGrant.Name, standsByName, asked.name, asked.account, asked.name)
	return c.grant(managedResource{
		kind: roleKind, key: key, name: c.ownName(key, roleGrant.Name),
		externalName: asked.name, policies: observe,
		providerConfig: c.Settings.AWS.ProviderConfigRef, forProvider: map[string]any{},
	})
}

// roleState of the role that was asked for, as it is observed.
func (c Context) roleState(g Grant, asked roleState) roleState {
	asked.verdict = c.state(g)
	if asked.verdict.Reason == notExist {
		asked.verdict = Verdictf(RoleNotFound, "IAM role %q does not exist in account %s; correct the name, or ask whoever administers the account to create it", asked.name, asked.account)
	}
	o := c.Observed.Object(g.Key)
	arn := decoded.Text(o, "status", "atProvider", "arn")
	if arn == "" {
		return asked
	}
	observed := parseRoleARN(arn)
	if !observed.same(asked.roleARN) {
		asked.verdict = Verdictf(IdentityMismatch, "Role %q observes %q, not the role %q that was asked for; ask the platform team whether the provider's credentials are of that account, and who changed the object", decoded.Text(g.Object, "metadata", "name"), arn, asked.arn)
		return asked
	}
	return roleState{roleARN: observed, known: true, observed: true, verdict: asked.verdict, policy: decoded.Text(o, "status", "atProvider", "assumeRolePolicy")}
}

// trusts says whether the role's trust policy lets the ServiceAccount in. A
// finding names the cause of what the cloud would say later, or only the pods
// would. It takes nothing away: the policy may have changed since, and is
// evaluated here, not by AWS.
func (c Context) trusts(role roleState, untagged bool) (finding Verdict, warnings []Verdict) {
	if role.policy == "" || role.verdict.Reason == RoleNotFound {
		return Verdict{}, nil
	}
	who := c.trustSubject()
	who.NoSessionTags = untagged
	f := trust.Check(trust.Role{ARN: role.arn, Policy: role.policy}, who)
	v := Verdict{Reason: Reason(f.Reason), Message: f.Message}
	if v.Reason != "" && !v.Blocks() {
		return Verdict{}, []Verdict{v}
	}
	return v, nil
}

// trustSubject is the ServiceAccount as a role's trust policy tells it.
func (c Context) trustSubject() trust.Subject {
	aws := c.Settings.AWS
	return trust.Subject{
		Mode: trust.Mode(aws.Mode), Partition: aws.Partition, AccountID: aws.AccountID, Region: aws.Region,
		ClusterName: aws.ClusterName, OIDCIssuer: aws.OIDCIssuer,
		Namespace: c.Claim.Namespace, ServiceAccount: c.ServiceAccount,
	}
}

// lastObserved ARN of a role, by what was made with it: the association, or in
// mode IRSA the ServiceAccount's annotation. The literal ARN, which lacks a path,
// is only for the first time.
func (c Context) lastObserved(asked roleARN) (arn roleARN, known bool) {
	said := decoded.Text(c.Observed.Object(c.associationKey()), "spec", "forProvider", "roleArn")
	if c.Settings.AWS.Mode == settings.ModeIRSA {
		said = annotatedRole(c.observedServiceAccount())
	}
	if arn := parseRoleARN(said); arn.same(asked) {
		return arn, true
	}
	return asked, false
}

// associationIdentity is what a cluster has one association of.
func (c Context) associationIdentity() []string {
	aws := c.Settings.AWS
	return []string{aws.Region, aws.ClusterName, c.Claim.Namespace, c.ServiceAccount}
}

func (c Context) associationKey() string {
	return c.lasting(associationGrant.Name, standsOn("serviceAccount"), c.ServiceAccount, c.associationIdentity()...)
}

// podIdentity grants the role by an association of the cluster. EKS refuses a role
// that doesn't exist, so the association waits until the role is seen, and gives the
// one that it gave before until then. The pods needn't wait: they have nothing of
// the role's, and heal by themselves.
func (c Context) podIdentity(e Expansion, role roleState) Expansion {
	former, given, waits := c, role, Verdict{}
	if !role.observed {
		waits = Verdictf(Creating, "PodIdentityAssociation of ServiceAccount %q waits until the role %q is seen in AWS", c.ServiceAccount, role.arn)
		former, given = c.formerRole(role)
	}
	e.Identity = role.arn
	e.Published = true
	e.Injection = c.podIdentityInjection()
	if !given.observed {
		e.Awaits = []Grant{c.association(role)}
		e.Verdict = First(role.verdict, waits)
		return e
	}
	association := former.association(given)
	e.Grants = append(e.Grants, association)
	e.Sessions = c.sessions(association)
	e.Verdict = First(role.verdict, c.associationState(association, given.roleARN), c.associationChanges(association), waits)
	return e
}

// association that gives the ServiceAccount a role.
func (c Context) association(role roleState) Grant {
	aws := c.Settings.AWS
	key := c.associationKey()
	forProvider := map[string]any{
		"region":         aws.Region,
		"clusterName":    aws.ClusterName,
		"namespace":      c.Claim.Namespace,
		"serviceAccount": c.ServiceAccount,
		"roleArn":        role.arn,
	}
	if t := c.Connection.TargetRoleARN; t != "" {
		forProvider["targetRoleArn"] = t
	}
	if asked := c.Connection.DisableSessionTags; asked != nil {
		forProvider["disableSessionTags"] = *asked
	}
	if by := c.composedBy(key); by != "" {
		forProvider["tags"] = map[string]any{composedBy: by}
	}
	return c.grant(managedResource{
		kind: associationKind, key: key, name: c.sharedName(key, associationGrant.Name),
		former: c.formerly(c.formerKey(associationGrant.Name, c.associationIdentity()...), associationGrant.Name),
		called: associationID, handsOver: &associationHandOver, policies: manage, providerConfig: aws.ProviderConfigRef, forProvider: forProvider,
	})
}

// podIdentityInjection is what pods ask the Pod Identity agent by.
func (c Context) podIdentityInjection() claim.Injection {
	url := podIdentityURL
	if c.Settings.IPv6() {
		url = podIdentityURLIPv6
	}
	i := tokenInjection(podIdentityVolume, podIdentityMount, podIdentityAudience, podIdentityVolume)
	i.Env = append(c.awsEnv(),
		claim.EnvVar{Name: "AWS_CONTAINER_CREDENTIALS_FULL_URI", Value: url},
		claim.EnvVar{Name: "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", Value: podIdentityMount + "/" + podIdentityVolume},
	)
	return i
}

// rolesInUse by an observed association, as EKS says, or else the object: the role,
// and the one that it chains into. Empty where it isn't observed.
func (c Context) rolesInUse(association Grant) (arn, target string) {
	o := c.Observed.Object(association.Key)
	said := []string{"status", "atProvider"}
	if decoded.Text(o, "status", "atProvider", "roleArn") == "" {
		said = []string{"spec", "forProvider"}
	}
	return decoded.Text(o, append(slices.Clone(said), "roleArn")...), decoded.Text(o, append(slices.Clone(said), "targetRoleArn")...)
}

// associationChanges says that an association still gives another role. Until it
// doesn't, that role is needed.
func (c Context) associationChanges(association Grant) Verdict {
	was, wasTarget := c.rolesInUse(association)
	arn, target := decoded.Text(association.Object, "spec", "forProvider", "roleArn"), decoded.Text(association.Object, "spec", "forProvider", "targetRoleArn")
	if was == "" || was == arn && wasTarget == target {
		return c.tagsChange(association)
	}
	if was == arn && target == "" {
		return Verdictf(Creating, "PodIdentityAssociation %q still chains into %q, and is being changed to chain into none; if it stays so for minutes, ask the platform team to delete the object, which is then made anew", decoded.Text(association.Object, "metadata", "name"), wasTarget)
	}
	if was == arn {
		was, arn = cmp.Or(wasTarget, "no role to chain into"), target
	}
	return Verdictf(Creating, "PodIdentityAssociation %q still gives %q, and is being changed to %q", decoded.Text(association.Object, "metadata", "name"), was, arn)
}

// associationExists is the EKS API's error for a ServiceAccount that has an
// association already (EKS API reference, CreatePodIdentityAssociation).
const associationExists = "ResourceInUseException"

func (c Context) associationState(g Grant, arn roleARN) Verdict {
	v := c.state(g)
	if v.Reason != ProviderError || !c.failedWith(g, associationExists) {
		return v
	}
	o, name := c.Observed.Object(g.Key), decoded.Text(g.Object, "metadata", "name")
	id, f := associationHandOver.find(g.Key, c.Observed, c.Claim.UID)
	finder := c.Observed.Object(associationHandOver.finderKey(g.Key, id))
	failure := providerError(finder)
	switch {
	case f == foundOurs, id != "" && Annotation(o, externalName) == id:
		return Verdictf(Creating, "PodIdentityAssociation %q: its provider was stopped as EKS made association %s for it, and gets it back", name, id)
	case f == sought && (failure == "" || strings.Contains(failure, errNotExist)):
		return Verdictf(Creating, "PodIdentityAssociation %q: EKS has association %s for ServiceAccount %q already, and it is being looked up whether it was made for this", name, id, c.ServiceAccount)
	}
	return Verdictf(AssociationExists, "EKS cluster %q has another pod identity association for ServiceAccount %q in namespace %q; ask whoever administers EKS to delete that one there, if nothing needs it, so that %q can be associated; or, if it was made for this, to hand it over: kubectl %sannotate %s %s %s=%s",
		c.Settings.AWS.ClusterName, c.ServiceAccount, c.Claim.Namespace, arn.arn, inNamespace(g.Object), g.Kind.CRD, name, externalName, cmp.Or(saidExisting(o), "ID"))
}

// inNamespace is the option by which kubectl finds an object, with a space behind it.
func inNamespace(object map[string]any) string {
	if ns := decoded.Text(object, "metadata", "namespace"); ns != "" {
		return "-n " + ns + " "
	}
	return ""
}

// irsa grants the role by the role's own trust policy, which somebody else
// writes. The ServiceAccount's annotation names the role.
func (c Context) irsa(e Expansion, role roleState) Expansion {
	if !isCreatedName(role.name) {
		e.Warnings = append(e.Warnings, Verdictf(RevocationExternal, "in mode IRSA the trust policy of role %q decides who assumes it; nothing needs to be done now, but to take the access back, its trust policy must be changed too", role.arn))
	}
	if !role.known {
		// A path would make the literal ARN wrong, and a pod doesn't heal from
		// that.
		e.Identity = ""
		return e
	}
	e.Identity = role.arn
	e.Published = true
	e.Annotations = map[string]string{
		annotationRoleARN:  role.arn,
		annotationRegional: "true",
		annotationAudience: irsaAudience,
	}
	e.Injection = tokenInjection(irsaVolume, irsaMount, irsaAudience, irsaPath)
	e.Injection.Env = append(c.awsEnv(),
		claim.EnvVar{Name: envRoleARN, Value: literal(role.arn)},
		claim.EnvVar{Name: "AWS_WEB_IDENTITY_TOKEN_FILE", Value: irsaMount + "/" + irsaPath},
	)
	return e
}

// annotatedRole of a ServiceAccount, empty where there is none. A team may write there
// what is longer than any, with a path of its choice, which would go into what is
// composed and told.
func annotatedRole(serviceAccount map[string]any) string {
	role := Annotation(serviceAccount, annotationRoleARN)
	if len(role) > maxRoleARN {
		return ""
	}
	return role
}

// literal value of an environment variable. Kubernetes expands $(NAME) in it, and makes
// one dollar of two (Kubernetes documentation, "Define Dependent Environment Variables").
// A role's path may hold both. What needs no escape stays as it is, so that no pod
// restarts for one.
func literal(value string) string {
	if !strings.Contains(value, "$(") && !strings.Contains(value, "$$") {
		return value
	}
	return strings.ReplaceAll(value, "$", "$$")
}

// awsEnv is what both modes set.
func (c Context) awsEnv() []claim.EnvVar {
	region := c.Settings.AWS.Region
	return []claim.EnvVar{
		{Name: "AWS_REGION", Value: region},
		{Name: "AWS_DEFAULT_REGION", Value: region},
		{Name: "AWS_STS_REGIONAL_ENDPOINTS", Value: "regional"},
	}
}

// envRoleARN is the variable by which AWS's SDKs know what to assume with a token
// (AWS SDKs and Tools reference guide, "Assume role credential provider").
const envRoleARN = "AWS_ROLE_ARN"

// publishedRole is named in mode IRSA.
func publishedRole(s *settings.Settings, namespace, serviceAccount string, part claim.Injection) settings.Decision {
	for _, e := range part.Env {
		if e.Name == envRoleARN {
			return allowsAWS(s, namespace, serviceAccount, strings.ReplaceAll(e.Value, "$$", "$"), "")
		}
	}
	return settings.Absent
}

// tokenInjection mounts a projected service account token.
func tokenInjection(volume, mountPath, audience, path string) claim.Injection {
	return claim.Injection{
		Volumes: []claim.Volume{{Name: volume, Projected: &claim.ProjectedVolume{Sources: []claim.ProjectedSource{{
			ServiceAccountToken: claim.ServiceAccountToken{Audience: audience, ExpirationSeconds: tokenSeconds, Path: path},
		}}}}},
		VolumeMounts: []claim.VolumeMount{{Name: volume, MountPath: mountPath, ReadOnly: true}},
	}
}

// awsTarget is what a ServiceAccount may have one of: a role and the role that
// it chains into, by sessions with or without tags. The path is left out, since names
// are unique without it.
func awsTarget(arn, targetARN string, untagged bool) string {
	r := parseRoleARN(arn)
	partition, _, _ := strings.Cut(strings.TrimPrefix(arn, "arn:"), ":")
	target := "arn:" + partition + ":iam::" + r.account + ":role/" + r.name
	if targetARN != "" {
		target += " and " + targetARN
	}
	if untagged {
		target += " without session tags"
	}
	return target
}

// allowsAWS says whether a ServiceAccount may use a role, and the role that it
// chains into where there is one. A role that was created is for its
// ServiceAccount only, as its name tells.
func allowsAWS(s *settings.Settings, namespace, serviceAccount, arn, targetARN string) settings.Decision {
	d, name := s.AllowsRole(namespace, arn), parseRoleARN(arn).name
	switch {
	case createdFor(name, namespace, serviceAccount):
		d = s.AllowsRoleCreation(namespace)
	case isCreatedName(name) && d == settings.Allowed:
		d = settings.Excluded
	}
	if targetARN == "" || d == settings.Excluded {
		return d
	}
	// A list that excludes the target takes it back, whatever is said of the role.
	if t := s.AllowsRole(namespace, targetARN); t == settings.Excluded || d == settings.Allowed {
		return t
	}
	return d
}

// judged says whether the connection may use a role and the one that it chains into, and
// which of the two the decision is about: the latter where the former may be used.
func (c Context) judged(arn string) (d settings.Decision, what string) {
	ns, target := c.Claim.Namespace, c.Connection.TargetRoleARN
	if target != "" && allowsAWS(c.Settings, ns, c.ServiceAccount, arn, "") == settings.Allowed {
		what = target
	}
	return allowsAWS(c.Settings, ns, c.ServiceAccount, arn, target), what
}

// allowsAssociation says whether a ServiceAccount may use the roles of an association.
// EKS associates roles of the cluster's account only, so a role of another one was of
// the cluster's before. Where the settings are of another account now, the same name
// says that it stays.
func allowsAssociation(s *settings.Settings, namespace, serviceAccount, arn, targetARN string) settings.Decision {
	d := allowsAWS(s, namespace, serviceAccount, arn, targetARN)
	was := parseRoleARN(arn)
	if d != settings.Excluded || s.AWS == nil || was.account == "" || was.account == s.AWS.AccountID {
		return d
	}
	now := func(arn string) string { return strings.Replace(arn, ":"+was.account+":", ":"+s.AWS.AccountID+":", 1) }
	if d := allowsAWS(s, namespace, serviceAccount, now(arn), now(targetARN)); d != settings.Allowed {
		return settings.Excluded
	}
	return settings.Moved
}

// stubAssociation is what provider-aws says an association's id is until it knows
// that (provider-aws, config/externalname.go, eksPodIdentityAssociation).
const stubAssociation = "a-stubassocid123456"

// associationID that EKS gave, by which provider-aws calls an association.
func associationID(o map[string]any) string {
	if id := decoded.Text(o, "status", "atProvider", "associationId"); id != stubAssociation {
		return id
	}
	return ""
}

// reportedRole is what provider-aws says of a role.
func reportedRole(k Known, object map[string]any) map[string]any {
	if k.Settings.AWS == nil {
		return nil
	}
	path := cmp.Or(decoded.Text(object, "spec", "forProvider", "path"), "/")
	return map[string]any{"arn": iamARN(k.Settings, "role"+path+Annotation(object, externalName))}
}

// reportedAssociation is what provider-aws says of an association.
func reportedAssociation(_ Known, object map[string]any) map[string]any {
	at := map[string]any{"roleArn": decoded.Text(object, "spec", "forProvider", "roleArn")}
	if target := decoded.Text(object, "spec", "forProvider", "targetRoleArn"); target != "" {
		at["targetRoleArn"] = target
	}
	at["disableSessionTags"], _ = decoded.At(object, sessionTags...).(bool)
	return at
}

// routeOfRole leads by the credential to the role, and from there to the one that it
// chains into.
func routeOfRole(d Drawn) Route {
	role := stepOfRole(d.Role)
	switch {
	case d.Create != nil:
		role.Kind = "IAM role, created"
		if d.Identity != "" {
			role.Name = stepOfRole(d.Identity).Name
		}
	case d.TargetRoleARN == "" && d.Identity != "":
		role = stepOfRole(d.Identity)
	}
	role.Object = roleKind.namespaced.Kind
	r := Route{Credential: awsCredential(d), Steps: []Step{role}}
	if d.TargetRoleARN != "" {
		r.Steps = append(r.Steps, stepOfRole(d.TargetRoleARN))
	}
	return r
}

// stepOfRole by its ARN, or by its name alone.
func stepOfRole(role string) Step {
	if r := parseRoleARN(role); r.account != "" {
		return Step{Kind: "IAM role in " + r.account, Name: r.name}
	}
	return Step{Kind: "IAM role", Name: role}
}

// awsCredential is what the cluster's settings choose. A claim doesn't say it, but
// what is composed or injected does.
func awsCredential(d Drawn) string {
	switch kind := associationKind.namespaced.Kind; {
	case d.Composed(kind), d.injects("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
		return kind
	case d.injects("AWS_WEB_IDENTITY_TOKEN_FILE"):
		return "web identity (IRSA)"
	default:
		return "AWS credential"
	}
}
