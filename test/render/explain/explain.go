package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/workload"
	"github.com/serviceconnections/function-service-connections/plugin/preview"
	"github.com/serviceconnections/function-service-connections/test/render"
)

// A composite is what is printed of a composite resource.
type composite struct {
	Status struct {
		claim.Status `json:",inline"`

		// Connections is where a platform's own kind keeps the status.
		Connections *claim.Status

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
	if s := xr.Status.Connections; s != nil {
		xr.Status.Status = *s
	}
	b := &strings.Builder{}
	fmt.Fprintf(b, "\n%s\n%s\n%s\n", rule, filepath.Base(dir), rule)

	written, err := readClaim(dir)
	if err != nil {
		return "", err
	}
	claimed := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(written, &claimed.Object); err != nil {
		return "", fmt.Errorf("cannot parse claim: %w", err)
	}
	headingf(b, "What the team writes")
	b.Write(written)
	if err := printComposed(b, out.Composed, xr.Status.Services); err != nil {
		return "", err
	}
	if err := printPods(b, dir, claimed.GetName(), out.Composed, xr.Status.Services); err != nil {
		return "", err
	}
	if err := printStatus(b, xr); err != nil {
		return "", err
	}
	return b.String(), nil
}

const rule = "================================================================================"

func headingf(b *strings.Builder, format string, a ...any) {
	fmt.Fprintf(b, "\n--- "+format+" ---\n\n", a...)
}

// readClaim as the team wrote it. Where a claim stands in front of the
// composite resource, the example has both.
func readClaim(dir string) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(filepath.Clean(dir), "claim.yaml"))
	if errors.Is(err, os.ErrNotExist) {
		content, err = os.ReadFile(filepath.Join(filepath.Clean(dir), "xr.yaml"))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read claim: %w", err)
	}
	return content, nil
}

// printComposed resources, without the metadata that Crossplane gives to each
// of them, and without the pods of workloads, which printPods prints.
func printComposed(b *strings.Builder, composed []map[string]any, services []claim.ServiceStatus) error {
	headingf(b, "What is composed (%d)", len(composed))
	for i, o := range composed {
		if i > 0 {
			b.WriteString("\n")
		}
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
		if serviceOf(u, services) != nil {
			unstructured.RemoveNestedField(u.Object, "spec", "template")
			name += ", its pods below"
		}

		document, err := yaml.Marshal(u.Object)
		if err != nil {
			return fmt.Errorf("cannot encode %s: %w", name, err)
		}
		fmt.Fprintf(b, "# %s\n%s", name, document)
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
		if c.Type == "Responsive" {
			continue // Crossplane's own, of how it watches.
		}
		rows = append(rows, []string{c.Type, c.Status, c.Reason, c.Message})
	}
	if err := printTable(b, rows); err != nil {
		return err
	}

	rows = [][]string{{"SERVICE", "CONNECTION", "READY", "REASON", "IDENTITY"}}
	var notes []string
	for _, s := range xr.Status.Services {
		for _, c := range s.Connections {
			rows = append(rows, []string{s.Name, c.ID().String(), fmt.Sprint(c.Ready), c.Reason, c.Identity})
			if c.Message != "" {
				notes = append(notes, fmt.Sprintf("%s, %s: %s", s.Name, c.ID(), c.Message))
			}
			for _, w := range c.Warnings {
				notes = append(notes, fmt.Sprintf("%s, %s: %s: %s", s.Name, c.ID(), w.Reason, w.Message))
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

// printPods of the workloads: those that an earlier step renders, and those in
// deployment.yaml, as the admission policy lets them into the cluster.
func printPods(b *strings.Builder, dir, claimName string, composed []map[string]any, services []claim.ServiceStatus) error {
	for _, o := range composed {
		after := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(o)}
		if serviceOf(after, services) == nil {
			continue
		}
		before := after.DeepCopy()
		if template := podTemplate(before); template != nil {
			workload.Remove(template)
		}
		if err := printWorkload(b, before, after); err != nil {
			return err
		}
	}

	content, err := os.ReadFile(filepath.Join(filepath.Clean(dir), "deployment.yaml"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read workload: %w", err)
	}
	before := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(content, &before.Object); err != nil {
		return fmt.Errorf("cannot parse workload: %w", err)
	}
	after := before.DeepCopy()
	if s, template := serviceOf(after, services), podTemplate(after); s != nil && s.Injection != nil && template != nil {
		if err := preview.Admit(template, *s.Injection, claimName); err != nil {
			return fmt.Errorf("cannot inject into %s %s: %w", after.GetKind(), after.GetName(), err)
		}
	}
	return printWorkload(b, before, after)
}

// printWorkload as the difference that the injection makes to its pods.
func printWorkload(b *strings.Builder, before, after *unstructured.Unstructured) error {
	headingf(b, "What the pods of %s %s get", after.GetKind(), after.GetName())
	var templates [2]map[string]any
	for i, u := range []*unstructured.Unstructured{before, after} {
		if templates[i] = podTemplate(u); templates[i] == nil {
			return fmt.Errorf("cannot find the pod template of %s %s", u.GetKind(), u.GetName())
		}
	}
	diff, err := preview.Diff(templates[0], templates[1])
	if err != nil {
		return fmt.Errorf("cannot show %s %s: %w", after.GetKind(), after.GetName(), err)
	}
	b.WriteString(cmp.Or(diff, "nothing yet\n"))
	return nil
}

// podTemplate of a workload, nil where it has none.
func podTemplate(u *unstructured.Unstructured) map[string]any {
	kind, _ := workload.KindOf(u.GetAPIVersion(), u.GetKind())
	template, ok := kind.Template(u.Object)
	if !ok {
		return nil
	}
	return template
}

// serviceOf a workload, nil where it is no service's.
func serviceOf(u *unstructured.Unstructured, services []claim.ServiceStatus) *claim.ServiceStatus {
	for i, s := range services {
		if w := s.Workload; w != nil && w.APIVersion == u.GetAPIVersion() && w.Kind == u.GetKind() && w.Name == u.GetName() {
			return &services[i]
		}
	}
	return nil
}
