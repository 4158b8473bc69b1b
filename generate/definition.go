package main

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// A definition is Crossplane's CompositeResourceDefinition, with the fields
// that we set. Crossplane's own type would write empty ones as well. Source:
// cluster/crds/apiextensions.crossplane.io_compositeresourcedefinitions.yaml of
// github.com/crossplane/crossplane.
type definition struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   metadata       `json:"metadata"`
	Spec       definitionSpec `json:"spec"`
}

type metadata struct {
	Name string `json:"name"`
}

type definitionSpec struct {
	Scope                  string                                         `json:"scope,omitempty"`
	Group                  string                                         `json:"group"`
	Names                  apiextensionsv1.CustomResourceDefinitionNames  `json:"names"`
	ClaimNames             *apiextensionsv1.CustomResourceDefinitionNames `json:"claimNames,omitempty"`
	EnforcedCompositionRef metadata                                       `json:"enforcedCompositionRef"`
	Versions               []definitionVersion                            `json:"versions"`
}

type definitionVersion struct {
	Name                     string                                           `json:"name"`
	Served                   bool                                             `json:"served"`
	Referenceable            bool                                             `json:"referenceable"`
	AdditionalPrinterColumns []apiextensionsv1.CustomResourceColumnDefinition `json:"additionalPrinterColumns"`
	Schema                   apiextensionsv1.CustomResourceValidation         `json:"schema"`
}

// namespaced makes the ServiceConnection of crd a composite resource that lives
// in the team's namespace.
func namespaced(crd *apiextensionsv1.CustomResourceDefinition) *definition {
	d := base(crd)
	d.APIVersion = "apiextensions.crossplane.io/v2"
	d.Spec.Scope = "Namespaced"
	d.name(crd.Spec.Names)

	return d
}

// claimed makes the ServiceConnection of crd the claim of a cluster-scoped
// composite resource, XServiceConnection. The v1 API's default scope,
// LegacyCluster, is the only one that offers claims.
func claimed(crd *apiextensionsv1.CustomResourceDefinition) *definition {
	claim := crd.Spec.Names

	composite := claim
	composite.Kind = "X" + claim.Kind
	composite.ListKind = composite.Kind + "List"
	composite.Plural = "x" + claim.Plural
	composite.Singular = "x" + claim.Singular
	composite.ShortNames = nil

	d := base(crd)
	d.APIVersion = "apiextensions.crossplane.io/v1"
	d.Spec.ClaimNames = &claim
	d.name(composite)

	return d
}

func base(crd *apiextensionsv1.CustomResourceDefinition) *definition {
	d := &definition{Kind: "CompositeResourceDefinition", Spec: definitionSpec{Group: crd.Spec.Group}}

	for _, v := range crd.Spec.Versions {
		d.Spec.Versions = append(d.Spec.Versions, definitionVersion{
			Name:          v.Name,
			Served:        v.Served,
			Referenceable: v.Storage,
			// Crossplane appends SYNCED, READY, COMPOSITION and AGE to these.
			AdditionalPrinterColumns: v.AdditionalPrinterColumns,
			Schema:                   apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: composite(v.Schema.OpenAPIV3Schema)},
		})
	}

	return d
}

// compositionName of both packages: Crossplane lets only one of two packages have
// an object, and so refuses to install both.
const compositionName = "serviceconnections"

// name names the definition as the API server wants it, and a Composition for
// all its composite resources. It is enforced, because the settings that say
// who may use what come with the Composition: a team that could choose another
// one would choose its own rights.
func (d *definition) name(names apiextensionsv1.CustomResourceDefinitionNames) {
	d.Spec.Names = names
	d.Metadata.Name = names.Plural + "." + d.Spec.Group
	d.Spec.EnforcedCompositionRef.Name = compositionName
}

// composite is the schema of a composite resource: spec and status only, since
// Crossplane adds its own fields to these and the rest of the object.
func composite(s *apiextensionsv1.JSONSchemaProps) *apiextensionsv1.JSONSchemaProps {
	s = s.DeepCopy()
	for name := range s.Properties {
		if name != "spec" && name != "status" {
			delete(s.Properties, name)
		}
	}

	status := s.Properties["status"]
	loosen(&status, "services", "workload")
	loosen(&status, "services", "connections", "type")
	s.Properties["status"] = status

	return s
}

// loosen takes away from a status field, and all within, what its type demands
// of a spec. Status repeats what the team wrote, and the team may have written
// it before the schema forbade it: a status that the API server refuses would
// take with it the very message that explains the mistake.
func loosen(s *apiextensionsv1.JSONSchemaProps, path ...string) {
	if len(path) > 0 {
		parent := s
		if s.Items != nil {
			parent = s.Items.Schema
		}

		child := parent.Properties[path[0]]
		loosen(&child, path[1:]...)
		parent.Properties[path[0]] = child

		return
	}

	s.Enum = nil
	s.Pattern = ""
	s.MinLength = nil
	s.MaxLength = nil
	s.Default = nil
	s.XValidations = nil

	for name, property := range s.Properties {
		loosen(&property)
		s.Properties[name] = property
	}
}
