package trust

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	kjson "sigs.k8s.io/json"
)

// A policy is a trust policy as IAM keeps it (IAM user guide, "Grammar of the
// IAM JSON policy language"). Element names are case sensitive.
type policy struct {
	Version   string     `json:"Version"`
	ID        string     `json:"Id"`
	Statement statements `json:"Statement"`
}

// The versions of the policy language (IAM user guide, "IAM JSON policy elements:
// Version").
const (
	version2008 = "2008-10-17"
	version2012 = "2012-10-17"
)

// The effects of a statement.
const (
	allow = "Allow"
	deny  = "Deny"
)

type statement struct {
	Sid          string                     `json:"Sid"`
	Effect       string                     `json:"Effect"`
	Principal    *principal                 `json:"Principal"`
	NotPrincipal *principal                 `json:"NotPrincipal"`
	Action       list                       `json:"Action"`
	NotAction    list                       `json:"NotAction"`
	Condition    map[string]map[string]list `json:"Condition"`

	// name by which a message calls the statement.
	name string

	// conditions in the order of their operators and keys.
	conditions []condition
}

// A condition on one key.
type condition struct {
	operator, key string
	values        list
}

// A principal is who a statement is about, by type (IAM user guide, "AWS JSON
// policy elements: Principal"). The string "*" is all of type AWS.
type principal map[string]list

// typeAWS is the type whose wildcard stands for everybody.
const (
	typeAWS       = "AWS"
	typeService   = "Service"
	typeFederated = "Federated"
	wildcard      = "*"
)

// A list of strings, which JSON may write as a single one.
type list []string

// statements, which JSON may write as a single one.
type statements []*statement

// maxBytes is beyond what IAM takes: 8192 characters at most, whitespace not
// counted (IAM user guide, "IAM and AWS STS quotas").
const maxBytes = 1 << 16

var errMalformed = errors.New("it is not of the form of an IAM policy")

// parse a policy. IAM keeps none of those that this refuses.
func parse(document string) (*policy, error) {
	if n := len(document); n > maxBytes {
		return nil, fmt.Errorf("it has %d bytes, and IAM takes far fewer", n)
	}
	p := &policy{}
	if err := decode([]byte(document), p); err != nil {
		return nil, err
	}
	if p.Version != "" && p.Version != version2008 && p.Version != version2012 {
		return nil, fmt.Errorf("version %q is not known", p.Version)
	}
	if len(p.Statement) == 0 {
		return nil, errors.New("it has no statement")
	}
	for i, s := range p.Statement {
		if s == nil {
			return nil, errMalformed
		}
		s.name = fmt.Sprintf("statement %d", i+1)
		if s.Sid != "" {
			s.name = fmt.Sprintf("statement %q", short(s.Sid))
		}
		if err := s.validate(); err != nil {
			return nil, err
		}
		for _, operator := range slices.Sorted(maps.Keys(s.Condition)) {
			for _, key := range slices.Sorted(maps.Keys(s.Condition[operator])) {
				s.conditions = append(s.conditions, condition{operator, key, s.Condition[operator][key]})
			}
		}
	}
	return p, nil
}

func (s *statement) validate() error {
	if s.Effect != allow && s.Effect != deny {
		return fmt.Errorf("%s has the effect %q", s.name, s.Effect)
	}
	if (s.Principal == nil) == (s.NotPrincipal == nil) {
		return fmt.Errorf("%s needs one of Principal and NotPrincipal", s.name)
	}
	if (len(s.Action) == 0) == (len(s.NotAction) == 0) {
		return fmt.Errorf("%s needs one of Action and NotAction", s.name)
	}
	return nil
}

// decode JSON, without fields that aren't known or are there twice.
func decode(b []byte, into any) error {
	strict, err := kjson.UnmarshalStrict(b, into)
	return errors.Join(append(strict, err)...)
}

// UnmarshalJSON of one statement or a list of them.
func (s *statements) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte("{")) {
		one := &statement{}
		*s = statements{one}
		return decode(b, one)
	}
	var many []*statement
	err := decode(b, &many)
	*s = many
	return err
}

// UnmarshalJSON of a string, or a map of types.
func (p *principal) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte(`"`)) {
		var who string
		if err := decode(b, &who); err != nil {
			return err
		}
		if who != wildcard {
			return fmt.Errorf("the principal %q has no type", who)
		}
		*p = principal{typeAWS: {wildcard}}
		return nil
	}
	var types map[string]list
	err := decode(b, &types)
	*p = types
	return err
}

// UnmarshalJSON of one value or a list of them. A condition's values may be
// booleans and numbers.
func (l *list) UnmarshalJSON(b []byte) error {
	// It has no fields that could be there twice, so it needs no strict decoding,
	// which reads everything two times.
	var v any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(b, &v); err != nil {
		return errMalformed
	}
	many, ok := v.([]any)
	if !ok {
		many = []any{v}
	}
	for _, v := range many {
		switch v := v.(type) {
		case string:
			*l = append(*l, v)
		case bool:
			*l = append(*l, strconv.FormatBool(v))
		case int64:
			*l = append(*l, strconv.FormatInt(v, 10))
		default:
			return errMalformed
		}
	}
	return nil
}
