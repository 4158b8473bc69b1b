package door

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/serviceconnections/function-service-connections/test/e2e/cloud"
)

// podIdentityAgent is the address of the EKS Pod Identity agent on each node (EKS user
// guide, "Understand how EKS Pod Identity works").
const podIdentityAgent = "169.254.170.23"

// Audiences of tokens, of EKS Pod Identity and of IAM roles for service accounts.
const (
	audiencePods = "pods.eks.amazonaws.com"
)

// How long sessions last: of EKS Pod Identity (EKS user guide, "EKS Pod Identity
// considerations"), of a role that another one assumes (IAM user guide, "Role
// chaining"), and of AssumeRoleWithWebIdentity without a duration (STS API reference).
const (
	podSession   = 6 * time.Hour
	chainSession = time.Hour
	webSession   = time.Hour
)

// A session of an assumed role.
type session struct {
	// arn of the session, and the role's.
	arn, roleARN string

	accessKeyID, secret, token string
	expires                    time.Time
}

// An awsError as the API references name it.
type awsError struct {
	status        int
	code, message string
}

func (e *awsError) Error() string { return e.code + ": " + e.message }

func refuse(status int, code, format string, a ...any) *awsError {
	return &awsError{status: status, code: code, message: fmt.Sprintf(format, a...)}
}

// servePodIdentity as the EKS Pod Identity agent does: it looks at the token, and lets
// EKS Auth decide. What it says, and how, is that of eks-pod-identity-agent v1.3
// (pkg/handlers, internal/validation, pkg/errors).
func (d *Doors) servePodIdentity(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/credentials" {
		http.NotFound(w, r)
		return
	}
	raw := r.Header.Get("Authorization")
	if raw == "" {
		http.Error(w, "Service account token cannot be empty", http.StatusBadRequest)
		return
	}
	t, err := parse(raw)
	if err != nil {
		http.Error(w, "Service account token cannot be parsed: "+err.Error(), http.StatusBadRequest)
		return
	}
	if !t.valid(d.now()) {
		http.Error(w, "Service account token failed basic claim validations: token has invalid claims: token is expired", http.StatusBadRequest)
		return
	}
	s, failed := d.assumeRoleForPodIdentity(r.Context(), raw, t)
	if failed != nil {
		d.refused("aws", t)
		http.Error(w, fmt.Sprintf("[%s]: (%s): %s, fault: client", random(8), failed.code, failed.message), failed.status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{ //nolint:errchkjson // Whoever has called may be gone.
		"AccessKeyId": s.accessKeyID, "SecretAccessKey": s.secret, "Token": s.token,
		"AccountId": account(s.roleARN), "Expiration": s.expires.Format(time.RFC3339Nano),
	})
}

