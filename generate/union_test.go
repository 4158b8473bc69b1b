package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/plugin/schema"
)

// withSixth is the schema of ServiceConnections with one more type and its field.
func withSixth(t *testing.T) (*schema.Schema, error) {
	t.Helper()

	crd, err := read("../plugin/schema/serviceconnection.yaml")
	if err != nil {
		t.Fatal(err)
	}

	version := &crd.Spec.Versions[0]
	root := version.Schema.OpenAPIV3Schema
	// What the types say of themselves is in there already; it is said anew.
	for _, part := range []string{"spec", "status"} {
		change(root, func(s *apiextensionsv1.JSONSchemaProps) { s.Enum = nil }, part, "services", "connections", "type")
	}

	change(root, func(s *apiextensionsv1.JSONSchemaProps) {
		s.Items.Schema.Properties["bucket"] = apiextensionsv1.JSONSchemaProps{Type: "string"}
	}, "spec", "services", "connections")

	store := claim.Type{Name: "objectStore", Fields: []claim.Field{
		{Name: "bucket", Required: true, Label: true},
	}}
	if err := declare(root, append(slices.Clone(connection.Builtin().Schema().Types()), store)); err != nil {
		return nil, err
	}

	return schema.Compile(version, true)
}

// The API server holds a type of connection to its fields by what the type says of
// itself, in the words of those that are there.
func TestSixthTypeInSchema(t *testing.T) {
	t.Parallel()

	s, err := withSixth(t)
	if err != nil {
		t.Fatal(err)
	}

	cases := map[string]struct {
		reason      string
		connections string
		want        []string
	}{
		"Valid":        {reason: "it is a type like the others", connections: `[{type: objectStore, bucket: photos}]`},
		"Beside":       {reason: "the list may be longer by one", connections: `[{type: objectStore, bucket: photos}, {type: gcpServiceAccount, serviceAccountEmail: orders@project.iam.gserviceaccount.com}]`},
		"FieldMissing": {reason: "its required field is asked for", connections: `[{type: objectStore}]`, want: []string{"bucket is required for objectStore"}},
		"FieldOfOther": {reason: "another's field is refused", connections: `[{type: objectStore, bucket: photos, role: r}]`, want: []string{"role is a field of awsRole only"}},
		"OthersField":  {reason: "so is its field with another", connections: `[{type: awsRole, role: r, bucket: photos}]`, want: []string{"bucket is a field of objectStore only"}},
		"Form":         {reason: "what its field must be", connections: `[{type: objectStore, bucket: Photos}]`, want: []string{"should match '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			u := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(`{apiVersion: serviceconnections.io/v1alpha1, kind: ServiceConnection, metadata: {name: shop, namespace: team-a},
				spec: {services: [{name: api, connections: `+tc.connections+`}]}}`), &u.Object); err != nil {
				t.Fatal(err)
			}

			errs := s.Validate(t.Context(), u)
			got := make([]string, 0, len(errs))
			for _, e := range errs {
				got = append(got, e.Detail)
			}

			says := cmp.Comparer(func(a, b string) bool { return strings.Contains(a, b) || strings.Contains(b, a) })
			if diff := cmp.Diff(tc.want, got, says, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// A field that a type declares and the claim's Go type lacks is told to who generates,
// or it would be lost on the way to the API server.
func TestDeclareUnknownField(t *testing.T) {
	t.Parallel()

	crd, err := read("../plugin/schema/serviceconnection.yaml")
	if err != nil {
		t.Fatal(err)
	}

	err = declare(crd.Spec.Versions[0].Schema.OpenAPIV3Schema, []claim.Type{{Name: "objectStore", Fields: []claim.Field{{Name: "bucket"}}}})
	if err == nil || !strings.Contains(err.Error(), "cannot find bucket in the schema") {
		t.Errorf("want an error that names bucket, got %v", err)
	}
}
