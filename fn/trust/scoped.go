package trust

import (
	"encoding/json"
)

// The parts of a trust policy that is written. They are structs, and the maps of
// encoding/json are in order, so that equal subjects have equal policies.
type (
	scopedPolicy struct {
		Version   string
		Statement []scopedStatement
	}
	scopedStatement struct {
		Effect    string
		Principal map[string]string
		Action    []string
		Condition scopedCondition
	}
	scopedCondition struct {
		StringEquals map[string]string
	}
)

// Scoped is a trust policy, in JSON, that lets the service account in and nobody
// else, and only in its cluster: by the session tags of EKS Pod Identity (EKS user
// guide, "Grant Pods access to AWS resources based on tags"), or by the claims of its
// token (EKS user guide, "Assign IAM roles to Kubernetes service accounts").
func Scoped(who Subject) string {
	s := scopedStatement{
		Effect:    allow,
		Principal: map[string]string{typeService: servicePodIdentity},
		Action:    []string{assumeRole, tagSession},
		Condition: scopedCondition{StringEquals: map[string]string{
			"aws:SourceAccount":                         who.AccountID,
			"aws:RequestTag/eks-cluster-arn":            who.clusterARN(),
			"aws:RequestTag/kubernetes-namespace":       who.Namespace,
			"aws:RequestTag/kubernetes-service-account": who.ServiceAccount,
		}},
	}
	if who.Mode == IRSA {
		s.Principal = map[string]string{typeFederated: who.providerARN()}
		s.Action = []string{assumeRoleWeb}
		s.Condition.StringEquals = map[string]string{
			who.issuer() + ":aud": audience,
			who.issuer() + ":sub": who.sub(),
		}
	}
	b, err := json.Marshal(scopedPolicy{Version: version2012, Statement: []scopedStatement{s}})
	if err != nil {
		// Strings can always be written. If not, IAM refuses the role.
		return ""
	}
	return string(b)
}
