package preview

import (
	"fmt"
	"slices"
	"strings"

	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/tree"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/serviceconnections/function-service-connections/plugin/style"
)

// annotationNeededBy of a composed resource says which connections need it.
const annotationNeededBy = "serviceconnections.io/needed-by"

// marks of outcomes.
var marks = map[Outcome]struct {
	style lipgloss.Style
	text  string
}{
	Connected: {style.Good, "✓ connected"},
	Pending:   {style.Waiting, "… pending"},
	Failed:    {style.Bad, "✗ would not connect"},
}

func (o Outcome) String() string { return marks[o].style.Render(marks[o].text) }

// Text of the result for a reader, in colour.
func (r *Result) Text() string {
	b := &strings.Builder{}
	b.WriteString(r.tree().String() + "\n")
	if len(r.Assumed) > 0 {
		fmt.Fprintf(b, "\nNo file holds %s; the preview takes it to be there.\n", style.Escape(strings.Join(r.Assumed, " and ")))
	}
	for _, w := range r.Workloads {
		b.WriteString("\n" + w.text())
	}
	return b.String()
}

func (r *Result) tree() *tree.Tree {
	root := style.Tree(fmt.Sprintf("ServiceConnection %s in namespace %s: %s", strong(r.Name), style.Escape(r.Namespace), r.Outcome))
	for _, m := range r.Mistakes {
		root.Child(style.Bad.Render("mistake: ") + style.Escape(m))
	}
	resources := r.byNeed()
	for _, s := range r.Services {
		root.Child(s.tree(resources))
	}
	return root
}

// strong text that somebody wrote.
func strong(s string) string { return style.Strong.Render(style.Escape(s)) }

// byNeed are the composed resources by who needs them: a service, or a connection
// as service/type. One that several need stands with each of them.
func (r *Result) byNeed() map[string][]string {
	needs := map[string][]string{}
	for _, o := range r.Composed {
		u := unstructured.Unstructured{Object: o}
		for need := range strings.SplitSeq(u.GetAnnotations()[annotationNeededBy], ",") {
			need = strings.TrimSpace(need)
			needs[need] = append(needs[need], describe(u))
		}
	}
	return needs
}

// describe a composed resource, and whether it is only read.
func describe(u unstructured.Unstructured) string {
	does := ""
	if policies, _, _ := unstructured.NestedStringSlice(u.Object, "spec", "managementPolicies"); slices.Equal(policies, []string{"Observe"}) {
		does = ", only read"
	}
	return fmt.Sprintf("%s %s %s", style.Escape(u.GetKind()), style.Escape(u.GetName()), style.Quiet.Render("("+u.GroupVersionKind().GroupVersion().String()+does+")"))
}

func (s *Service) tree(resources map[string][]string) *tree.Tree {
	t := style.Tree("service " + strong(s.Name))
	if s.Workload != nil {
		t = style.Tree(fmt.Sprintf("service %s: %s %s as ServiceAccount %s", strong(s.Name), style.Escape(s.Workload.Kind), style.Escape(s.Workload.Name), style.Escape(s.ServiceAccountName)))
	}
	for _, c := range s.Connections {
		t.Child(c.tree(resources[s.Name+"/"+c.id().String()]))
	}
	for _, r := range resources[s.Name] {
		t.Child(r)
	}
	for _, n := range s.Notes {
		t.Child("note: " + n.Reason + ": " + style.Escape(n.Message))
	}
	return t
}

func (c *Connection) tree(resources []string) *tree.Tree {
	t := style.Tree(fmt.Sprintf("%s: %s", strong(c.id().String()), c.Outcome))
	if c.Outcome != Connected {
		t.Child(c.Reason + ": " + style.Escape(c.Message))
	}
	if c.Identity != "" {
		t.Child("identity " + style.Escape(c.Identity))
	}
	for _, r := range resources {
		t.Child(r)
	}
	for _, w := range c.Warnings {
		t.Child(style.Waiting.Render("warning: ") + w.Reason + ": " + style.Escape(w.Message))
	}
	return t
}

// text of a workload: what its pods get, as a diff.
func (w *Workload) text() string {
	name := style.Escape(w.Kind + " " + w.Name)
	switch {
	case w.Service == "":
		return name + " is the workload of no service.\n"
	case w.Diff == "":
		return name + ": its pods get nothing as it stands.\n"
	}
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s: what its pods get\n\n", name)
	for line := range strings.Lines(w.Diff) {
		text := style.Escape(strings.TrimSuffix(line, "\n"))
		switch {
		case strings.HasPrefix(text, "---"), strings.HasPrefix(text, "+++"), strings.HasPrefix(text, "@@"):
			text = style.Strong.Render(text)
		case strings.HasPrefix(text, "+"):
			text = style.Good.Render(text)
		case strings.HasPrefix(text, "-"):
			text = style.Bad.Render(text)
		}
		b.WriteString(text + "\n")
	}
	return b.String()
}
