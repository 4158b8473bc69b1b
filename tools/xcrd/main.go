// Xcrd prints the CustomResourceDefinitions that Crossplane makes of a
// CompositeResourceDefinition: that of the composite resource, and that of its
// claim if it has one.
//
// It is a module of its own, because the Crossplane runtime that holds this code
// doesn't go together with the one that the function's providers need.
package main

import (
	"fmt"
	"os"

	"github.com/crossplane/crossplane-runtime/v2/pkg/xcrd"
	v1 "github.com/crossplane/crossplane/apis/v2/apiextensions/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: xcrd <file of a CompositeResourceDefinition>")
		os.Exit(2)
	}

	if err := run(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "xcrd: %v\n", err)
		os.Exit(1)
	}
}

func run(path string) error {
	data, err := os.ReadFile(path) //nolint:gosec // Reading what the caller names is the purpose.
	if err != nil {
		return fmt.Errorf("cannot read CompositeResourceDefinition: %w", err)
	}

	// Versions v1 and v2 differ in defaults only: a v2 definition must therefore
	// state its scope, for which v1's default would be taken here.
	xrd := &v1.CompositeResourceDefinition{}
	if err := yaml.UnmarshalStrict(data, xrd); err != nil {
		return fmt.Errorf("cannot decode CompositeResourceDefinition %s: %w", path, err)
	}

	composite, err := xcrd.ForCompositeResource(xrd)
	if err != nil {
		return fmt.Errorf("cannot derive CustomResourceDefinition: %w", err)
	}

	crds := []*apiextensionsv1.CustomResourceDefinition{composite}

	if xrd.Spec.ClaimNames != nil {
		claim, err := xcrd.ForCompositeResourceClaim(xrd)
		if err != nil {
			return fmt.Errorf("cannot derive CustomResourceDefinition of claims: %w", err)
		}

		crds = append(crds, claim)
	}

	for _, crd := range crds {
		crd.APIVersion = apiextensionsv1.SchemeGroupVersion.String()
		crd.Kind = "CustomResourceDefinition"

		out, err := yaml.Marshal(crd)
		if err != nil {
			return fmt.Errorf("cannot encode CustomResourceDefinition %s: %w", crd.Name, err)
		}

		if _, err := fmt.Fprintf(os.Stdout, "---\n%s", out); err != nil {
			return fmt.Errorf("cannot print CustomResourceDefinition %s: %w", crd.Name, err)
		}
	}

	return nil
}
