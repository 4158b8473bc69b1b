package graph

import (
	"fmt"
	"io"
	"strings"
)

// Dot text for Graphviz.
func (g *Graph) Dot(w io.Writer) error {
	var b strings.Builder
	b.WriteString("digraph {\n")
	b.WriteString("  graph [rankdir=LR, ranksep=0.6, nodesep=0.15];\n")
	fmt.Fprintf(&b, "  node [shape=box, fontname=\"Helvetica,Arial,sans-serif\", fontsize=11, fontcolor=%q];\n", ink)
	fmt.Fprintf(&b, "  edge [color=%q, arrowsize=0.7];\n", looks[notKnown].stroke)
	for i, n := range g.Nodes {
		lines := []string{n.Kind, looks[n.State].mark + " " + n.Name}
		if n.Reason != "" && n.State != ready {
			lines = append(lines, n.Reason)
		}
		for i := range lines {
			lines[i] = dotText(lines[i])
		}
		s := looks[n.State]
		fmt.Fprintf(&b, "  n%d [label=\"%s\", style=\"filled,%s\", fillcolor=%q, color=%q%s];\n", i, strings.Join(lines, `\n`), s.line, s.fill, s.stroke, dotShape(n.Stage))
	}
	for _, e := range g.Edges {
		fmt.Fprintf(&b, "  n%d -> n%d [minlen=%d];\n", e.From, e.To, g.span(e))
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	if err != nil {
		return fmt.Errorf("cannot write dot: %w", err)
	}
	return nil
}

func dotShape(s stage) string {
	switch s {
	case stageCredential:
		return ", shape=hexagon"
	case stageIdentity, stageTarget:
		return ", shape=cylinder"
	default:
		return ""
	}
}

// dotText within a quoted label, where a backslash begins an escape sequence and an
// ampersand an entity (Graphviz documentation, "escString" and "Character
// encodings").
var dotText = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `&`, `&amp;`).Replace