// assumeRoleForPodIdentity as EKS Auth does (EKS API reference,
// AssumeRoleForPodIdentity, whose errors these are): by the association, and by the
// role's trust policy, which it asks with the session tags (EKS user guide, "Grant Pods
// access to AWS resources based on tags").
func (d *Doors) assumeRoleForPodIdentity(ctx context.Context, raw string, t token) (session, *awsError) {
	switch err := d.signed(ctx, raw, t); {
	case err != nil:
		return session{}, refuse(http.StatusBadRequest, "InvalidTokenException", "The token included in the request is invalid: %v", err)
	case t.Issuer != d.cluster.Issuer:
		return session{}, refuse(http.StatusBadRequest, "InvalidTokenException", "The token included in the request is of issuer %q, which is not this cluster's", t.Issuer)
	case !t.isFor(audiencePods):
		return session{}, refuse(http.StatusBadRequest, "InvalidTokenException", "The audience of the token included in the request is %q, not %q", t.Audience, audiencePods)
	}
	namespace, name, ok := serviceAccountOf(t.Subject)
	if !ok || t.Kubernetes.Pod.UID == "" {
		return session{}, refuse(http.StatusBadRequest, "InvalidTokenException", "The token included in the request is not bound to a pod")
	}
	a, ok := d.cloud.AssociationOf(d.cluster.Name, namespace, name)
	if !ok {
		return session{}, refuse(http.StatusNotFound, "ResourceNotFoundException", "The token included in the request has no service account role association for it.")
	}
	cluster := fmt.Sprintf("arn:aws:eks:%s:%s:cluster/%s", d.cluster.Region, cloud.AccountID, d.cluster.Name)
	known := map[string][]string{"aws:sourceaccount": {cloud.AccountID}, "aws:sourcearn": {cluster}}
	actions := []string{"sts:AssumeRole"}
	if !a.DisableSessionTags {
		actions = append(actions, "sts:TagSession")
		for key, value := range map[string]string{
			"eks-cluster-arn": cluster, "eks-cluster-name": d.cluster.Name,
			"kubernetes-namespace": namespace, "kubernetes-service-account": name,
			"kubernetes-pod-name": t.Kubernetes.Pod.Name, "kubernetes-pod-uid": t.Kubernetes.Pod.UID,
		} {
			known["aws:requesttag/"+key] = []string{value}
			known["aws:tagkeys"] = append(known["aws:tagkeys"], key)
		}
	}
	sessionName := "eks-" + d.cluster.Name + "-" + t.Kubernetes.Pod.Name + "-" + random(8)
	if !d.lets(principal{"Service", audiencePods}, a.RoleARN, actions, known) {
		return session{}, refuse(http.StatusForbidden, "AccessDeniedException", "Unauthorized Exception! EKS does not have permissions to assume the associated role.")
	}
	s := d.newSession(a.RoleARN, sessionName, podSession)
	if a.TargetRoleARN == "" {
		return s, nil
	}
	// The first session asks for the second one, with the same tags, and with the
	// external id, if EKS has given one (EKS user guide, "Access AWS resources using EKS
	// Pod Identity target IAM roles").
	if a.ExternalID != "" {
		known["sts:externalid"] = []string{a.ExternalID}
	}
	if !d.lets(principal{"AWS", s.arn}, a.TargetRoleARN, actions, known) {
		return session{}, refuse(http.StatusForbidden, "AccessDeniedException", "Unauthorized Exception! The associated role does not have permissions to assume the target role.")
	}
	return d.newSession(a.TargetRoleARN, sessionName, chainSession), nil
}

// lets says whether a role's trust policy lets a principal do all that is asked.
func (d *Doors) lets(p principal, roleARN string, actions []string, known map[string][]string) bool {
	document := d.cloud.TrustOfARN(roleARN)
	if document == "" {
		return false
	}
	for _, action := range actions {
		// A policy that can't be evaluated lets nobody in, and so fails the test.
		if ok, err := trusts(document, demand{p, action, known}); err != nil || !ok {
			return false
		}
	}
	return true
}

// newSession of a role.
func (d *Doors) newSession(roleARN, name string, lasts time.Duration) session {
	role := roleARN[strings.LastIndex(roleARN, "/")+1:]
	s := session{
		arn:     fmt.Sprintf("arn:aws:sts::%s:assumed-role/%s/%s", account(roleARN), role, name),
		roleARN: roleARN, accessKeyID: "ASIA" + strings.ToUpper(random(8)), secret: random(20), token: random(32),
		expires: d.now().Add(lasts).UTC(),
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sessions[s.accessKeyID] = s
	return s
}

// account of an ARN.
func account(arn string) string {
	parts := strings.Split(arn, ":")
	return parts[min(4, len(parts)-1)]
}

// subjects of ServiceAccounts' tokens begin with this.
const subjects = "system:serviceaccount:"

// subject of a ServiceAccount's tokens.
func subject(namespace, name string) string { return subjects + namespace + ":" + name }

// serviceAccountOf a token's subject.
func serviceAccountOf(subject string) (namespace, name string, ok bool) {
	account, ok := strings.CutPrefix(subject, subjects)
	if !ok {
		return "", "", false
	}
	return strings.Cut(account, ":")
}

// random letters and digits, two for each byte.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // It never fails.
	return fmt.Sprintf("%x", b)
}

// serveSTS answers AWS STS's query protocol.
func (d *Doors) serveSTS(w http.ResponseWriter, r *http.Request) {
	result, err := d.sts(r)
	w.Header().Set("Content-Type", "text/xml")
	if failed, ok := errors.AsType[*awsError](err); ok {
		w.WriteHeader(failed.status)
		result = stsErrorResponse{Type: "Sender", Code: failed.code, Message: failed.message, RequestID: random(16)}
	}
	_ = xml.NewEncoder(w).Encode(result) // Whoever has called may be gone.
}

