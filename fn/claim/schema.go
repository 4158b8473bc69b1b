package claim

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// A Type is what a claim must know of a type of connection to read one, and to
// validate it. The API server's rules are generated from the same value, so that
// both say the same.
type Type struct {
	// Name of the type, as a claim writes it.
	Name ConnectionType

	// Once says why a service has one connection of the type at most, and so none with
	// a name. Empty where it may have several.
	Once string

	// Fields of the type, in the order of the documentation.
	Fields []Field

	// Rules over several fields.
	Rules []Rule

	// Together are rules over all connections of the type that a service has.
	Together []Together
}

// Together is a rule that holds the connections of one type and service against each
// other.
type Together struct {
	// Rule in CEL, of which self is the list of all connections of a service, and Holds
	// the same in Go, of those of the type.
	Rule  string
	Holds func([]*Connection) bool

	// Message says what is wrong with them, and how to mend it.
	Message string
}

// A Field of a connection. Several types may have one of the same name, and then
// have the same field.
type Field struct {
	// Name of the field. One in the connection's config is config.<name>.
	Name string

	// Required says that a connection of the type must have the field.
	Required bool

	// In says where the value goes: a pointer into the connection, whose type says
	// what a claim may write there.
	In func(*Connection) any

	// Of an object, the fields.
	Of []Field

	// MaxLength of a text, in characters. It bounds what the API server's rules
	// cost, and what the forms leave open.
	MaxLength int

	// Label says that a text must be a DNS label.
	Label bool

	// Enum of the texts that there are. Empty: any that has the forms.
	Enum []string

	// Range of a number. Nil: any.
	Range *Range

	// Forms that the value must have.
	Forms []Form
}

// A Range of numbers, both ends included.
type Range struct{ Min, Max int64 }

// A Form that a value must have.
type Form struct {
	// Rule in CEL, of which self is the value.
	Rule string

	// Message says what the value must be, or what is wrong with it.
	Message string

	text   func(string) bool
	number func(int64) bool
}

// Matching is the form of a text that matches a pattern.
func Matching(pattern, message string) Form {
	return Form{Rule: "self.matches(r'" + pattern + "')", Message: message, text: regexp.MustCompile(pattern).MatchString}
}

// NotMatching is the form of a text that doesn't match a pattern.
func NotMatching(pattern, message string) Form {
	f := Matching(pattern, message)
	matches := f.text
	f.Rule, f.text = "!"+f.Rule, func(s string) bool { return !matches(s) }
	return f
}

// Not is the form of any number but one.
func Not(n int64, message string) Form {
	return Form{Rule: fmt.Sprintf("self != %d", n), Message: message, number: func(i int64) bool { return i != n }}
}

// A Rule holds fields of a connection against each other.
type Rule struct {
	// Field that has the mistake where the rule doesn't hold.
	Field string

	// Rule in CEL, of which self is the connection, and Holds the same in Go.
	Rule  string
	Holds func(*Connection) bool

	// Message says what the field must be.
	Message string
}

// configPrefix begins the name of a field that is in a connection's config.
const configPrefix = "config."

// config is the name of the field that holds others.
const config = "config"

// A Schema is what claims may hold: the connection types that there are.
type Schema struct {
	types []*connectionType

	// fields of all types, by name, in the connection and in its config.
	fields map[string]bool
}

// A connectionType is a type with what follows from the others.
type connectionType struct {
	Type

	// names of its fields, in the connection and in its config.
	names, configNames []string

	// foreign are the fields that belong to other types only.
	foreign []string
}

// NewSchema of the types.
func NewSchema(types ...Type) *Schema {
	// A name that is empty, as it is by default, is no field of any type's own.
	s := &Schema{fields: map[string]bool{nameField: true}}
	var all []string
	for _, t := range types {
		ct := &connectionType{Type: t, names: []string{"type"}}
		if t.Once == "" {
			ct.names = append(ct.names, nameField)
		}
		for _, f := range t.Fields {
			if name, ok := strings.CutPrefix(f.Name, configPrefix); ok {
				ct.configNames = append(ct.configNames, name)
			} else {
				ct.names = append(ct.names, f.Name)
			}
		}
		if len(ct.configNames) > 0 {
			ct.names = append(ct.names, config)
		}
		for _, name := range ct.all() {
			if !s.fields[name] {
				s.fields[name] = true
				all = append(all, name)
			}
		}
		s.types = append(s.types, ct)
	}
	for _, t := range s.types {
		own := t.all()
		t.foreign = slices.DeleteFunc(slices.Clone(all), func(name string) bool { return name == nameField || slices.Contains(own, name) })
	}
	return s
}

// all names of the type's fields, those in its config with their prefix.
func (t *connectionType) all() []string {
	names := slices.Clone(t.names)
	for _, name := range t.configNames {
		names = append(names, configPrefix+name)
	}
	return names
}

// Types that there are, in the order of the documentation.
func (s *Schema) Types() []Type {
	types := make([]Type, len(s.types))
	for i, t := range s.types {
		types[i] = t.Type
	}
	return types
}

// names of the types.
func (s *Schema) names() []ConnectionType {
	names := make([]ConnectionType, len(s.types))
	for i, t := range s.types {
		names[i] = t.Name
	}
	return names
}

// typeOf a name, nil where there is none.
func (s *Schema) typeOf(name ConnectionType) *connectionType {
	for _, t := range s.types {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// MaxConnections of a service, of all types together. It bounds what pods get, and what
// the API server's rules and the admission policy cost.
const MaxConnections = 10

// maxInAll are the connections that all services of a claim may have together: what they
// compose and look at must fit in one request.
const maxInAll = 500

// unknownType says why a connection's type is none.
func (s *Schema) unknownType(t ConnectionType, r *reader) field.ErrorList {
	switch {
	case r.bad["type"] || r.fields == nil:
		return nil
	case t == "":
		return field.ErrorList{field.Required(r.path.Child("type"), "")}
	default:
		return field.ErrorList{field.NotSupported(r.path.Child("type"), t, s.names())}
	}
}
