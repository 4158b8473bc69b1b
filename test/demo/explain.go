package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/pmezard/go-difflib/difflib"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/workload"
	"github.com/serviceconnections/function-service-connections/test/render"
)

// A composite is what is printed of a composite resource.
type composite struct {
	Status struct {
		claim.Status `json:",inline"`

		Conditions []struct{ Type, Status, Reason, Message string }
	}
}

// explain an example: what the team wrote, what is composed, how it stands, and
// what its pods get.
func explain(dir string, out *render.Output) (string, error) {
	xr := composite{}
	encoded, err := json.Marshal(out.Composite)
	if err != nil {
		return "", fmt.Errorf("cannot encode composite resource: %w", err)
	}
	if err := json.Unmarshal(encoded, &xr); err != nil {
		return "", fmt.Errorf("cannot read composite resource: %w", err)
	}
	b := &strings.Builder{}
	fmt.Fprintf(b, "\n%s\n%s\n%s\n", rule, filepath.Base(dir), rule)

	if err := printClaim(b, dir); err != nil {
		return "", err
	}
	if err := printComposed(b, out.Composed); err != nil {
		return "", err
	}
	if err := printStatus(b, xr); err != nil {
		return "", err
	}
	if err := printPods(b, dir, xr.Status.Services); err != nil {
		return "", err
	}
	return b.String(), nil
}

const rule = "================================================================================"

func headingf(b *strings.Builder, format string, a ...any) {
	fmt.Fprintf(b, "\n--- "+format+" ---\n\n", a...)
}

// printClaim as the team wrote it. Where a claim stands in front of the
// composite resource, the example has both.
func printClaim(b *strings.Builder, dir string) error {
	content, err := os.ReadFile(filepath.Join(filepath.Clean(dir), "claim.yaml"))
	if errors.Is(err, os.ErrNotExist) {
		content, err = os.ReadFile(filepath.Join(filepath.Clean(dir), "xr.yaml"))
	}
	if err != nil {
		return fmt.Errorf("cannot read claim: %w", err)
	}
	headingf(b, "What the team writes")
	b.Write(content)
	return nil
}

// printComposed resources, without the metadata that Crossplane gives to each
// of them.
func printComposed(b *strings.Builder, composed []map[string]any) error {
	headingf(b, "What is composed (%d)", len(composed))
	for _, o := range composed {
		u := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(o)}
		annotations, labels := u.GetAnnotations(), u.GetLabels()
		name := annotations["crossplane.io/composition-resource-name"]
		delete(annotations, "crossplane.io/composition-resource-name")
		delete(labels, "crossplane.io/composite")
		delete(labels, "crossplane.io/claim-name")
		delete(labels, "crossplane.io/claim-namespace")
		u.SetAnnotations(emptyToNil(annotations))
		u.SetLabels(emptyToNil(labels))
		u.SetOwnerReferences(nil)
		u.SetGenerateName("")

		document, err := yaml.Marshal(u.Object)
		if err != nil {
			return fmt.Errorf("cannot encode %s: %w", name, err)
		}
		fmt.Fprintf(b, "# %s\n%s\n", name, document)
	}
	return nil
}

// emptyToNil, so that an empty map isn't printed.
func emptyToNil(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}

