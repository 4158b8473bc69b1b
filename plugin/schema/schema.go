// Package schema holds an object to the schema of its CustomResourceDefinition as
// the API server does, without an API server.
package schema

import (
	"context"
	_ "embed"
	"fmt"
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
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// A Schema is what the API server makes of one version of a
// CustomResourceDefinition.
type Schema struct {
	namespaced bool
	structural *structuralschema.Structural
	openAPI    apiservervalidation.SchemaValidator
	rules      *cel.Validator
}

//go:embed serviceconnection.yaml
var serviceConnection []byte

// ServiceConnection is the schema that teams' ServiceConnections have, but for the
// fields that Crossplane adds to it. To compile its rules takes a moment, so that is
// done once.
var ServiceConnection = sync.OnceValues(func() (*Schema, error) {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.Unmarshal(serviceConnection, crd); err != nil {
		return nil, fmt.Errorf("cannot decode the schema of ServiceConnection: %w", err)
	}
	return Compile(&crd.Spec.Versions[0], true)
})

// Compile follows crdHandler.getOrCreateServingInfoFor in
// k8s.io/apiextensions-apiserver, pkg/apiserver/customresource_handler.go.
func Compile(version *apiextensionsv1.CustomResourceDefinitionVersion, namespaced bool) (*Schema, error) {
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
	return &Schema{
		namespaced: namespaced,
		structural: structural,
		openAPI:    openAPI,
		rules:      cel.NewValidator(structural, true, celconfig.PerCallLimit),
	}, nil
}

// Validate takes the steps of the API server in its order: decode and find
// unknown fields, default, validate. They stand in
// k8s.io/apiextensions-apiserver, pkg/apiserver/customresource_handler.go
// (unstructuredSchemaCoercer) and pkg/registry/customresource/strategy.go. The
// object is changed: what the schema doesn't know leaves it, and defaults come.
func (s *Schema) Validate(ctx context.Context, u *unstructured.Unstructured) field.ErrorList {
	errs := s.decode(u.Object)

	// Rules such as '*' in self.managementPolicies rest on defaults.
	defaulting.Default(u.Object, s.structural)
	errs = append(errs, apivalidation.ValidateObjectMetaAccessor(u, s.namespaced, apivalidation.NameIsDNSSubdomain, field.NewPath("metadata"))...)
	errs = append(errs, apiservervalidation.ValidateCustomResource(nil, u.Object, s.openAPI)...)
	errs = append(errs, objectmeta.Validate(nil, u.Object, s.structural, false)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, u.Object)...)

	// The API server doesn't run rules on an object whose shape is wrong either,
	// since they would fail with errors that only confuse.
	if s.rules == nil || wrongShape(errs) {
		return errs
	}
	broken, _ := s.rules.Validate(ctx, nil, s.structural, u.Object, nil, celconfig.RuntimeCELCostBudget)
	return append(errs, broken...)
}

// decode removes what the schema doesn't know from the object, and returns an
// error for each such field: with kubectl's default field validation they are
// refused, and otherwise silently lost.
func (s *Schema) decode(obj map[string]any) field.ErrorList {
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
	unknown(pruning.PruneWithOptions(obj, s.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}))
	defaulting.PruneNonNullableNullsWithoutDefaults(obj, s.structural)
	malformed, paths := objectmeta.CoerceWithOptions(nil, obj, s.structural, false, objectmeta.CoerceOptions{ReturnUnknownFieldPaths: true})
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
