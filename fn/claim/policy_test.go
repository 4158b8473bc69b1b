package claim_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCreate holds what a role may be created with.
func TestCreate(t *testing.T) {
	t.Parallel()

	const (
		conn      = "spec.services[0].connections[0]"
		statement = `{Effect: Allow, Action: "s3:*", Resource: "*"}`
	)

	arns := make([]string, 0, 11)
	for name := range strings.SplitSeq("abcdefghijk", "") {
		arns = append(arns, "arn:aws:iam::aws:policy/"+name)
	}

	list := func(n int) string { return `{policyArns: ["` + strings.Join(arns[:n], `", "`) + `"]}` }
	policy := func(p string) string { return `{policy: ` + p + `}` }

	cases := map[string]struct {
		reason string
		role   string
		create string
		want   []string
	}{
		"Nothing":             {reason: "A role without policies may be let in by resources.", create: `{}`},
		"Policies":            {reason: "IAM attaches ten policies to a role.", create: list(10)},
		"TooMany":             {reason: "It takes no more.", create: list(11), want: []string{"FieldValueTooMany " + conn + ".create.policyArns"}},
		"Twice":               {reason: "A policy is attached once.", create: `{policyArns: ["arn:aws:iam::aws:policy/a", "arn:aws:iam::aws:policy/a"]}`, want: []string{"FieldValueDuplicate " + conn + ".create.policyArns[1]"}},
		"PolicyName":          {reason: "A name says not whose policy it is.", create: `{policyArns: [AmazonS3ReadOnlyAccess]}`, want: []string{"FieldValueInvalid " + conn + ".create.policyArns[0]"}},
		"PolicyOfAnotherSort": {reason: "A role is no policy.", create: `{policyArns: ["arn:aws:iam::123456789012:role/r"]}`, want: []string{"FieldValueInvalid " + conn + ".create.policyArns[0]"}},
		"NoList":              {reason: "One policy is a list of one.", create: `{policyArns: "arn:aws:iam::aws:policy/a"}`, want: []string{"FieldValueTypeInvalid " + conn + ".create.policyArns"}},
		"Unknown":             {reason: "What is asked for in vain is told.", create: `{policies: []}`, want: []string{"FieldValueForbidden " + conn + ".create.policies"}},
		"NoObject":            {reason: "To create is to say with what.", create: `true`, want: []string{"FieldValueTypeInvalid " + conn + ".create"}},
		"ARN":                 {reason: "The name is generated, so that no role is taken over.", role: "arn:aws:iam::123456789012:role/r", create: `{}`, want: []string{"FieldValueInvalid " + conn + ".role"}},
		"Comma":               {reason: "A base name has no comma.", role: "a,b", create: `{}`, want: []string{"FieldValueInvalid " + conn + ".role"}},
		"Document":            {reason: "A document is written as IAM has it.", create: policy(`{Version: "2012-10-17", Statement: [` + statement + `]}`)},
		"OldVersion":          {reason: "The older language takes variables for text.", create: policy(`{Version: "2008-10-17", Statement: [` + statement + `]}`), want: []string{"FieldValueNotSupported " + conn + ".create.policy.Version"}},
		"NoVersion":           {reason: "No version is the older one.", create: policy(`{Statement: [` + statement + `]}`), want: []string{"FieldValueRequired " + conn + ".create.policy.Version"}},
		"NoStatement":         {reason: "A document without statements is a mistake.", create: policy(`{Version: "2012-10-17"}`), want: []string{"FieldValueRequired " + conn + ".create.policy.Statement"}},
		"EmptyStatement":      {reason: "IAM refuses an empty list.", create: policy(`{Version: "2012-10-17", Statement: []}`), want: []string{"FieldValueInvalid " + conn + ".create.policy.Statement"}},
		"StatementNoObject":   {reason: "A statement has elements.", create: policy(`{Version: "2012-10-17", Statement: [allow]}`), want: []string{"FieldValueTypeInvalid " + conn + ".create.policy.Statement[0]"}},
		"Text":                {reason: "Text is no document: it is written as an object.", create: policy(`"{}"`), want: []string{"FieldValueTypeInvalid " + conn + ".create.policy"}},
		"TooLong":             {reason: "IAM takes 6144 characters.", create: policy(`{Version: "2012-10-17", Statement: [{Sid: ` + strings.Repeat("a", 6144) + `}]}`), want: []string{"FieldValueInvalid " + conn + ".create.policy"}},
		"JustFits":            {reason: "It takes these.", create: policy(`{Version: "2012-10-17", Statement: [{Sid: ` + strings.Repeat("a", 6144-len(`{"Version":"2012-10-17","Statement":[{"Sid":""}]}`)) + `}]}`)},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			role := tc.role
			if role == "" {
				role = "uploads"
			}

			c := read(parse(t, `[{name: api, connections: [{type: awsRole, role: "`+role+`", create: `+tc.create+`}]}]`))
			if diff := cmp.Diff(tc.want, mistakes(c.Errors)); diff != "" {
				t.Errorf("%s: mistakes (-want +got):\n%s\n%v", tc.reason, diff, c.Errors)
			}
		})
	}
}

// Equal documents are one text, whatever the order of their keys.
func TestPolicyDocument(t *testing.T) {
	t.Parallel()

	c := read(parse(t, `[{name: api, connections: [{type: awsRole, role: r, create: {policy: {Statement: [{Resource: "a<b>&c", Effect: Allow, Condition: {NumericLessThan: {b: 5, a: "1"}}}], Version: "2012-10-17"}}}]}]`))

	got, err := c.Services[0].Connections[0].Create.Policy.JSON()
	if err != nil {
		t.Fatal(err)
	}

	want := `{"Version":"2012-10-17","Statement":[{"Condition":{"NumericLessThan":{"a":"1","b":5}},"Effect":"Allow","Resource":"a<b>&c"}]}`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("JSON(): -want, +got:\n%s", diff)
	}
}
