// Package decoded reads and changes decoded JSON: maps, lists, strings, booleans
// and numbers, which may be int64 or float64. What isn't there, or is of another
// kind than asked for, reads as the zero value.
package decoded

import (
	"encoding/json"
	"maps"
	"slices"
)

// At is the value at a path of fields, nil where there is none.
func At(object map[string]any, path ...string) any {
	var v any = object
	for _, field := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[field]
	}
	return v
}

// Text at a path of fields.
func Text(object map[string]any, path ...string) string {
	s, _ := At(object, path...).(string)
	return s
}

// Object at a path of fields.
func Object(object map[string]any, path ...string) map[string]any {
	m, _ := At(object, path...).(map[string]any)
	return m
}

// List at a path of fields.
func List(object map[string]any, path ...string) []any {
	items, _ := At(object, path...).([]any)
	return items
}

// Texts of the list at a path of fields. What else the list holds doesn't count.
func Texts(object map[string]any, path ...string) []string {
	items := List(object, path...)
	texts := make([]string, 0, len(items))
	for _, v := range items {
		if s, ok := v.(string); ok {
			texts = append(texts, s)
		}
	}
	return texts
}

// Objects of the list at a path of fields. What else the list holds doesn't count.
func Objects(object map[string]any, path ...string) []map[string]any {
	items := List(object, path...)
	objects := make([]map[string]any, 0, len(items))
	for _, v := range items {
		if m, ok := v.(map[string]any); ok {
			objects = append(objects, m)
		}
	}
	return objects
}

// Integer that a number is.
func Integer(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case float64:
		return int64(n), true
	default:
		return 0, false
	}
}

// Clone an object, so that the two share nothing that can change.
func Clone(object map[string]any) map[string]any {
	m := maps.Clone(object)
	for k, v := range m {
		m[k] = clone(v)
	}
	return m
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return Clone(v)
	case []any:
		l := slices.Clone(v)
		for i, e := range l {
			l[i] = clone(e)
		}
		return l
	default:
		return v
	}
}

// Ensure is the object at a field, made where there is none.
func Ensure(obj map[string]any, field string) map[string]any {
	m := Object(obj, field)
	if m == nil {
		m = map[string]any{}
		obj[field] = m
	}
	return m
}

// Find the object of a list whose field has the value, nil where there is none.
func Find(objects []map[string]any, field, value string) map[string]any {
	for _, o := range objects {
		if Text(o, field) == value {
			return o
		}
	}
	return nil
}

// Append values to the list at a field of an object. The list is copied, since what it
// came from may share it.
func Append(obj map[string]any, field string, values ...any) {
	if len(values) == 0 {
		return
	}
	items, _ := obj[field].([]any)
	obj[field] = append(slices.Clip(items), values...)
}

// Prepend values to the list at a field of an object.
func Prepend(obj map[string]any, field string, values ...any) {
	if len(values) == 0 {
		return
	}
	items, _ := obj[field].([]any)
	obj[field] = append(values, items...)
}

// Covers says whether a value has all that another one sets. What it has beyond
// that was added by defaults, or by somebody who may.
func Covers(got, want any) bool {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return false
		}
		for k, v := range w {
			if !Covers(g[k], v) {
				return false
			}
		}
		return true
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for i := range w {
			if !Covers(g[i], w[i]) {
				return false
			}
		}
		return true
	case int64:
		n, ok := Integer(got)
		return ok && n == w
	default:
		return got == want
	}
}

// Of one of our own types, whose numbers are integers: they become int64.
func Of(v any) map[string]any {
	b, err := json.Marshal(v)
	if err != nil {
		// Our own types always marshal.
		panic(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		panic(err)
	}
	integers(m)
	return m
}

// integers in place of the floats that encoding/json decodes. Our types have no
// other numbers.
func integers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = integers(e)
		}
	case []any:
		for i, e := range v {
			v[i] = integers(e)
		}
	case float64:
		return int64(v)
	}
	return v
}
