package door

import (
	"strings"
	"testing"
)

// trustsPods as the EKS user guide has it, "Create IAM role with trust policy required
// by EKS Pod Identity".
const trustsPods = `{"Version":"2012-10-17","Statement":[{"Sid":"AllowEksAuthToAssumeRoleForPodIdentity","Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`

// trustsSubject as the EKS user guide has it, "Assign IAM roles to Kubernetes service
// accounts", with its operator and subject.
func trustsSubject(operator, subject string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/oidc.eks.region-code.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"` + operator + `":{"oidc.eks.region-code.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE:sub":"` + subject + `","oidc.eks.region-code.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE:aud":"sts.amazonaws.com"}}}]}`
}

// TestTrusts evaluates AWS's own examples.
func TestTrusts(t *testing.T) {
	t.Parallel()
	pods := demand{principal{"Service", "pods.eks.amazonaws.com"}, "sts:AssumeRole", map[string][]string{
		"aws:requesttag/kubernetes-namespace": {"team-a"}, "aws:sourceaccount": {"111122223333"},
	}}
	const provider = "oidc.eks.region-code.amazonaws.com/id/exampled539d4633e53de1b71example"
	web := demand{
		principal{"Federated", "arn:aws:iam::111122223333:oidc-provider/oidc.eks.region-code.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"},
		"sts:AssumeRoleWithWebIdentity",
		map[string][]string{provider + ":sub": {"system:serviceaccount:default:my-service-account"}, provider + ":aud": {"sts.amazonaws.com"}},
	}
	chained := demand{principal{"AWS", "arn:aws:sts::111122223333:assumed-role/first/eks-one-pod"}, "sts:AssumeRole", map[string][]string{"sts:externalid": {"id"}}}
	statement := func(s string) string { return `{"Statement":{"Effect":"Allow",` + s + `}}` }
	const service = `"Principal":{"Service":["ec2.amazonaws.com","pods.eks.amazonaws.com"]},"Action":"sts:*"`
	for name, tc := range map[string]struct {
		reason   string
		document string
		demand   demand
		want     bool
		err      string
	}{
		"Pods":                 {reason: "EKS's own example", document: trustsPods, demand: pods, want: true},
		"OtherService":         {reason: "only the principal that is named", document: trustsPods, demand: demand{principal{"Service", "ec2.amazonaws.com"}, "sts:AssumeRole", nil}},
		"OtherAction":          {reason: "only the actions that are named", document: trustsPods, demand: demand{pods.principal, "sts:SetSourceIdentity", nil}},
		"Subject":              {reason: "EKS's own example of IRSA", document: trustsSubject("StringEquals", "system:serviceaccount:default:my-service-account"), demand: web, want: true},
		"OtherSubject":         {reason: "one letter is another subject", document: trustsSubject("StringEquals", "system:serviceaccount:default:my-service-accounts"), demand: web},
		"PatternWithLike":      {reason: "EKS's example for several accounts", document: trustsSubject("StringLike", "system:serviceaccount:default:my-*"), demand: web, want: true},
		"PatternWithEquals":    {reason: "the usual mistake: StringEquals knows no wildcards", document: trustsSubject("StringEquals", "system:serviceaccount:default:my-*"), demand: web},
		"GlobAndList":          {reason: "an action may have wildcards, and a principal may be a list", document: statement(service), demand: pods, want: true},
		"Tag":                  {reason: "keys are compared without regard to case", document: statement(service + `,"Condition":{"StringEquals":{"aws:RequestTag/Kubernetes-Namespace":["other","team-a"]}}`), demand: pods, want: true},
		"OtherTag":             {reason: "values are compared with regard to case", document: statement(service + `,"Condition":{"StringEquals":{"aws:RequestTag/kubernetes-namespace":"Team-A"}}`), demand: pods},
		"TwoOperators":         {reason: "all must hold", document: statement(service + `,"Condition":{"StringEquals":{"aws:SourceAccount":"111122223333"},"StringLike":{"aws:RequestTag/kubernetes-namespace":"other-*"}}`), demand: pods},
		"MissingKey":           {reason: "a key that the request lacks equals nothing", document: statement(service + `,"Condition":{"StringEquals":{"aws:SourceOrgID":"o-1"}}`), demand: pods},
		"MissingKeyIfExists":   {reason: "unless the operator says so", document: statement(service + `,"Condition":{"StringEqualsIfExists":{"aws:SourceOrgID":"o-1"}}`), demand: pods, want: true},
		"MissingKeyNotEquals":  {reason: "a negated operator holds where the key is missing", document: statement(service + `,"Condition":{"StringNotEquals":{"aws:SourceOrgID":"o-1"}}`), demand: pods, want: true},
		"Null":                 {reason: "a key that must be there", document: statement(service + `,"Condition":{"Null":{"aws:SourceAccount":"true"}}`), demand: pods},
		"Deny":                 {reason: "a denial wins, wherever it stands", document: `{"Statement":[{"Effect":"Deny",` + service + `},{"Effect":"Allow",` + service + `}]}`, demand: pods},
		"Chained":              {reason: "a session is its role", document: statement(`"Principal":{"AWS":"arn:aws:iam::111122223333:role/path/first"},"Action":"sts:AssumeRole"`), demand: chained, want: true},
		"ChainedByAccount":     {reason: "and its account", document: statement(`"Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"id"}}`), demand: chained, want: true},
		"ChainedByOther":       {reason: "and no other role of it", document: statement(`"Principal":{"AWS":"arn:aws:iam::111122223333:role/second"},"Action":"sts:AssumeRole"`), demand: chained},
		"WhatIsn'tEvaluated":   {reason: "no test passes by it", document: statement(`"NotPrincipal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"`), demand: chained, err: "NotPrincipal"},
		"OperatorNotEvaluated": {reason: "no test passes by it", document: statement(service + `,"Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`), demand: pods, err: "IpAddress"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := trusts(tc.document, tc.demand)
			if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s\ntrusts is %t, %v; want %t, %q", tc.reason, got, err, tc.want, tc.err)
			}
		})
	}
}
