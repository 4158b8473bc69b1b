// Package schema holds objects to their schema as the API server does, without
// an API server, so that a test can validate everything that the function emits
// and everything that a team may write.
package schema

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"

	pluginschema "github.com/serviceconnections/function-service-connections/plugin/schema"
)

// A Validator validates objects of the kinds that it holds. It is safe for
// concurrent use.
type Validator struct {
	kinds map[schema.GroupVersionKind]func() (*pluginschema.Schema, error)
}

// New returns a Validator of every served version of the supplied
// CustomResourceDefinitions, and of the built-in kinds that a function composes
// or that a workload is. A definition is compiled when the first object of its
// kind comes.
func New(crds ...*apiextensionsv1.CustomResourceDefinition) *Validator {
	v := &Validator{kinds: map[schema.GroupVersionKind]func() (*pluginschema.Schema, error){}}

	for _, crd := range crds {
		for i := range crd.Spec.Versions {
			version := &crd.Spec.Versions[i]
			if !version.Served {
				continue
			}

			gvk := schema.GroupVersionKind{Group: crd.Spec.Group, Version: version.Name, Kind: crd.Spec.Names.Kind}
			v.kinds[gvk] = sync.OnceValues(func() (*pluginschema.Schema, error) {
				return pluginschema.Compile(version, crd.Spec.Scope == apiextensionsv1.NamespaceScoped)
			})
		}
	}

	return v
}

// Kinds lists the kinds of custom resources that the Validator holds, in no
// particular order.
func (v *Validator) Kinds() []schema.GroupVersionKind {
	kinds := make([]schema.GroupVersionKind, 0, len(v.kinds))
	for gvk := range v.kinds {
		kinds = append(kinds, gvk)
	}

	return kinds
}

// Validate returns everything for which the API server would refuse to create
// the object or, with its strictest field validation, to decode it: fields that
// its schema doesn't know, values that break the schema or a CEL rule, and a
// namespace that its scope forbids or lacks.
//
// What an Object of provider-kubernetes holds is validated as well, since it is
// created by the provider, which nobody watches for a refusal.
//
// The object is left as it is. It must be as Crossplane would apply it, with a
// namespace if its kind has one, and a name or generateName. A kind that the
// Validator doesn't hold is an error.
func (v *Validator) Validate(obj map[string]any) field.ErrorList {
	u, err := decoded(obj)
	if err != nil {
		return field.ErrorList{field.InternalError(nil, err)}
	}

	gvk := u.GroupVersionKind()
	if compile, ok := v.kinds[gvk]; ok {
		s, err := compile()
		if err != nil {
			return field.ErrorList{field.InternalError(nil, err)}
		}

		// First, because validation removes what the schema doesn't know.
		within := v.manifest(u)

		return append(s.Validate(context.Background(), u), within...)
	}

	if newObject, ok := builtIn[gvk]; ok {
		return validateBuiltIn(u, newObject())
	}

	return field.ErrorList{field.Invalid(field.NewPath("kind"), gvk.String(), "no CustomResourceDefinition of this kind was loaded")}
}

// manifest validates what an Object of provider-kubernetes holds. One that holds
// nothing is the business of its schema.
func (v *Validator) manifest(u *unstructured.Unstructured) field.ErrorList {
	if u.GetKind() != "Object" || !slices.Contains([]string{"kubernetes.crossplane.io", "kubernetes.m.crossplane.io"}, u.GroupVersionKind().Group) {
		return nil
	}

	path := field.NewPath("spec", "forProvider", "manifest")

	manifest, ok, err := unstructured.NestedMap(u.Object, "spec", "forProvider", "manifest")
	if err != nil {
		return field.ErrorList{field.TypeInvalid(path, nil, err.Error())}
	}

	if !ok {
		return nil
	}

	errs := v.Validate(manifest)
	for _, err := range errs {
		err.Field = path.Child(err.Field).String()
	}

	return errs
}

// decoded copies an object by way of JSON, so that its numbers have the types
// that the API server's decoder would give them: protobuf structs hold only
// floats, Go literals int.
func decoded(obj map[string]any) (*unstructured.Unstructured, error) {
	data, err := json.Marshal(obj)
	if err != nil {
		return nil, fmt.Errorf("cannot encode object: %w", err)
	}

	u := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(data, &u.Object); err != nil {
		return nil, fmt.Errorf("cannot decode object: %w", err)
	}

	return u, nil
}
