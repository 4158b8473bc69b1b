// Package package_test holds the files of the packages to what Crossplane and
// the API server demand of them, and the schema of ServiceConnection to what
// teams may and may not write.
package package_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/test/schema"
)

var definitions = []string{"configuration/definition.yaml", "configuration-claims/definition.yaml"}

func load(t *testing.T, file string) map[string]any {
	t.Helper()

	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("cannot read package file: %v", err)
	}

	return parse(t, string(data))
}

func parse(t *testing.T, text string) map[string]any {
	t.Helper()

	obj := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(text), &obj); err != nil {
		t.Fatalf("cannot decode object: %v\n%s", err, text)
	}

	return obj
}

func TestCrossplaneAcceptsFiles(t *testing.T) {
	t.Parallel()

	v := schema.Crossplane(t)

	for _, pattern := range []string{"*/crossplane.yaml", "*/definition.yaml", "*/composition.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("cannot find package files %s: %v", pattern, err)
		}

		for _, file := range files {
			t.Run(file, func(t *testing.T) {
				t.Parallel()

				obj := load(t, file)
				if strings.HasPrefix(obj["apiVersion"].(string), "meta.pkg.crossplane.io/") {
					// Package metadata is never created in a cluster, but its
					// schema says that it has a namespace.
					obj["metadata"].(map[string]any)["namespace"] = "default"
				}

				if errs := v.Validate(obj); len(errs) > 0 {
					t.Errorf("Crossplane's schema refuses the file:\n%v", errs.ToAggregate())
				}
			})
		}
	}
}

// The parts of a package refer to each other by name, which no schema checks.
func TestNamesFitTogether(t *testing.T) {
	t.Parallel()

	for folder, kind := range map[string]string{"configuration": "ServiceConnection", "configuration-claims": "XServiceConnection"} {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()

			xrd := load(t, folder+"/definition.yaml")["spec"].(map[string]any)
			composition := load(t, folder+"/composition.yaml")
			spec := composition["spec"].(map[string]any)

			if want, got := composition["metadata"].(map[string]any)["name"], xrd["enforcedCompositionRef"].(map[string]any)["name"]; got != want {
				t.Errorf("enforcedCompositionRef names %v, the Composition is %v", got, want)
			}

			ref := spec["compositeTypeRef"].(map[string]any)
			if ref["kind"] != kind || xrd["names"].(map[string]any)["kind"] != kind {
				t.Errorf("want kind %s, the Composition is for %v, the definition of %v", kind, ref["kind"], xrd["names"])
			}

			if want := fmt.Sprintf("%v/v1alpha1", xrd["group"]); ref["apiVersion"] != want {
				t.Errorf("the Composition is for %v, want %s", ref["apiVersion"], want)
			}

			step := spec["pipeline"].([]any)[0].(map[string]any)
			input := step["input"].(map[string]any)
			if _, ok := input["settings"]; ok {
				t.Error("the Composition holds settings itself; a ServiceConnection pinned to an old revision would keep old rights")
			}

			// Crossplane passes the input on without metadata.
			input["metadata"] = map[string]any{"name": "input", "namespace": "default"}

			if errs := inputs(t).Validate(input); len(errs) > 0 {
				t.Errorf("the input's schema refuses the Composition's input:\n%v", errs.ToAggregate())
			}
		})
	}
}

func inputs(t *testing.T) *schema.Validator {
	t.Helper()

	return schema.New(definition(t, "function/input/serviceconnections.fn.crossplane.io_inputs.yaml"))
}

func definition(t *testing.T, file string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()

	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("cannot read CustomResourceDefinition: %v", err)
	}

	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(data, crd); err != nil {
		t.Fatalf("cannot decode CustomResourceDefinition: %v", err)
	}

	return crd
}

// Includes the API server's budget for the cost of CEL rules, which a list or
// string without a bound exceeds at once.
func TestAPIServerAcceptsDefinitions(t *testing.T) {
	t.Parallel()

	crds := slices.Concat(
		[]*apiextensionsv1.CustomResourceDefinition{definition(t, "function/input/serviceconnections.fn.crossplane.io_inputs.yaml")},
		schema.Defined(t, definitions[0]),
		schema.Defined(t, definitions[1]),
	)

	for _, crd := range crds {
		t.Run(crd.Spec.Names.Kind+string(crd.Spec.Scope), func(t *testing.T) {
			t.Parallel()

			// What Crossplane and the API server fill in.
			crd = crd.DeepCopy()
			crd.OwnerReferences = nil
			apiextensionsv1.SetObjectDefaults_CustomResourceDefinition(crd)
			crd.Status.StoredVersions = []string{crd.Spec.Versions[0].Name}

			internal := &apiextensions.CustomResourceDefinition{}
			if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(crd, internal, nil); err != nil {
				t.Fatalf("cannot convert CustomResourceDefinition: %v", err)
			}

			if errs := validation.ValidateCustomResourceDefinition(context.Background(), internal); len(errs) > 0 {
				t.Errorf("the API server refuses the CustomResourceDefinition:\n%v", errs.ToAggregate())
			}
		})
	}
}

