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

// conform decoded JSON to a type of the settings: it returns what of the value
// the type can hold, and an error for each part that it can't.
func conform(v any, t reflect.Type, p *field.Path) (any, field.ErrorList) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if v == nil {
		return nil, nil // As if it weren't there.
	}
	switch t.Kind() {
	case reflect.Struct:
		if m, ok := v.(map[string]any); ok {
			return conformStruct(m, t, p)
		}
		return refuse(v, p, "must be an object")
	case reflect.Map:
		if m, ok := v.(map[string]any); ok {
			return conformMap(m, func(string) (reflect.Type, bool) { return t.Elem(), true }, p, "")
		}
		return refuse(v, p, "must be an object")
	case reflect.Slice:
		if l, ok := v.([]any); ok {
			return conformList(l, t.Elem(), p)
		}
		return refuse(v, p, "must be a list")
	case reflect.Bool:
		if _, ok := v.(bool); !ok {
			return refuse(v, p, "must be true or false, without quotes")
		}
	default: // A string: TestEveryType holds that there is nothing else.
		if _, ok := v.(string); !ok {
			return refuse(v, p, "must be a string, in quotes")
		}
	}
	return v, nil
}

func conformStruct(m map[string]any, t reflect.Type, p *field.Path) (any, field.ErrorList) {
	types, names := map[string]reflect.Type{}, make([]string, 0, t.NumField())
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		types[name] = f.Type
		names = append(names, name)
	}
	return conformMap(m, func(name string) (reflect.Type, bool) {
		t, ok := types[name]
		return t, ok
	}, p, "unknown field; the fields here are "+strings.Join(names, ", "))
}

// conformMap whose keys have types. What a key without a type is told is up to
// the caller.
func conformMap(m map[string]any, typeOf func(string) (reflect.Type, bool), p *field.Path, unknown string) (any, field.ErrorList) {
	out := make(map[string]any, len(m))
	var errs field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(m)) {
		t, ok := typeOf(name)
		if !ok {
			errs = some(errs, field.Forbidden(p.Child(name), unknown))
			continue
		}
		v, mistakes := conform(m[name], t, p.Child(name))
		errs = some(errs, mistakes...)
		if v != nil {
			out[name] = v
		}
	}
	return out, errs
}

// conformList leaves what can't be read empty, so that the others keep their
// places.
func conformList(l []any, t reflect.Type, p *field.Path) (any, field.ErrorList) {
	out := make([]any, len(l))
	var errs field.ErrorList
	for i := range l {
		v, mistakes := conform(l[i], t, p.Index(i))
		out[i] = v
		errs = some(errs, mistakes...)
	}
	return out, errs
}

// some mistakes, one more than are told at most.
func some(errs field.ErrorList, more ...*field.Error) field.ErrorList {
	return append(errs, more[:min(len(more), maxTold+1-len(errs))]...)
}

func refuse(v any, p *field.Path, want string) (any, field.ErrorList) {
	if f, ok := v.(float64); ok {
		// All digits, as they were written.
		v = json.Number(strconv.FormatFloat(f, 'f', -1, 64))
	} else if b, err := json.Marshal(v); err == nil && len(b) > maxShown {
		v = excerpt.Of(string(b), maxShown)
	}
	return nil, field.ErrorList{field.Invalid(p, v, want)}
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
