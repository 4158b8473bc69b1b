package claim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// What IAM takes: AWS IAM user guide, "IAM and AWS STS quotas" and "IAM JSON
// policy elements reference". A policy's size doesn't count whitespace.
const (
	policyVersion     = "2012-10-17"
	policySize        = 6144
	policiesOfRole    = 10
	maxPolicyARN      = 768
	statementsOfClaim = 100
)

var policyARNPattern = regexp.MustCompile(`^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/([!-~]{1,512}/)?[\w+=,.@-]{1,128}$`)

// The fields of what a role is created with.
var (
	createFields   = []string{"policyArns", "policy"}
	documentFields = []string{"Version", "Statement"}
)

// JSON of the policy document: without whitespace, its keys in order.
func (d *PolicyDocument) JSON() (string, error) {
	document := struct {
		Version   string
		Statement []map[string]any
	}{Version: d.Version}
	for _, s := range d.Statement {
		document.Statement = append(document.Statement, s.Elements)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(document); err != nil {
		return "", fmt.Errorf("cannot write policy document: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// create reads what a role is created with, and validates it.
func (r *reader) create() *RoleCreation {
	v, ok := r.fields["create"]
	if !ok {
		return nil
	}
	cr := reader{path: r.path.Child("create")}
	defer func() { r.errs = append(r.errs, cr.errs...) }()
	c := &RoleCreation{}
	if cr.fields = cr.object(v); cr.fields == nil {
		return c
	}
	cr.errs = append(cr.errs, cr.unknown(createFields)...)
	for i, v := range cr.atMost("policyArns", policiesOfRole) {
		p := cr.path.Child("policyArns").Index(i)
		arn, ok := v.(string)
		switch {
		case !ok:
			cr.errs = append(cr.errs, typeError(p, v, "a string"))
		case utf8.RuneCountInString(arn) > maxPolicyARN:
			cr.errs = append(cr.errs, field.TooLong(p, arn, maxPolicyARN))
		case !policyARNPattern.MatchString(arn):
			cr.errs = append(cr.errs, field.Invalid(p, arn, "must be the ARN of a managed policy such as arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"))
		case slices.Contains(c.PolicyARNs, arn):
			cr.errs = append(cr.errs, field.Duplicate(p, arn))
		default:
			c.PolicyARNs = append(c.PolicyARNs, arn)
		}
	}
	if _, ok := cr.fields["policy"]; ok {
		c.Policy = cr.document()
	}
	return c
}

// document of a policy.
func (r *reader) document() *PolicyDocument {
	dr := reader{path: r.path.Child("policy")}
	defer func() { r.errs = append(r.errs, dr.errs...) }()
	if dr.fields = dr.object(r.fields["policy"]); dr.fields == nil {
		return nil
	}
	dr.errs = append(dr.errs, dr.unknown(documentFields)...)
	d := &PolicyDocument{Version: str[string](&dr, "Version")}
	for _, name := range documentFields {
		if _, ok := dr.fields[name]; !ok {
			dr.errs = append(dr.errs, field.Required(dr.path.Child(name), "a policy document has Version and Statement"))
		}
	}
	if d.Version != "" && d.Version != policyVersion {
		dr.errs = append(dr.errs, field.NotSupported(dr.path.Child("Version"), d.Version, []string{policyVersion}))
	}
	statements, p := dr.atMost("Statement", statementsOfClaim), dr.path.Child("Statement")
	if _, there := dr.fields["Statement"]; there && len(statements) == 0 && !dr.bad["Statement"] {
		dr.errs = append(dr.errs, field.Invalid(p, statements, "must have a statement at least"))
	}
	for i, v := range statements {
		m, ok := v.(map[string]any)
		if !ok {
			dr.errs = append(dr.errs, typeError(p.Index(i), v, "an object"))
		}
		d.Statement = append(d.Statement, Statement{Elements: maps.Clone(m)})
	}
	j, err := d.JSON()
	if err != nil {
		dr.errs = append(dr.errs, field.Invalid(dr.path, "document", err.Error()))
	}
	if n := utf8.RuneCountInString(j); n > policySize {
		dr.errs = append(dr.errs, field.Invalid(dr.path, fmt.Sprintf("%d characters", n), fmt.Sprintf("must have at most %d, whitespace not counted; put the rest into managed policies and name them in policyArns", policySize)))
		return nil
	}
	return d
}