func TestSpecIsBounded(t *testing.T) {
	t.Parallel()

	for _, file := range definitions {
		spec := load(t, file)["spec"].(map[string]any)
		for _, v := range spec["versions"].([]any) {
			data, err := yaml.Marshal(v.(map[string]any)["schema"].(map[string]any)["openAPIV3Schema"])
			if err != nil {
				t.Fatalf("cannot encode schema: %v", err)
			}

			s := apiextensionsv1.JSONSchemaProps{}
			if err := yaml.UnmarshalStrict(data, &s); err != nil {
				t.Fatalf("cannot decode schema: %v", err)
			}

			spec, ok := s.Properties["spec"]
			if !ok || len(s.Properties) != 2 {
				t.Fatalf("%s: want the properties spec and status, got %d", file, len(s.Properties))
			}

			for _, problem := range unbounded("spec", spec) {
				t.Errorf("%s: %s", file, problem)
			}
		}
	}
}

// unbounded returns what is wrong with a schema that a user writes to.
func unbounded(path string, s apiextensionsv1.JSONSchemaProps) []string {
	var problems []string

	if s.Description == "" && !strings.HasSuffix(path, "[]") {
		problems = append(problems, path+" has no description for kubectl explain")
	}

	switch s.Type {
	case "string":
		if s.MaxLength == nil && s.Enum == nil {
			problems = append(problems, path+" is a string without maxLength")
		}
	case "integer":
		if s.Minimum == nil || s.Maximum == nil {
			problems = append(problems, path+" is an integer without minimum and maximum")
		}
	case "array":
		if s.MaxItems == nil || s.XListType == nil {
			problems = append(problems, path+" is a list without maxItems or list type")
		}

		problems = append(problems, unbounded(path+"[]", *s.Items.Schema)...)
	case "object":
		if s.AdditionalProperties != nil {
			if s.MaxProperties == nil {
				problems = append(problems, path+" is a map without maxProperties")
			}

			problems = append(problems, unbounded(path+"[]", *s.AdditionalProperties.Schema)...)

			break
		}

		if s.Properties == nil {
			problems = append(problems, path+" is an object without properties")
		}

		for name, property := range s.Properties {
			problems = append(problems, unbounded(path+"."+name, property)...)
		}
	case "boolean":
	case "":
		// Whatever it is, it must have an end.
		if s.MaxLength == nil || s.MaxItems == nil || s.MaxProperties == nil {
			problems = append(problems, path+" may be anything, without maxLength, maxItems or maxProperties")
		}

		if s.Items != nil {
			problems = append(problems, unbounded(path+"[]", *s.Items.Schema)...)
		} else if *s.MaxItems > 0 {
			problems = append(problems, path+" may be a list of anything")
		}

		if s.AdditionalProperties != nil {
			problems = append(problems, unbounded(path+"[]", *s.AdditionalProperties.Schema)...)
		} else if *s.MaxProperties > 0 {
			problems = append(problems, path+" may hold anything")
		}
	default:
		problems = append(problems, fmt.Sprintf("%s has type %q", path, s.Type))
	}

	return problems
}

func TestClusterRoleReadsOnly(t *testing.T) {
	t.Parallel()

	role := &rbacv1.ClusterRole{}

	data, err := os.ReadFile("cluster/rbac.yaml")
	if err != nil {
		t.Fatalf("cannot read ClusterRole: %v", err)
	}

	if err := yaml.UnmarshalStrict(data, role); err != nil {
		t.Fatalf("cannot decode ClusterRole: %v", err)
	}

	if role.Labels["rbac.crossplane.io/aggregate-to-crossplane"] != "true" {
		t.Error("the ClusterRole lacks the label by which Crossplane's own role includes it")
	}

	composed := map[string]bool{"serviceaccounts": true, "persistentvolumeclaims": true}

	for _, rule := range role.Rules {
		for _, resource := range rule.Resources {
			if strings.ContainsAny(resource, "*") || resource == "secrets" || resource == "pods" {
				t.Errorf("the ClusterRole grants %s, which the function never reads", resource)
			}

			for _, verb := range rule.Verbs {
				if verb == "*" || !composed[resource] && verb != "get" && verb != "list" && verb != "watch" {
					t.Errorf("the ClusterRole grants %s on %s, which the function only reads", verb, resource)
				}
			}
		}
	}
}

// What a marketplace shows of a package: none of it is asked for by Crossplane.
func TestMarketplace(t *testing.T) {
	t.Parallel()

	icon, err := os.ReadFile("../docs/icon.svg")
	if err != nil {
		t.Fatal(err)
	}

	files, err := filepath.Glob("*/crossplane.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("cannot find packages: %v", err)
	}

	for _, file := range files {
		annotations := load(t, file)["metadata"].(map[string]any)["annotations"].(map[string]any)
		for _, name := range []string{
			"friendly-name.meta.crossplane.io", "meta.crossplane.io/description", "meta.crossplane.io/license",
			"meta.crossplane.io/maintainer", "meta.crossplane.io/readme", "meta.crossplane.io/source",
		} {
			if annotations[name] == nil {
				t.Errorf("%s lacks the annotation %s", file, name)
			}
		}

		want := "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(bytes.TrimSpace(icon))
		if diff := cmp.Diff(any(want), annotations["meta.crossplane.io/iconURI"]); diff != "" {
			t.Errorf("%s has another icon than docs/icon.svg: -want, +got:\n%s", file, diff)
		}
	}
}