// printStatus as the team reads it.
func printStatus(b *strings.Builder, xr composite) error {
	headingf(b, "How it stands: %s connected", xr.Status.Connected)
	rows := make([][]string, 0, 1+len(xr.Status.Conditions))
	rows = append(rows, []string{"CONDITION", "STATUS", "REASON", "MESSAGE"})
	for _, c := range xr.Status.Conditions {
		rows = append(rows, []string{c.Type, c.Status, c.Reason, c.Message})
	}
	if err := printTable(b, rows); err != nil {
		return err
	}

	rows = [][]string{{"SERVICE", "CONNECTION", "READY", "REASON", "IDENTITY", "MESSAGE"}}
	var notes []string
	for _, s := range xr.Status.Services {
		for _, c := range s.Connections {
			rows = append(rows, []string{s.Name, string(c.Type), fmt.Sprint(c.Ready), c.Reason, c.Identity, c.Message})
			for _, w := range c.Warnings {
				notes = append(notes, fmt.Sprintf("%s, %s: %s: %s", s.Name, c.Type, w.Reason, w.Message))
			}
		}
		for _, n := range s.Notes {
			notes = append(notes, fmt.Sprintf("%s: %s: %s", s.Name, n.Reason, n.Message))
		}
		if s.Restart != "" {
			notes = append(notes, fmt.Sprintf("%s: to bring running pods up to date: %s", s.Name, s.Restart))
		}
	}
	b.WriteString("\n")
	if err := printTable(b, rows); err != nil {
		return err
	}
	if len(notes) > 0 {
		fmt.Fprintf(b, "\n%s\n", strings.Join(notes, "\n"))
	}
	return nil
}

// printTable with aligned columns.
func printTable(b *strings.Builder, rows [][]string) error {
	aligned := &strings.Builder{}
	table := tabwriter.NewWriter(aligned, 0, 0, 3, ' ', 0)
	for _, r := range rows {
		if _, err := fmt.Fprintln(table, strings.Join(r, "\t")); err != nil {
			return fmt.Errorf("cannot print table: %w", err)
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("cannot print table: %w", err)
	}
	for line := range strings.Lines(aligned.String()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return nil
}

// printPods of the workloads in deployment.yaml, where the example has one, as
// the admission policy lets them into the cluster.
func printPods(b *strings.Builder, dir string, services []claim.ServiceStatus) error {
	f, err := os.Open(filepath.Join(filepath.Clean(dir), "deployment.yaml"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read workload: %w", err)
	}
	defer f.Close() //nolint:errcheck // Only open for reading.

	for d := utilyaml.NewYAMLToJSONDecoder(f); ; {
		object := map[string]any{}
		err := d.Decode(&object)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot parse workload: %w", err)
		}
		if err := printWorkload(b, &unstructured.Unstructured{Object: object}, services); err != nil {
			return err
		}
	}
}

// printWorkload as the difference that the injection makes to its pods.
func printWorkload(b *strings.Builder, u *unstructured.Unstructured, services []claim.ServiceStatus) error {
	headingf(b, "What the pods of %s %s get", u.GetKind(), u.GetName())
	injection := injectionOf(u, services)
	if injection == nil {
		b.WriteString("nothing yet\n")
		return nil
	}
	kind, _ := workload.KindOf(u.GetAPIVersion(), u.GetKind())
	template, ok := kind.Template(u.Object)
	if !ok {
		return fmt.Errorf("cannot find the pod template of %s %s", u.GetKind(), u.GetName())
	}
	before, err := yaml.Marshal(template)
	if err != nil {
		return fmt.Errorf("cannot encode pod template: %w", err)
	}
	workload.Inject(template, *injection)
	// Only a template that the function itself patches, and must be able to
	// restore, holds this record.
	unstructured.RemoveNestedField(template, "metadata", "annotations", "serviceconnections.io/injected")
	after, err := yaml.Marshal(template)
	if err != nil {
		return fmt.Errorf("cannot encode pod template: %w", err)
	}
	diff, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: difflib.SplitLines(string(before)), FromFile: "as deployed",
		B: difflib.SplitLines(string(after)), ToFile: "as it runs",
		Context: 100, // All of it: pod templates of examples are short.
	})
	if err != nil {
		return fmt.Errorf("cannot compare pod templates: %w", err)
	}
	b.WriteString(diff)
	return nil
}

// injectionOf the service whose workload the object is. It is nil where none is
// published.
func injectionOf(u *unstructured.Unstructured, services []claim.ServiceStatus) *claim.Injection {
	for _, s := range services {
		if w := s.Workload; w != nil && w.APIVersion == u.GetAPIVersion() && w.Kind == u.GetKind() && w.Name == u.GetName() {
			return s.Injection
		}
	}
	return nil
}
