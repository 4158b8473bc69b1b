// Package oldest holds what a platform installs to the types of Kubernetes 1.30, the oldest
// that ServiceConnections are for. An API server drops a field that it doesn't know, with a
// warning at most, and what the field was there for is then missing without a word.
//
// Whether 1.30 does by default what a field asks for isn't looked at: a field is there from
// the version on in which it is an alpha feature, and the API server drops it, or does nothing
// by it, until the feature is on. Nor is CEL, which test/admission compiles for 1.30.
package oldest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

const manifests = "../../package"

// newer are the kinds that only Kubernetes 1.36 and newer has.
var newer = []string{
	"admissionregistration.k8s.io/v1, Kind=MutatingAdmissionPolicy",
	"admissionregistration.k8s.io/v1, Kind=MutatingAdmissionPolicyBinding",
}

// decode strictly, as the API server of 1.30 does for fieldValidation=Strict. It knows the
// kinds of the groups that are installed, and no others.
var decode = func() runtime.Decoder {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		admissionregistrationv1.AddToScheme, appsv1.AddToScheme, corev1.AddToScheme,
		networkingv1.AddToScheme, policyv1.AddToScheme, rbacv1.AddToScheme, apiextensionsv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}()

// object of a manifest. It returns its kind if only a newer Kubernetes has that, and an
// error where 1.30 would drop or refuse something of it.
func object(document []byte) (only string, err error) {
	o := struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
		Spec              json.RawMessage `json:"spec"`
	}{}
	raw, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return "", err
	}
	gvk := o.GroupVersionKind()
	switch {
	case slices.Contains(newer, gvk.String()):
		return gvk.Kind, nil
	case !kubernetes(gvk.Group):
		err = embedded(gvk.Kind, o.Spec)
	default:
		_, _, err = decode.Decode(raw, nil, nil)
	}
	if err != nil {
		err = fmt.Errorf("%s %q: %w", gvk.Kind, o.Name, err)
	}
	return "", err
}

// kubernetes says whether the kinds of a group are Kubernetes' own: the group of a
// CustomResourceDefinition has a dot, and isn't Kubernetes'.
func kubernetes(group string) bool {
	return !strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io")
}

