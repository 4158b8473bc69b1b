package graph

import (
	"fmt"
	"io"
	"strings"
)

// Mermaid text of a flowchart, which forges draw where it stands in Markdown.
func (g *Graph) Mermaid(w io.Writer) error {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	used := map[state]bool{}
	for i, n := range g.Nodes {
		open, shut := mermaidShape(n.Stage)
		lines := []string{"<small>" + mermaidText(n.Kind) + "</small>", looks[n.State].mark + " " + mermaidText(n.Name)}
		if n.Reason != "" && n.State != ready {
			lines = append(lines, "<b>"+mermaidText(n.Reason)+"</b>")
		}
		fmt.Fprintf(&b, "  n%d%s\"%s\"%s:::%s\n", i, open, strings.Join(lines, "<br>"), shut, looks[n.State].class)
		used[n.State] = true
	}
	for _, e := range g.Edges {
		// A longer line crosses more columns.
		arrow := "--" + strings.Repeat("-", g.span(e)-1) + ">"
		if g.Nodes[e.To].State != ready {
			arrow = "-" + strings.Repeat(".", g.span(e)) + "->"
		}
		fmt.Fprintf(&b, "  n%d %s n%d\n", e.From, arrow, e.To)
	}
	for _, s := range allStates {
		if !used[s] {
			continue
		}
		// The text's colour too, since a page in the dark sets it light.
		fmt.Fprintf(&b, "  classDef %s fill:%s,stroke:%s,color:%s%s\n", looks[s].class, looks[s].fill, looks[s].stroke, ink, mermaidLines[s])
	}
	_, err := io.WriteString(w, b.String())
	if err != nil {
		return fmt.Errorf("cannot write mermaid: %w", err)
	}
	return nil
}

// ink of text on a fill.
const ink = "#1f2328"

// mermaidLines of the boxes.
var mermaidLines = map[state]string{waiting: ",stroke-dasharray:6 3", blocked: ",stroke-width:3px", notKnown: ",stroke-dasharray:2 3"}

// mermaidShape of a stage.
func mermaidShape(s stage) (open, shut string) {
	switch s {
	case stageClaim:
		return "([", "])"
	case stageServiceAccount:
		return "(", ")"
	case stageCredential:
		return "{{", "}}"
	case stageIdentity, stageTarget:
		return "[(", ")]"
	default:
		return "[", "]"
	}
}

// mermaidText writes all but what can't mean anything in mermaid, Markdown or HTML
// as an entity code (mermaid documentation, "Entity codes to escape characters").
func mermaidText(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r > 127, r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune(" -./:@,", r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return b.String()
}
