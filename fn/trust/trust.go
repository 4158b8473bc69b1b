// Package trust says whether the trust policy of an IAM role lets a Kubernetes
// service account assume it, and if not, what to change. It evaluates the policy
// as AWS would (IAM user guide, "Policy evaluation logic"), as far as the request
// is known beforehand: what it can't decide it says, and never guesses.
package trust

import (
	"fmt"
	"strings"
)

// A Mode by which a service account gets its role.
type Mode string

// The modes, by the names that the cluster settings give them.
const (
	PodIdentity Mode = "PodIdentity"
	IRSA        Mode = "IRSA"
)

// A Role as it is observed.
type Role struct {
	// ARN of the role. It is for messages.
	ARN string

	// Policy is the role's trust policy, in plain JSON.
	Policy string
}

// A Subject is the service account that is to assume the role.
type Subject struct {
	Mode Mode

	// Partition, such as aws, AccountID, of 12 digits, and Region of the
	// cluster. The role is of the same account.
	Partition, AccountID, Region string

	// ClusterName of the EKS cluster, for mode PodIdentity.
	ClusterName string

	// OIDCIssuer is the https URL of the cluster's OIDC provider, for mode
	// IRSA.
	OIDCIssuer string

	Namespace, ServiceAccount string

	// NoSessionTags says that the pod identity association disables session
	// tags.
	NoSessionTags bool
}

// String names the service account.
func (s Subject) String() string {
	return fmt.Sprintf("ServiceAccount %q in namespace %q", s.ServiceAccount, s.Namespace)
}

// A Finding is what is the matter with a trust policy. The zero Finding: nothing.
type Finding struct {
	// Reason of a connection's status.
	Reason string

	// Message is one sentence with the object, the value seen and the next
	// step.
	Message string
}

// The reasons of findings. With the first ones the role can't be assumed.
const (
	ReasonMissingPrincipal         = "TrustMissingPrincipal"
	ReasonMissingTagSession        = "TrustMissingTagSession"
	ReasonWrongIssuer              = "TrustWrongIssuer"
	ReasonSubjectMismatch          = "TrustSubjectMismatch"
	ReasonAudienceMismatch         = "TrustAudienceMismatch"
	ReasonWildcardWithStringEquals = "TrustWildcardWithStringEquals"
	ReasonDenied                   = "TrustDenied"

	// ReasonUnscoped and ReasonUnverifiable are warnings.
	ReasonUnscoped     = "TrustUnscoped"
	ReasonUnverifiable = "TrustUnverifiable"
)

// Check the trust policy of a role. Of all that is the matter with it, the
// finding is on the statement that comes nearest to letting the service account
// in.
//
// In mode IRSA a policy is unscoped if it lets a service account in that nobody
// has heard of. In mode PodIdentity it is only if it lets in whoever asks: the
// service principal without conditions is what AWS documents, and who gets the
// role through it is decided by associations (EKS user guide, "Create IAM role
// with trust policy required by EKS Pod Identity").
func Check(role Role, who Subject) Finding {
	p, err := parse(role.Policy)
	if err != nil {
		reason, _, _ := strings.Cut(err.Error(), "\n")
		return Finding{ReasonUnverifiable, fmt.Sprintf("the trust policy of IAM role %q can't be read: %s; check in IAM that it lets %s in", role.ARN, short(reason), who)}
	}
	c := check{evaluation: evaluation{p, who.request()}, stranger: evaluation{p, who.stranger()}, role: role, who: who}
	for _, action := range c.actions {
		for _, j := range c.judge(deny, action) {
			if j.applies == yes {
				return c.denied(j, action)
			}
		}
	}
	for _, action := range c.actions {
		if c.decide(allow, action) == no {
			return c.missing(action)
		}
	}
	for _, effect := range []string{allow, deny} {
		for _, action := range c.actions {
			if c.decide(effect, action) == unknown {
				return c.unverifiable(effect, action)
			}
		}
	}
	if c.stranger.granted() == yes {
		return c.unscoped()
	}
	return Finding{}
}