// embedded in the kinds of others is what they create of Kubernetes' kinds, and what they
// make a CustomResourceDefinition of.
func embedded(kind string, raw json.RawMessage) error {
	switch kind {
	case "DeploymentRuntimeConfig":
		var config struct {
			Deployment     *json.RawMessage `json:"deploymentTemplate"`
			Service        *json.RawMessage `json:"serviceTemplate"`
			ServiceAccount *json.RawMessage `json:"serviceAccountTemplate"`
		}
		return errors.Join(strict(raw, &config),
			template(config.Deployment, &appsv1.Deployment{}), template(config.Service, &corev1.Service{}), template(config.ServiceAccount, &corev1.ServiceAccount{}))
	case "CompositeResourceDefinition":
		var definition struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema json.RawMessage `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		}
		if err := json.Unmarshal(raw, &definition); err != nil {
			return err
		}
		if len(definition.Versions) == 0 {
			return errors.New("it has no versions")
		}
		var errs []error
		for _, v := range definition.Versions {
			errs = append(errs, jsonSchema(v.Schema.OpenAPIV3Schema))
		}
		return errors.Join(errs...)
	}
	return nil
}

func template(raw *json.RawMessage, into any) error {
	if raw == nil {
		return nil
	}
	return strict(*raw, into)
}

func strict(raw []byte, into any) error {
	unknown, err := kjson.UnmarshalStrict(raw, into)
	return errors.Join(append(unknown, err)...)
}

// jsonSchema must come out of its type as it went in. The type decodes what is in items and
// additionalProperties by itself, where no decoder sees a field that it drops.
func jsonSchema(raw []byte) error {
	s := &apiextensionsv1.JSONSchemaProps{}
	if err := strict(raw, s); err != nil {
		return err
	}
	out, err := json.Marshal(s)
	if err != nil {
		return err
	}
	var want, got any
	if err := errors.Join(utiljson.Unmarshal(raw, &want), utiljson.Unmarshal(out, &got)); err != nil {
		return err
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("the schema comes out as another: -want, +got:\n%s", diff)
	}
	return nil
}

// objects of some YAML: how many there are, and those that only a newer Kubernetes has.
func objects(text []byte) (n int, only []string, err error) {
	var errs []error
	for documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return n, only, errors.Join(errs...)
		}
		var t metav1.TypeMeta
		if err == nil {
			err = yaml.Unmarshal(document, &t)
		}
		if err != nil {
			return n, only, err
		}
		if t.Kind == "" {
			// Comments only, or a file of a cloud's.
			continue
		}
		n++
		kind, err := object(document)
		if kind != "" {
			only = append(only, kind)
		}
		errs = append(errs, err)
	}
}

// installed is all that a platform applies or installs, by its path in package/: each file,
// and what each kustomization makes of them, as releases have it.
func installed(t *testing.T) map[string][]byte {
	t.Helper()
	kubectl, err := filepath.Abs("../../.cache/bin/kubectl")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	err = filepath.WalkDir(manifests, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "testdata":
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".yaml":
			return nil
		}
		text, err := os.ReadFile(path) //nolint:gosec // A manifest of the module.
		if err != nil {
			return err
		}
		if entry.Name() == "kustomization.yaml" {
			path = filepath.Dir(path)
			if bytes.Contains(text, []byte("\nkind: Component\n")) {
				// Part of others.
				return nil
			}
			stderr := &bytes.Buffer{}
			cmd := exec.CommandContext(t.Context(), kubectl, "kustomize", path)
			cmd.Stderr = stderr
			if text, err = cmd.Output(); err != nil {
				return fmt.Errorf("cannot build %s, by what make package-tool installs: %w: %s", path, err, stderr)
			}
		}
		rel, err := filepath.Rel(manifests, path)
		all[filepath.ToSlash(rel)] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestOldestKubernetesKnowsWhatIsInstalled holds that Kubernetes 1.30 knows each kind and each
// field of all that is installed there.
func TestOldestKubernetesKnowsWhatIsInstalled(t *testing.T) {
	t.Parallel()
	got, rendered := map[string][]string{}, 0
	for path, text := range installed(t) {
		n, only, err := objects(text)
		if err != nil {
			t.Errorf("Kubernetes 1.30 doesn't know all of package/%s:\n%v", path, err)
		}
		if only != nil {
			got[path] = only
		}
		if filepath.Ext(path) == "" {
			rendered++
			if n == 0 {
				t.Errorf("package/%s has no object", path)
			}
		}
	}
	if rendered < 7 {
		t.Errorf("a release has 7 manifests, and %d kustomizations were found", rendered)
	}
	both := []string{"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"}
	want := map[string][]string{
		"cluster/mutatingadmissionpolicy.yaml": both, "cluster": both, "install/base": both,
		// Releases have these two for 1.36 and newer, and others for older ones.
		"install/claims": both, "install/namespaced": both,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what only Kubernetes 1.36 and newer has, and where: -want, +got:\n%s", diff)
	}
}

// TestWhatIsNewerIsFound tries the test itself: what 1.30 doesn't have, it must tell.
func TestWhatIsNewerIsFound(t *testing.T) {
	t.Parallel()
	deployment := func(field string) string {
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec:\n  template:\n    spec:\n      containers: [{name: x, image: x}]\n" + field
	}
	definition := func(field string) string {
		return "apiVersion: apiextensions.crossplane.io/v2\nkind: CompositeResourceDefinition\nmetadata: {name: x}\n" +
			"spec: {versions: [{name: v1, schema: {openAPIV3Schema: {type: object, properties: {a: {type: array, items: {type: string, " + field + "}}}}}}]}\n"
	}
	for name, tc := range map[string]struct {
		reason, text, want string
	}{
		"Old":           {"It has been there for long.", deployment("      hostNetwork: false\n"), ""},
		"SleepHook":     {"The webhook has one, which is an alpha feature of 1.29.", deployment("      initContainers: [{name: init, image: x, lifecycle: {preStop: {sleep: {seconds: 5}}}}]\n"), ""},
		"PodResources":  {"Pods have it from 1.32 on.", deployment("      resources: {limits: {memory: 64Mi}}\n"), `unknown field "spec.template.spec.resources"`},
		"Misspelt":      {"No version has it: case counts.", deployment("      hostnetwork: false\n"), `unknown field "spec.template.spec.hostnetwork"`},
		"Kind":          {"No kind of this group is in 1.30 by default.", "apiVersion: resource.k8s.io/v1\nkind: DeviceClass\nmetadata: {name: x}\n", "no kind"},
		"Version":       {"A kind that 1.30 knows in another version.", "apiVersion: admissionregistration.k8s.io/v2\nkind: ValidatingAdmissionPolicy\nmetadata: {name: x}\n", "no kind"},
		"ForeignKind":   {"Kubernetes doesn't know it before its definition is there.", "apiVersion: example.org/v1\nkind: Foreign\nmetadata: {name: x}\nspec: {any: 1}\n", ""},
		"RuntimeConfig": {"Crossplane makes a Deployment of it.", "apiVersion: pkg.crossplane.io/v1beta1\nkind: DeploymentRuntimeConfig\nmetadata: {name: x}\nspec: {deploymentTemplate: {spec: {template: {spec: {resources: {}}}}}}\n", `unknown field "spec.template.spec.resources"`},
		"Schema":        {"It may have all that 1.30 knows.", definition("minLength: 0"), ""},
		"SchemaField":   {"In items no decoder sees it.", definition("newer: true"), `"newer"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := objects([]byte(tc.text))
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("%s: want no error, got %v", tc.reason, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("%s: want an error with %q, got %v", tc.reason, tc.want, err)
			}
		})
	}
}
