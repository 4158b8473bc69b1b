package preview

import (
	"fmt"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

// A Workload and what its pods get.
type Workload struct {
	claim.Workload `json:",inline"`

	// Service that the workload is of, empty where it is no service's.
	Service string `json:"service,omitempty"`

	// Diff of the pod template, before and after, as a unified diff. It is empty
	// where the pods get nothing.
	Diff string `json:"diff,omitempty"`
}

// showWorkloads of a file. What is no workload in it is passed over.
func showWorkloads(objects []map[string]any, namespace, claimName string, services []claim.ServiceStatus) ([]Workload, error) {
	var shown []Workload
	for _, o := range objects {
		u := &unstructured.Unstructured{Object: o}
		kind, ok := workload.KindOf(u.GetAPIVersion(), u.GetKind())
		if !ok || u.GetNamespace() != "" && u.GetNamespace() != namespace {
			continue
		}
		w := Workload{Workload: claim.Workload{APIVersion: u.GetAPIVersion(), Kind: u.GetKind(), Name: u.GetName()}}
		for _, s := range services {
			if s.Workload == nil || *s.Workload != w.Workload {
				continue
			}
			w.Service = s.Name
			var err error
			if w.Diff, err = diff(kind, o, s.Injection, claimName); err != nil {
				return nil, fmt.Errorf("cannot show %s %q: %w", w.Kind, w.Name, err)
			}
		}
		shown = append(shown, w)
	}
	return shown, nil
}

// diff that an injection makes to the pods of a workload.
func diff(kind workload.Kind, o map[string]any, injection *claim.Injection, claimName string) (string, error) {
	before, ok := kind.Template(o)
	if !ok {
		return "", fmt.Errorf("it has no pod template")
	}
	if injection == nil {
		return "", nil
	}
	after := runtime.DeepCopyJSON(before)
	if err := Admit(after, *injection, claimName); err != nil {
		return "", err
	}
	return Diff(before, after)
}

// Admit changes a pod template to what the admission policy lets in: with the
// injection, and with whose it is.
func Admit(template map[string]any, injection claim.Injection, claimName string) error {
	workload.Inject(template, injection)
	if err := unstructured.SetNestedField(template, claimName, "metadata", "annotations", "serviceconnections.io/injected-by"); err != nil {
		return fmt.Errorf("cannot annotate the pods: %w", err)
	}
	return nil
}

// Diff of two pod templates, empty where they are the same.
func Diff(before, after map[string]any) (string, error) {
	var texts [2]string
	for i, template := range []map[string]any{before, after} {
		template = runtime.DeepCopyJSON(template)
		// Only a template that the function itself patches, and must be able to
		// restore, holds this record.
		unstructured.RemoveNestedField(template, "metadata", "annotations", "serviceconnections.io/injected")
		encoded, err := yaml.Marshal(template)
		if err != nil {
			return "", fmt.Errorf("cannot encode pod template: %w", err)
		}
		texts[i] = string(encoded)
	}
	if texts[0] == texts[1] {
		return "", nil
	}
	d, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: difflib.SplitLines(texts[0]), FromFile: "as written",
		B: difflib.SplitLines(texts[1]), ToFile: "as it runs",
		Context: 100, // All of it: a pod template is short.
	})
	if err != nil {
		return "", fmt.Errorf("cannot compare pod templates: %w", err)
	}
	// What stands behind the last line break is an empty line to difflib.
	return strings.TrimSuffix(d, " \n"), nil
}
