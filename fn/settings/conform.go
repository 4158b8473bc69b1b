package settings

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/serviceconnections/function-service-connections/fn/excerpt"
)

// A conformer makes decoded JSON fit a type of the settings, and collects what
// doesn't, one mistake more than are told at most.
type conformer struct {
	mistakes field.ErrorList
}

// conform a value to a type: what of the value the type can hold.
func (c *conformer) conform(v any, t reflect.Type, p *field.Path) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if v == nil {
		return nil // As if it weren't there.
	}
	switch t.Kind() {
	case reflect.Struct:
		if m, ok := v.(map[string]any); ok {
			return c.conformStruct(m, t, p)
		}
		return c.refuse(v, p, "must be an object")
	case reflect.Map:
		if m, ok := v.(map[string]any); ok {
			return c.conformMap(m, func(string) (reflect.Type, bool) { return t.Elem(), true }, p, "")
		}
		return c.refuse(v, p, "must be an object")
	case reflect.Slice:
		if l, ok := v.([]any); ok {
			return c.conformList(l, t.Elem(), p)
		}
		return c.refuse(v, p, "must be a list")
	case reflect.Bool:
		if _, ok := v.(bool); !ok {
			return c.refuse(v, p, "must be true or false, without quotes")
		}
	default: // A string: TestEveryType holds that there is nothing else.
		if _, ok := v.(string); !ok {
			return c.refuse(v, p, "must be a string, in quotes")
		}
	}
	return v
}

func (c *conformer) conformStruct(m map[string]any, t reflect.Type, p *field.Path) any {
	types, names := map[string]reflect.Type{}, make([]string, 0, t.NumField())
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		types[name] = f.Type
		names = append(names, name)
	}
	return c.conformMap(m, func(name string) (reflect.Type, bool) {
		t, ok := types[name]
		return t, ok
	}, p, "unknown field; the fields here are "+strings.Join(names, ", "))
}

// conformMap whose keys have types. What a key without a type is told is up to
// the caller.
func (c *conformer) conformMap(m map[string]any, typeOf func(string) (reflect.Type, bool), p *field.Path, unknown string) any {
	out := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		t, ok := typeOf(name)
		if !ok {
			c.told(func() *field.Error { return field.Forbidden(p.Child(name), unknown) })
			continue
		}
		if v := c.conform(m[name], t, p.Child(name)); v != nil {
			out[name] = v
		}
	}
	return out
}

// conformList leaves what can't be read empty, so that the others keep their
// places.
func (c *conformer) conformList(l []any, t reflect.Type, p *field.Path) any {
	out := make([]any, len(l))
	for i := range l {
		out[i] = c.conform(l[i], t, p.Index(i))
	}
	return out
}

func (c *conformer) refuse(v any, p *field.Path, want string) any {
	c.told(func() *field.Error {
		if f, ok := v.(float64); ok {
			// All digits, as they were written.
			v = json.Number(strconv.FormatFloat(f, 'f', -1, 64))
		} else if b, err := json.Marshal(v); err == nil && len(b) > maxShown {
			v = excerpt.Of(string(b), maxShown)
		}
		return field.Invalid(p, v, want)
	})
	return nil
}

// told makes a mistake's error where it may be told.
func (c *conformer) told(mistake func() *field.Error) {
	if len(c.mistakes) <= maxTold {
		c.mistakes = append(c.mistakes, mistake())
	}
}

// unlessIn returns the mistakes that aren't in a field with one of those that
// were told before: what can't be read isn't missing as well.
func unlessIn(told, errs field.ErrorList) field.ErrorList {
	fields := make(map[string]bool, len(told))
	for _, t := range told {
		fields[t.Field] = true
	}
	return slices.DeleteFunc(errs, func(err *field.Error) bool {
		for i, r := range err.Field {
			if (r == '.' || r == '[') && fields[err.Field[:i]] {
				return true
			}
		}
		return fields[err.Field]
	})
}
