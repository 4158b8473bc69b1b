package trust

import (
	"slices"
	"strings"
)

// A request is what AWS evaluates a trust policy for.
type request struct {
	// actions that all must be allowed.
	actions []string

	// typ of principal that asks, and its name. An empty one is nobody, whom
	// only a wildcard lets in.
	typ, caller string

	// issuer without its scheme, in lower case, of a web identity.
	issuer string

	// facts of the request's context by their key in lower case. Of other keys
	// nothing is known but those that start with one of absent.
	facts  map[string]fact
	absent []string
}

// A fact is what is known of a key of the request's context.
type fact struct {
	present answer

	// value where known.
	value string
	known bool
}

func value(s string) fact { return fact{present: yes, value: s, known: true} }

// The keys that all requests may have (IAM user guide, "AWS global condition
// context keys"), in lower case.
const (
	keySecureTransport = "aws:securetransport"
	keySourceAccount   = "aws:sourceaccount"
	keySourceARN       = "aws:sourcearn"
	keyRequestTag      = "aws:requesttag/"
)

// The actions of trust policies.
const (
	assumeRole    = "sts:AssumeRole"
	tagSession    = "sts:TagSession"
	assumeRoleWeb = "sts:AssumeRoleWithWebIdentity"
)

// servicePodIdentity is the principal of EKS Pod Identity.
const servicePodIdentity = "pods.eks.amazonaws.com"

// audience of the tokens that EKS's webhook asks for in mode IRSA.
const audience = "sts.amazonaws.com"

// clusterARN of the EKS cluster.
func (s Subject) clusterARN() string {
	return "arn:" + s.Partition + ":eks:" + s.Region + ":" + s.AccountID + ":cluster/" + s.ClusterName
}

// issuer without its scheme, as IAM names it.
func (s Subject) issuer() string {
	return strings.TrimSuffix(strings.TrimPrefix(s.OIDCIssuer, "https://"), "/")
}

// providerARN of the cluster's OIDC provider in IAM.
func (s Subject) providerARN() string {
	return "arn:" + s.Partition + ":iam::" + s.AccountID + ":oidc-provider/" + s.issuer()
}

// sub is the subject of the service account's tokens.
func (s Subject) sub() string {
	return "system:serviceaccount:" + s.Namespace + ":" + s.ServiceAccount
}

func (s Subject) request() request {
	if s.Mode == IRSA {
		return s.webIdentity()
	}
	return s.podIdentity()
}

// podIdentity is the request of EKS Pod Identity (EKS user guide, "Create IAM role
// with trust policy required by EKS Pod Identity", and "Grant Pods access to AWS
// resources based on tags").
func (s Subject) podIdentity() request {
	arn := s.clusterARN()
	r := request{
		actions: []string{assumeRole}, typ: typeService, caller: servicePodIdentity,
		facts: map[string]fact{
			keySecureTransport: value("true"),
			keySourceAccount:   value(s.AccountID),
			keySourceARN:       value(arn),
		},
	}
	if s.NoSessionTags {
		r.absent = []string{keyRequestTag}
		return r
	}
	r.actions = append(r.actions, tagSession)
	for tag, f := range map[string]fact{
		"eks-cluster-arn":            value(arn),
		"eks-cluster-name":           value(s.ClusterName),
		"kubernetes-namespace":       value(s.Namespace),
		"kubernetes-service-account": value(s.ServiceAccount),
		"kubernetes-pod-name":        {present: yes},
		"kubernetes-pod-uid":         {present: yes},
	} {
		r.facts[keyRequestTag+tag] = f
	}
	return r
}

// webIdentity is the request of a pod itself, with its token (EKS user guide,
// "Assign IAM roles to Kubernetes service accounts"; IAM user guide, "IAM and AWS
// STS condition context keys", available keys for AWS web identity federation).
// The token has no session tags, and no AWS service asks on its behalf.
func (s Subject) webIdentity() request {
	r := request{
		actions: []string{assumeRoleWeb}, typ: typeFederated,
		caller: s.providerARN(),
		issuer: strings.ToLower(s.issuer()),
		absent: []string{keySourceAccount, keySourceARN, keyRequestTag},
	}
	r.facts = map[string]fact{
		keySecureTransport: value("true"),
		r.issuer + ":sub":  value(s.sub()),
		r.issuer + ":aud":  value(audience),
	}
	return r
}

// stranger who must not get the role. In mode IRSA that is another service
// account of the cluster, in another namespace. EKS lets no such one in without
// an association, so in mode PodIdentity it is a principal of any account, who
// can send what session tags it likes.
func (s Subject) stranger() request {
	if s.Mode == IRSA {
		const nobody = "nobody-7c1f0b5e"
		return Subject{
			Partition: s.Partition, AccountID: s.AccountID, OIDCIssuer: s.OIDCIssuer,
			Namespace: nobody, ServiceAccount: nobody,
		}.webIdentity()
	}
	r := s.podIdentity()
	r.caller = ""
	r.facts[keySourceAccount], r.facts[keySourceARN] = fact{present: no}, fact{present: no}
	return r
}

// fact of a context key, whose case doesn't matter.
func (r request) fact(key string) fact {
	key = strings.ToLower(key)
	if f, ok := r.facts[key]; ok {
		return f
	}
	if issuer, claim, ok := webIdentityKey(key); ok {
		if f, ok := r.facts[issuer+":"+claim]; ok {
			return f
		}
		if issuer == r.issuer {
			return fact{present: unknown}
		}
		// A request has the keys of the issuer of its token alone.
		return fact{present: no}
	}
	if slices.ContainsFunc(r.absent, func(prefix string) bool { return strings.HasPrefix(key, prefix) }) {
		return fact{present: no}
	}
	return fact{present: unknown}
}

// webIdentityKey is a key such as oidc.example.com/id/1:sub, in its parts: a host,
// which AWS's own prefixes aren't, with a port or a path or both.
func webIdentityKey(key string) (issuer, claim string, ok bool) {
	i := strings.LastIndexByte(key, ':')
	if i < 0 {
		return "", "", false
	}
	issuer, claim = strings.TrimSuffix(key[:i], "/"), key[i+1:]
	host, _, _ := strings.Cut(issuer, "/")
	host, _, _ = strings.Cut(host, ":")
	return issuer, claim, strings.Contains(host, ".")
}
