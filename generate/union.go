package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// config is the field of a connection that holds others.
const config = "config"

// labelPattern is that of a DNS label (RFC 1123), which has 63 characters at most.
const (
	labelPattern = `^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	labelLength  = 63
)

// declare in the schema of a ServiceConnection what the connection types say of
// themselves: their names, what must be in their fields, and which fields are
// whose.
func declare(root *apiextensionsv1.JSONSchemaProps, types []claim.Type) error {
	named := func(s *apiextensionsv1.JSONSchemaProps) {
		for _, t := range types {
			s.Enum = append(s.Enum, quoted(string(t.Name)))
		}
	}
	connections := []string{"services", "connections"}

	for _, part := range []string{"spec", "status"} {
		if !change(root, named, append([]string{part}, append(connections, "type")...)...) {
			return fmt.Errorf("cannot find a connection's type in the schema's %s", part)
		}
	}

	for _, f := range fields(types) {
		path := append([]string{"spec"}, append(connections, strings.Split(f.Name, ".")...)...)
		if !change(root, func(s *apiextensionsv1.JSONSchemaProps) { bound(s, f) }, path...) {
			return fmt.Errorf("cannot find %s in the schema: a field that a connection type declares must be in the Go type Connection, or in Config", f.Name)
		}

		for _, in := range f.Of {
			if !change(root, func(s *apiextensionsv1.JSONSchemaProps) { bound(s, in) }, append(slices.Clone(path), in.Name)...) {
				return fmt.Errorf("cannot find %s.%s in the schema: it must be in the Go type of %s", f.Name, in.Name, f.Name)
			}
		}
	}

	if !change(root, boundStatement, append([]string{"spec"}, append(connections, "create", "policy", "Statement")...)...) {
		return fmt.Errorf("cannot find a policy's statements in the schema")
	}

	change(root, func(s *apiextensionsv1.JSONSchemaProps) {
		s.MaxItems = new(int64(claim.MaxConnections))
		s.XValidations = together(types)
		s.Items.Schema.XValidations = union(types)
	}, append([]string{"spec"}, connections...)...)

	return nil
}

// change what a schema says of the field at a path, through the items of lists.
// It is false where there is no such field.
func change(s *apiextensionsv1.JSONSchemaProps, how func(*apiextensionsv1.JSONSchemaProps), path ...string) bool {
	if len(path) == 0 {
		how(s)

		return true
	}

	if s.Items != nil {
		s = s.Items.Schema
	}

	child, ok := s.Properties[path[0]]
	if ok {
		ok = change(&child, how, path[1:]...)
		s.Properties[path[0]] = child
	}

	return ok
}

// fields of the types, each once.
func fields(types []claim.Type) []claim.Field {
	var all []claim.Field

	for _, t := range types {
		for _, f := range t.Fields {
			if !slices.ContainsFunc(all, func(o claim.Field) bool { return o.Name == f.Name }) {
				all = append(all, f)
			}
		}
	}

	return all
}

// bound what may be in a field.
func bound(s *apiextensionsv1.JSONSchemaProps, f claim.Field) {
	if f.MaxLength > 0 {
		s.MaxLength = new(int64(f.MaxLength))
	}

	if f.Label {
		s.MaxLength, s.Pattern = new(int64(labelLength)), labelPattern
	}

	if f.Range != nil {
		s.Minimum, s.Maximum = new(float64(f.Range.Min)), new(float64(f.Range.Max))
	}

	for _, name := range f.Enum {
		s.Enum = append(s.Enum, quoted(name))
	}

	for _, form := range f.Forms {
		s.XValidations = append(s.XValidations, apiextensionsv1.ValidationRule{Rule: form.Rule, Message: form.Message})
	}
}

// How much a policy document may hold. IAM takes 6,144 characters of it.
const (
	maxElements = 8
	maxValues   = 200
	maxText     = 2048
)

// boundStatement to IAM's grammar of it (AWS IAM user guide, "Grammar of the IAM JSON
// policy language"), as far as that bounds how deep and wide it is: each element is a
// value, a list of values, or operators with keys with such. A schema can't say that
// something is one or the other, but what holds for it if it is.
func boundStatement(s *apiextensionsv1.JSONSchemaProps) {
	value := apiextensionsv1.JSONSchemaProps{
		XPreserveUnknownFields: new(true),
		MaxLength:              new(int64(maxText)),
		// No list and no object is both.
		MinItems: new(int64(1)), MaxItems: new(int64(0)),
		MinProperties: new(int64(1)), MaxProperties: new(int64(0)),
	}
	values := *value.DeepCopy()
	values.MinItems, values.MaxItems = nil, new(int64(maxValues))
	values.Items = &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &value}
	keys := apiextensionsv1.JSONSchemaProps{
		Type: "object", MaxProperties: new(int64(maxElements)),
		AdditionalProperties: &apiextensionsv1.JSONSchemaPropsOrBool{Allows: true, Schema: &values},
	}
	element := *values.DeepCopy()
	element.MinProperties, element.MaxProperties = nil, new(int64(maxElements))
	element.AdditionalProperties = &apiextensionsv1.JSONSchemaPropsOrBool{Allows: true, Schema: &keys}

	statement := s.Items.Schema
	statement.XPreserveUnknownFields = nil
	statement.MaxProperties = new(int64(maxElements))
	statement.AdditionalProperties = &apiextensionsv1.JSONSchemaPropsOrBool{Allows: true, Schema: &element}
}

// union are the rules that hold a connection to its type: which fields it must
// have, and which are those of other types.
func union(types []claim.Type) apiextensionsv1.ValidationRules {
	var rules apiextensionsv1.ValidationRules

	add := func(name, rule, message string, reason apiextensionsv1.FieldValueErrorReason) {
		rules = append(rules, apiextensionsv1.ValidationRule{Rule: rule, Message: message, Reason: &reason, FieldPath: "." + name})
	}

	for _, t := range types {
		for _, f := range t.Fields {
			if f.Required {
				add(f.Name, isNoneOf([]string{string(t.Name)})+" || "+has(f.Name), fmt.Sprintf("%s is required for %s", f.Name, t.Name), apiextensionsv1.FieldValueRequired)
			}
		}
	}

	all := fields(types)
	if with := typesWith(types, config); len(with) > 0 {
		all = append([]claim.Field{{Name: config}}, all...)
	}

	for _, f := range all {
		own := typesWith(types, f.Name)
		message := fmt.Sprintf("%s is a field of %s only", f.Name, strings.Join(own, " and "))

		if !strings.HasPrefix(f.Name, config+".") {
			add(f.Name, fmt.Sprintf("%s || !has(self.%s)", isOneOf(own), f.Name), message, apiextensionsv1.FieldValueForbidden)

			continue
		}

		// Of types without a config, that is the mistake.
		others := slices.DeleteFunc(typesWith(types, config), func(t string) bool { return slices.Contains(own, t) })
		if len(others) > 0 {
			add(f.Name, fmt.Sprintf("%s || !has(self.%s) || !has(self.%s)", isNoneOf(others), config, f.Name), message, apiextensionsv1.FieldValueForbidden)
		}
	}

	for _, t := range types {
		if t.Once != "" {
			add("name", isNoneOf([]string{string(t.Name)})+" || !has(self.name) || self.name == ''", t.Once, apiextensionsv1.FieldValueForbidden)
		}
	}

	for _, t := range types {
		for _, r := range t.Rules {
			add(r.Field, r.Rule, r.Message, apiextensionsv1.FieldValueInvalid)
		}
	}

	return rules
}

// together are the rules that hold the connections of a service against each other. That
// a type can be there once only, the list's keys say already, but not why.
func together(types []claim.Type) apiextensionsv1.ValidationRules {
	var rules apiextensionsv1.ValidationRules

	for _, t := range types {
		if t.Once != "" {
			rules = append(rules, apiextensionsv1.ValidationRule{Rule: fmt.Sprintf("self.filter(c, c.type == '%s').size() <= 1", t.Name), Message: t.Once})
		}
	}

	for _, t := range types {
		for _, r := range t.Together {
			rules = append(rules, apiextensionsv1.ValidationRule{Rule: r.Rule, Message: r.Message})
		}
	}

	return rules
}

// typesWith a field, or with any that is in it.
func typesWith(types []claim.Type, name string) []string {
	var with []string

	for _, t := range types {
		if slices.ContainsFunc(t.Fields, func(f claim.Field) bool { return f.Name == name || strings.HasPrefix(f.Name, name+".") }) {
			with = append(with, string(t.Name))
		}
	}

	return with
}

// isOneOf says in CEL that a connection is of one of the types.
func isOneOf(types []string) string {
	if len(types) == 1 {
		return "self.type == '" + types[0] + "'"
	}

	return "self.type in ['" + strings.Join(types, "','") + "']"
}

// isNoneOf says in CEL that a connection is of none of the types.
func isNoneOf(types []string) string {
	if len(types) == 1 {
		return "self.type != '" + types[0] + "'"
	}

	return "!(" + isOneOf(types) + ")"
}

// has says in CEL that a connection has a field.
func has(name string) string {
	if in, _, ok := strings.Cut(name, "."); ok {
		return fmt.Sprintf("(has(self.%s) && has(self.%s))", in, name)
	}

	return "has(self." + name + ")"
}

// quoted name as JSON.
func quoted(name string) apiextensionsv1.JSON {
	raw, err := json.Marshal(name)
	if err != nil {
		// A string can always be encoded.
		panic(err)
	}

	return apiextensionsv1.JSON{Raw: raw}
}
