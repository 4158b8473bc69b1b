package door

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A principal that asks for a role: its kind as trust policies name it, Service,
// Federated or AWS, and which one.
type principal struct{ kind, name string }

// A demand for a role: who asks to do what, and what is known of the request, by
// condition keys in lower case.
type demand struct {
	principal principal
	action    string
	context   map[string][]string
}

// A trustPolicy of a role. It is evaluated here after the IAM user guide, "IAM JSON
// policy elements reference" and "Policy evaluation logic", and shares nothing with the
// function's own evaluation, which it is to check. What it doesn't know is an error, so
// that no test passes by what isn't evaluated.
type trustPolicy struct {
	Statement list[trustStatement]
}

type trustStatement struct {
	Sid, Effect string
	Principal   json.RawMessage
	Action      list[string]
	Condition   map[string]map[string]list[scalar]
}

// fields of a statement that this evaluation knows.
var statementFields = []string{"Sid", "Effect", "Principal", "Action", "Condition"}

// UnmarshalJSON refuses what isn't evaluated, such as NotPrincipal.
func (s *trustStatement) UnmarshalJSON(b []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return fmt.Errorf("cannot read statement: %w", err)
	}
	for name := range fields {
		if !slices.Contains(statementFields, name) {
			return fmt.Errorf("cannot evaluate %s of a statement", name)
		}
	}
	type plain trustStatement
	if err := json.Unmarshal(b, (*plain)(s)); err != nil {
		return fmt.Errorf("cannot read statement: %w", err)
	}
	return nil
}

// trusts says whether a role's trust policy allows what is demanded: some statement
// does, and none denies it.
func trusts(document string, d demand) (bool, error) {
	var p trustPolicy
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		return false, fmt.Errorf("cannot evaluate trust policy: %w", err)
	}
	allowed := false
	for _, s := range p.Statement {
		applies, err := s.applies(d)
		switch {
		case err != nil:
			return false, fmt.Errorf("cannot evaluate trust policy: %w", err)
		case applies && s.Effect == "Deny":
			return false, nil
		case applies && s.Effect == "Allow":
			allowed = true
		}
	}
	return allowed, nil
}

func (s *trustStatement) applies(d demand) (bool, error) {
	if !slices.ContainsFunc(s.Action, func(a string) bool { return like(strings.ToLower(a), strings.ToLower(d.action)) }) {
		return false, nil
	}
	if is, err := s.names(d.principal); err != nil || !is {
		return false, err
	}
	// All operators, and all keys of each, must hold.
	for operator, keys := range s.Condition {
		for key, values := range keys {
			if holds, err := condition(operator, values, d.context[strings.ToLower(key)]); err != nil || !holds {
				return false, err
			}
		}
	}
	return true, nil
}

// names says whether the statement's principals are or include one.
func (s *trustStatement) names(p principal) (bool, error) {
	var everyone string
	if json.Unmarshal(s.Principal, &everyone) == nil {
		return everyone == "*", nil
	}
	var kinds map[string]list[string]
	if err := json.Unmarshal(s.Principal, &kinds); err != nil {
		return false, fmt.Errorf("cannot read principal: %w", err)
	}
	return slices.ContainsFunc(kinds[p.kind], p.is), nil
}

// role and account in ARNs of a role, an account's root, and a role's session.
var (
	accountPrincipal = regexp.MustCompile(`^(?:arn:aws:iam::)?(\d{12})(?::root)?$`)
	sessionPrincipal = regexp.MustCompile(`^arn:aws:sts::(\d{12}):assumed-role/([^/]+)/[^/]+$`)
	rolePrincipal    = regexp.MustCompile(`^arn:aws:iam::(\d{12}):role/(?:.*/)?([^/]+)$`)
)

// is says whether a principal in a policy means this one. A session is also its role,
// and its account, whose own policies are taken to allow what is demanded.
func (p principal) is(name string) bool {
	if name == p.name || name == "*" {
		return true
	}
	session := sessionPrincipal.FindStringSubmatch(p.name)
	if p.kind != "AWS" || session == nil {
		return false
	}
	if account := accountPrincipal.FindStringSubmatch(name); account != nil {
		return account[1] == session[1]
	}
	role := rolePrincipal.FindStringSubmatch(name)
	return len(role) == 3 && role[1] == session[1] && role[2] == session[2]
}

// condition says whether values of a request satisfy an operator with the values of
// the policy (IAM user guide, "Condition operators").
func condition(operator string, want []scalar, got []string) (bool, error) {
	set, name, ofSet := strings.Cut(operator, ":")
	if !ofSet {
		set, name = "", operator
	}
	name, ifExists := strings.CutSuffix(name, "IfExists")
	if name == "Null" {
		return slices.Contains(want, scalar(fmt.Sprint(len(got) == 0))), nil
	}
	negated := strings.Contains(name, "Not")
	match, ok := operators[strings.Replace(name, "Not", "", 1)]
	if !ok {
		return false, fmt.Errorf("cannot evaluate condition operator %s", operator)
	}
	one := func(value string) bool {
		return slices.ContainsFunc(want, func(w scalar) bool { return match(string(w), value) }) != negated
	}
	switch {
	case len(got) == 0:
		return ifExists || set == "ForAllValues" || negated && set == "", nil
	case set == "ForAllValues":
		return !slices.ContainsFunc(got, func(v string) bool { return !one(v) }), nil
	case set == "ForAnyValue" || len(got) == 1:
		return slices.ContainsFunc(got, one), nil
	default:
		return false, fmt.Errorf("cannot evaluate condition operator %s of several values", operator)
	}
}

// operators without their negation: the policy's value and the request's.
var operators = map[string]func(want, got string) bool{
	"StringEquals":           func(want, got string) bool { return want == got },
	"StringEqualsIgnoreCase": strings.EqualFold,
	"StringLike":             like,
	"ArnEquals":              like,
	"ArnLike":                like,
	"Bool":                   strings.EqualFold,
}

// like compares with a pattern of * and ?.
func like(pattern, value string) bool {
	expression := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
	return regexp.MustCompile(`(?s)^` + expression + `$`).MatchString(value)
}

// A list, for which one alone may stand.
type list[T any] []T

// UnmarshalJSON of both forms.
func (l *list[T]) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]T)(l)) //nolint:wrapcheck // The caller says what it is.
	}
	*l = make(list[T], 1)
	return json.Unmarshal(b, &(*l)[0]) //nolint:wrapcheck // The caller says what it is.
}

// A scalar of a condition, which may be written without quotes.
type scalar string

// UnmarshalJSON of a string, a boolean or a number.
func (s *scalar) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("cannot read value of a condition: %w", err)
	}
	switch v.(type) {
	case string, bool, float64:
		*s = scalar(fmt.Sprint(v))
		return nil
	default:
		return fmt.Errorf("cannot read value of a condition: %s", b)
	}
}
