package composer

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/fn/connection"
)

// Fields that others than Crossplane write once an object is there: a
// provider, or a controller of Kubernetes.
var (
	lateInitialized = []string{"spec", "forProvider", "late"}
	volumeName      = []string{"spec", "volumeName"}
	createSucceeded = []string{"metadata", "annotations", "crossplane.io/external-create-succeeded"}
	createPending   = []string{"metadata", "annotations", connection.CreatePending}

	ofOthers = [][]string{lateInitialized, volumeName, createSucceeded, createPending}
)

// apply a composed resource as the API server does: its status and what others wrote
// stay, its other fields become the desired ones, and Crossplane owns exactly those.
func (c *Composer) apply(key string, desired map[string]any) error {
	o, was := maps.Clone(desired), c.Composed[key]
	if err := set(o, key, []string{"metadata", "annotations", "crossplane.io/composition-resource-name"}); err != nil {
		return err
	}
	owned := map[string]any{}
	for k, v := range desired {
		if k != "apiVersion" && k != "kind" {
			owned["f:"+k] = fieldsOf(v)
		}
	}
	metadata, _ := o["metadata"].(map[string]any)
	if was == nil {
		c.made++
		metadata["uid"] = fmt.Sprintf("uid-%s-%d", key, c.made)
	} else {
		metadata["uid"], metadata["name"] = fieldAt(was, []string{"metadata", "uid"}), fieldAt(was, []string{"metadata", "name"})
		if path := immutable(o); path != nil && !reflect.DeepEqual(fieldAt(was, path), fieldAt(o, path)) {
			return fmt.Errorf("the API server would refuse to change %v of %q, which is immutable, from %v to %v", path, key, fieldAt(was, path), fieldAt(o, path))
		}
	}
	xr := unstructured.Unstructured{Object: c.Composite}
	metadata["ownerReferences"] = []any{map[string]any{"uid": string(xr.GetUID()), "name": xr.GetName(), "controller": true, "kind": xr.GetKind()}}
	if s, ok := was["status"]; ok {
		o["status"] = s
	}
	theirs, err := keepOthers(o, was, key)
	if err != nil {
		return err
	}
	metadata["managedFields"] = []any{
		map[string]any{"manager": "apiextensions.crossplane.io/composed/abc", "operation": "Apply", "fieldsV1": owned},
		map[string]any{"manager": "provider", "operation": "Update", "fieldsV1": theirs},
	}
	c.Composed[key] = o
	return nil
}

// keepOthers of an object's fields, as they were, and return which those are, in the
// form of managed fields.
func keepOthers(o, was map[string]any, key string) (theirs map[string]any, err error) {
	theirs = map[string]any{}
	for _, path := range ofOthers {
		v := fieldAt(was, path)
		if v == nil || v == "" {
			continue // It was Crossplane's, and goes when that desires it no longer.
		}
		switch fieldAt(o, path) {
		case nil:
		case "":
			continue // It is emptied on purpose, and Crossplane's from then on.
		default:
			return nil, fmt.Errorf("%q takes over %v, which others own", key, path)
		}
		if err := errors.Join(set(o, v, path), set(theirs, map[string]any{}, prefixed(path))); err != nil {
			return nil, err
		}
	}
	return theirs, nil
}

// immutable is the path of what can't change in a workload, nil where all can.
func immutable(o map[string]any) []string {
	switch o["kind"] {
	case "Pod":
		return []string{"spec"}
	case "Job":
		return []string{"spec", "template"}
	default:
		return nil
	}
}

// empty object or list in decoded JSON, by its path; "" where there is none.
func empty(v any, path string) string {
	children := map[string]any{}
	switch v := v.(type) {
	case map[string]any:
		children = v
	case []any:
		for i, e := range v {
			children[strconv.Itoa(i)] = e
		}
	default:
		return ""
	}
	if len(children) == 0 {
		return path
	}
	for _, name := range slices.Sorted(maps.Keys(children)) {
		if at := empty(children[name], path+"."+name); at != "" {
			return at
		}
	}
	return ""
}

func fieldAt(o map[string]any, path []string) any {
	v, _, err := unstructured.NestedFieldNoCopy(o, path...)
	if err != nil {
		return nil
	}
	return v
}

func set(o map[string]any, v any, path []string) error {
	if err := unstructured.SetNestedField(o, v, path...); err != nil {
		return fmt.Errorf("cannot set %v: %w", path, err)
	}
	return nil
}

// prefixed path in the form of managed fields.
func prefixed(path []string) []string {
	fs := make([]string, len(path))
	for i, p := range path {
		fs[i] = "f:" + p
	}
	return fs
}

// fieldsOf a value in the form of managed fields, lists as a whole.
func fieldsOf(v any) map[string]any {
	m, _ := v.(map[string]any)
	fields := map[string]any{}
	for k, e := range m {
		fields["f:"+k] = fieldsOf(e)
	}
	return fields
}
