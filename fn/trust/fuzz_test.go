package trust

import (
	"encoding/json"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// documented are the statements of the EKS user guide.
var documented = map[Mode]string{
	PodIdentity: `{"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": ["sts:AssumeRole", "sts:TagSession"]}`,
	IRSA:        `{"Effect": "Allow", "Principal": {"Federated": "arn:aws:iam::111122223333:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/ABC"}, "Action": "sts:AssumeRoleWithWebIdentity"}`,
}

// longest message in bytes.
const longest = 3000

// FuzzCheck gives whatever an API may return for a trust policy. None of it may
// panic, what isn't a policy blocks nothing, and one that has the documented
// statement too blocks only by what it denies.
func FuzzCheck(f *testing.F) {
	for mode := range files {
		for _, tc := range cases(f, mode) {
			f.Add(tc.Policy)
		}
	}
	f.Add(`{"Statement":{"Effect":"Allow","Principal":{"Service":null},"Action":"` + nasty + `"}}`)
	warnings := []string{"", ReasonUnscoped, ReasonUnverifiable}
	f.Fuzz(func(t *testing.T, document string) {
		for mode := range files {
			who := checkCase{}.subject(mode)
			got := Check(Role{ARN: roleARN, Policy: document}, who)
			if diff := gocmp.Diff(got, Check(Role{ARN: roleARN, Policy: document}, who)); diff != "" {
				t.Errorf("the same input gives another finding:\n%s", diff)
			}
			if (got.Reason == "") != (got.Message == "") {
				t.Errorf("a reason and a message go together: %v", got)
			}
			if len(got.Message) > longest {
				t.Errorf("a message of %d bytes is too long to read", len(got.Message))
			}
			if _, err := parse(document); (err != nil || !json.Valid([]byte(document))) && got.Reason != ReasonUnverifiable {
				t.Errorf("what can't be read gives %v", got)
			}
			with, ok := withStatement(document, documented[mode])
			if !ok {
				continue
			}
			got = Check(Role{ARN: roleARN, Policy: with}, who)
			if got.Reason != ReasonDenied && !slices.Contains(warnings, got.Reason) {
				t.Errorf("the documented statement is there, and yet: %v\n%s", got, with)
			}
		}
	})
}

// withStatement adds a statement to a policy whose statements are a list.
func withStatement(document, statement string) (with string, ok bool) {
	var p map[string]any
	if json.Unmarshal([]byte(document), &p) != nil {
		return "", false
	}
	list, ok := p["Statement"].([]any)
	p["Statement"] = append(list, json.RawMessage(statement))
	b, err := json.Marshal(p)
	return string(b), ok && err == nil
}
