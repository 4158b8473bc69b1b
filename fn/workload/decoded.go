package workload

import (
	"encoding/json"
	"slices"
)

// at is the value at the path of an object, nil where there is none.
func at(obj map[string]any, path ...string) any {
	var v any = obj
	for _, field := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[field]
	}
	return v
}

// text at a field of an object, empty where there is none.
func text(obj map[string]any, field string) string {
	s, _ := obj[field].(string)
	return s
}

// object at a field of an object, nil where there is none.
func object(obj map[string]any, field string) map[string]any {
	m, _ := obj[field].(map[string]any)
	return m
}

// ensure is the object at a field, made where there is none.
func ensure(obj map[string]any, field string) map[string]any {
	m := object(obj, field)
	if m == nil {
		m = map[string]any{}
		obj[field] = m
	}
	return m
}

// list at a field of an object, of which only the objects count.
func list(obj map[string]any, field string) []map[string]any {
	items, _ := obj[field].([]any)
	objects := make([]map[string]any, 0, len(items))
	for _, v := range items {
		if m, ok := v.(map[string]any); ok {
			objects = append(objects, m)
		}
	}
	return objects
}

// find the object of a list whose field has the value, nil where there is none.
func find(objects []map[string]any, field, value string) map[string]any {
	for _, o := range objects {
		if text(o, field) == value {
			return o
		}
	}
	return nil
}

// appendTo the list at a field of an object. The list is copied, since what it
// came from may share it.
func appendTo(obj map[string]any, field string, values ...any) {
	if len(values) == 0 {
		return
	}
	items, _ := obj[field].([]any)
	obj[field] = append(slices.Clip(items), values...)
}

// prependTo the list at a field of an object.
func prependTo(obj map[string]any, field string, values ...any) {
	if len(values) == 0 {
		return
	}
	items, _ := obj[field].([]any)
	obj[field] = append(values, items...)
}

// integer is a number of decoded JSON, which may be int64 or float64.
func integer(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case float64:
		return int64(n), true
	default:
		return 0, false
	}
}

// covers says whether a value has all that another one sets. What it has beyond
// that was added by defaults, or by somebody who may.
func covers(got, want any) bool {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return false
		}
		for k, v := range w {
			if !covers(g[k], v) {
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
			if !covers(g[i], w[i]) {
				return false
			}
		}
		return true
	case int64:
		n, ok := integer(got)
		return ok && n == w
	default:
		return got == want
	}
}

// decoded is one of our own types as decoded JSON, with int64 numbers.
func decoded(v any) map[string]any {
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