type stsErrorResponse struct {
	XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

type callerIdentityResponse struct {
	XMLName xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
	ARN     string   `xml:"GetCallerIdentityResult>Arn"`
	Account string   `xml:"GetCallerIdentityResult>Account"`
	UserID  string   `xml:"GetCallerIdentityResult>UserId"`
}

type webIdentityResponse struct {
	XMLName     xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleWithWebIdentityResponse"`
	ARN         string   `xml:"AssumeRoleWithWebIdentityResult>AssumedRoleUser>Arn"`
	AccessKeyID string   `xml:"AssumeRoleWithWebIdentityResult>Credentials>AccessKeyId"`
	Secret      string   `xml:"AssumeRoleWithWebIdentityResult>Credentials>SecretAccessKey"`
	Token       string   `xml:"AssumeRoleWithWebIdentityResult>Credentials>SessionToken"`
	Expiration  string   `xml:"AssumeRoleWithWebIdentityResult>Credentials>Expiration"`
}

func (d *Doors) sts(r *http.Request) (any, error) {
	if err := r.ParseForm(); err != nil {
		return nil, refuse(http.StatusBadRequest, "MalformedInput", "%v", err)
	}
	switch action := r.PostForm.Get("Action"); action {
	case "GetCallerIdentity":
		return d.getCallerIdentity(r)
	case "AssumeRoleWithWebIdentity":
		return d.assumeRoleWithWebIdentity(r.Context(), r.PostForm.Get("RoleArn"), r.PostForm.Get("RoleSessionName"), r.PostForm.Get("WebIdentityToken"))
	default:
		return nil, refuse(http.StatusBadRequest, "InvalidAction", "Could not find operation %s", action)
	}
}

// credential of a signed request (AWS Signature Version 4).
var credential = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([A-Z0-9]+)/`)

// sessionOf a request, by its token. That is the proof here; a signature says nothing more
// to a door that nobody else listens at.
func (d *Doors) sessionOf(r *http.Request) (s session, ok bool) {
	key := credential.FindStringSubmatch(r.Header.Get("Authorization"))
	if key == nil {
		return session{}, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok = d.sessions[key[1]]
	return s, ok && s.token == r.Header.Get("X-Amz-Security-Token")
}

// getCallerIdentity tells whose session a request has.
func (d *Doors) getCallerIdentity(r *http.Request) (any, error) {
	s, ok := d.sessionOf(r)
	switch {
	case !ok:
		return nil, refuse(http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid.")
	case d.now().After(s.expires):
		return nil, refuse(http.StatusForbidden, "ExpiredToken", "The security token included in the request is expired")
	}
	return callerIdentityResponse{ARN: s.arn, Account: account(s.arn), UserID: "AROA:" + s.arn[strings.LastIndex(s.arn, "/")+1:]}, nil
}

// assumeRoleWithWebIdentity as STS does (STS API reference, AssumeRoleWithWebIdentity):
// by the OIDC provider in IAM, and by the role's trust policy.
func (d *Doors) assumeRoleWithWebIdentity(ctx context.Context, roleARN, sessionName, raw string) (any, error) {
	t, err := parse(raw)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "InvalidIdentityToken", "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	}
	provider, audience, ok := d.cloud.OIDCProvider(t.Issuer)
	switch {
	case !ok:
		return nil, refuse(http.StatusBadRequest, "InvalidIdentityToken", "No OpenIDConnect provider found in your account for %s", t.Issuer)
	case d.signed(ctx, raw, t) != nil:
		return nil, refuse(http.StatusBadRequest, "InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
	case !t.isFor(audience):
		return nil, refuse(http.StatusBadRequest, "InvalidIdentityToken", "Incorrect token audience")
	case !t.valid(d.now()):
		return nil, refuse(http.StatusBadRequest, "ExpiredTokenException", "Token expired: current date/time %d must be before the expiration date/time %d", d.now().Unix(), t.Expires)
	}
	issuer := strings.TrimPrefix(t.Issuer, "https://")
	known := map[string][]string{strings.ToLower(issuer + ":aud"): {audience}, strings.ToLower(issuer + ":sub"): {t.Subject}}
	if !d.lets(principal{"Federated", provider}, roleARN, []string{"sts:AssumeRoleWithWebIdentity"}, known) {
		return nil, refuse(http.StatusForbidden, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	}
	s := d.newSession(roleARN, sessionName, webSession)
	return webIdentityResponse{ARN: s.arn, AccessKeyID: s.accessKeyID, Secret: s.secret, Token: s.token, Expiration: s.expires.Format(time.RFC3339)}, nil
}
