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

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	apiservervalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// A Validator validates objects of the kinds that it holds. It is safe for
// concurrent use.
type Validator struct {
	kinds map[schema.GroupVersionKind]*customKind
}

// New returns a Validator of every served version of the supplied
// CustomResourceDefinitions, and of the built-in kinds that a function composes
// or that a workload is. A definition is compiled when the first object of its
// kind comes.
func New(crds ...*apiextensionsv1.CustomResourceDefinition) *Validator {
	v := &Validator{kinds: map[schema.GroupVersionKind]*customKind{}}

	for _, crd := range crds {
		for i := range crd.Spec.Versions {
			version := &crd.Spec.Versions[i]
			if !version.Served {
				continue
			}

			gvk := schema.GroupVersionKind{Group: crd.Spec.Group, Version: version.Name, Kind: crd.Spec.Names.Kind}
			k := &customKind{namespaced: crd.Spec.Scope == apiextensionsv1.NamespaceScoped}
			k.compile = sync.OnceValues(func() (*compiled, error) { return compile(version) })
			v.kinds[gvk] = k
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
	if k, ok := v.kinds[gvk]; ok {
		// First, because validation removes what the schema doesn't know.
		within := v.manifest(u)

		return append(k.validate(u), within...)
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

// A customKind is one served version of a CustomResourceDefinition.
type customKind struct {
	namespaced bool
	compile    func() (*compiled, error)
}

// compiled is what the API server makes of one version's schema.
type compiled struct {
	structural *structuralschema.Structural
	openAPI    apiservervalidation.SchemaValidator
	rules      *cel.Validator
}

// compile follows crdHandler.getOrCreateServingInfoFor in
// k8s.io/apiextensions-apiserver, pkg/apiserver/customresource_handler.go.
func compile(version *apiextensionsv1.CustomResourceDefinitionVersion) (*compiled, error) {
	internal := &apiextensions.CustomResourceValidation{}
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(version.Schema, internal, nil); err != nil {
		return nil, fmt.Errorf("cannot convert schema of version %s: %w", version.Name, err)
	}

	structural, err := structuralschema.NewStructural(internal.OpenAPIV3Schema)
	if err != nil {
		return nil, fmt.Errorf("cannot make a structural schema of version %s: %w", version.Name, err)
	}

	structural = structural.DeepCopy()
	if err := defaulting.PruneDefaults(structural); err != nil {
		return nil, fmt.Errorf("cannot prune defaults of version %s: %w", version.Name, err)
	}

	openAPI, _, err := apiservervalidation.NewSchemaValidator(internal.OpenAPIV3Schema)
	if err != nil {
		return nil, fmt.Errorf("cannot make a validator of version %s: %w", version.Name, err)
	}

	return &compiled{
		structural: structural,
		openAPI:    openAPI,
		rules:      cel.NewValidator(structural, true, celconfig.PerCallLimit),
	}, nil
}

// validate takes the steps of the API server in its order: decode and find
// unknown fields, default, validate. They stand in
// k8s.io/apiextensions-apiserver, pkg/apiserver/customresource_handler.go
// (unstructuredSchemaCoercer) and pkg/registry/customresource/strategy.go.
func (k *customKind) validate(u *unstructured.Unstructured) field.ErrorList {
	c, err := k.compile()
	if err != nil {
		return field.ErrorList{field.InternalError(nil, err)}
	}

	errs := c.decode(u.Object)

	// Rules such as '*' in self.managementPolicies rest on defaults.
	defaulting.Default(u.Object, c.structural)

	errs = append(errs, apivalidation.ValidateObjectMetaAccessor(u, k.namespaced, apivalidation.NameIsDNSSubdomain, field.NewPath("metadata"))...)
	errs = append(errs, apiservervalidation.ValidateCustomResource(nil, u.Object, c.openAPI)...)
	errs = append(errs, objectmeta.Validate(nil, u.Object, c.structural, false)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, c.structural, u.Object)...)

	// The API server doesn't run rules on an object whose shape is wrong either,
	// since they would fail with errors that only confuse.
	if c.rules == nil || wrongShape(errs) {
		return errs
	}

	broken, _ := c.rules.Validate(context.Background(), nil, c.structural, u.Object, nil, celconfig.RuntimeCELCostBudget)

	return append(errs, broken...)
}

// decode removes what the schema doesn't know from the object, and returns an
// error for each such field: with kubectl's default field validation they are
// refused, and otherwise silently lost.
func (c *compiled) decode(obj map[string]any) field.ErrorList {
	var errs field.ErrorList

	unknown := func(paths []string) {
		for _, path := range paths {
			errs = append(errs, field.Forbidden(field.NewPath(path), "unknown field"))
		}
	}

	_, _, paths, err := objectmeta.GetObjectMetaWithOptions(obj, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		errs = append(errs, field.Invalid(field.NewPath("metadata"), obj["metadata"], err.Error()))
	}

	unknown(paths)

	unknown(pruning.PruneWithOptions(obj, c.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}))
	defaulting.PruneNonNullableNullsWithoutDefaults(obj, c.structural)

	malformed, paths := objectmeta.CoerceWithOptions(nil, obj, c.structural, false, objectmeta.CoerceOptions{ReturnUnknownFieldPaths: true})
	if malformed != nil {
		errs = append(errs, malformed)
	}

	unknown(paths)

	return errs
}

// wrongShape is hasBlockingErr of k8s.io/apiextensions-apiserver,
// pkg/registry/customresource/strategy.go.
func wrongShape(errs field.ErrorList) bool {
	for _, err := range errs {
		switch err.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return true
		default:
		}
	}

	return false
}
