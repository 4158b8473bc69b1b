package plan

import (
	"bytes"
	"encoding/json"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// asApplied puts an observed composed resource back into desired with exactly the
// fields that Crossplane's field manager owns. With fewer, server-side apply
// would remove the rest; with more, we would take over the provider's, and no
// longer let it change them.
func asApplied(o connection.Composed) map[string]any {
	set := appliedFields(o.ManagedFields())
	var kept map[string]any
	if set == nil {
		// Only a rendering without an API server has none.
		kept = withoutServerFields(o.Object)
	} else {
		kept, _ = extract(o.Object, set).(map[string]any)
	}
	if kept == nil {
		kept = map[string]any{}
	}
	kept["apiVersion"], kept["kind"] = o.Object["apiVersion"], o.Object["kind"]
	metadata, _ := kept["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
		kept["metadata"] = metadata
	}
	was, _ := o.Object["metadata"].(map[string]any)
	for _, k := range []string{"name", "namespace"} {
		if v, ok := was[k]; ok {
			metadata[k] = v
		}
	}
	// Crossplane sets the controller reference itself.
	delete(metadata, "ownerReferences")
	// What let a provider go on is said once.
	annotations, _ := metadata["annotations"].(map[string]any)
	for name := range connection.Resume(nil) {
		delete(annotations, name)
	}
	return kept
}

// appliedFields of fields, nil where there are no managed fields at all.
func appliedFields(managedFields []any) *fieldpath.Set {
	if len(managedFields) == 0 {
		return nil
	}
	var sets []*fieldpath.Set
	for _, v := range managedFields {
		entry, _ := v.(map[string]any)
		if !connection.Applied(entry) || entry["subresource"] != nil {
			continue
		}
		b, err := json.Marshal(entry["fieldsV1"])
		if err != nil {
			continue
		}
		fields := &fieldpath.Set{}
		if err := fields.FromJSON(bytes.NewReader(b)); err != nil {
			continue
		}
		sets = append(sets, fields)
	}
	return union(sets)
}

// union of sets, by halves: one after the other would copy what is there for each.
func union(sets []*fieldpath.Set) *fieldpath.Set {
	switch n := len(sets); n {
	case 0:
		return &fieldpath.Set{}
	case 1:
		return sets[0]
	default:
		return union(sets[:n/2]).Union(union(sets[n/2:]))
	}
}

func withoutServerFields(object map[string]any) map[string]any {
	object = decoded.Clone(object)
	kept := map[string]any{}
	for k, v := range object {
		if k != "status" && k != "metadata" {
			kept[k] = v
		}
	}
	was, _ := object["metadata"].(map[string]any)
	metadata := map[string]any{}
	for _, k := range []string{"labels", "annotations"} {
		if v, ok := was[k]; ok {
			metadata[k] = v
		}
	}
	kept["metadata"] = metadata
	return kept
}

// extract the part of a value that a set of fields holds.
func extract(v any, set *fieldpath.Set) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			name := k
			if part, ok := extractElement(e, set, fieldpath.PathElement{FieldName: &name}); ok {
				out[k] = part
			}
		}
		return out
	case []any:
		out, key := []any{}, keyFields(set)
		for i, e := range v {
			for _, pe := range elements(key, i, e) {
				if part, ok := extractElement(e, set, pe); ok {
					out = append(out, part)
					break
				}
			}
		}
		return out
	default:
		return v
	}
}

// extractElement is the part of a field or list item that the set holds.
func extractElement(v any, set *fieldpath.Set, pe fieldpath.PathElement) (any, bool) {
	if children, ok := set.Children.Get(pe); ok {
		return extract(v, children), true
	}
	if !set.Members.Has(pe) {
		return nil, false
	}
	if _, ok := v.(map[string]any); ok {
		// The map itself is owned, and nothing in it: what is there now, others
		// have put there. The function emits no map that is applied as a whole.
		return map[string]any{}, true
	}
	return v, true
}

// keyFields are the fields that tell the items of a list map apart, as a set of its
// fields has them. All items of a list have the same ones.
func keyFields(set *fieldpath.Set) []string {
	var names []string
	take := func(pe fieldpath.PathElement) {
		if pe.Key == nil || names != nil {
			return
		}
		for _, f := range *pe.Key {
			names = append(names, f.Name)
		}
	}
	// Not All: that of children can't be left early, and panics.
	set.Members.Iterate(take)
	set.Children.Iterate(take)
	return names
}

// elements that may stand for a list item in a set: its key, value and index.
func elements(key []string, i int, item any) []fieldpath.PathElement {
	v := value.NewValueInterface(item)
	found := append(make([]fieldpath.PathElement, 0, 3), fieldpath.PathElement{Index: &i}, fieldpath.PathElement{Value: &v})
	m, ok := item.(map[string]any)
	if !ok || len(key) == 0 {
		return found
	}
	fields := make(value.FieldList, len(key))
	for i, name := range key {
		fields[i] = value.Field{Name: name, Value: value.NewValueInterface(m[name])}
	}
	fields.Sort()
	return append(found, fieldpath.PathElement{Key: &fields})
}
