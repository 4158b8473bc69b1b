package graph

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

//go:embed svg.tmpl html.tmpl
var files embed.FS

// The renderings that are templates. They escape what they are given by where it
// goes.
var templates = template.Must(template.ParseFS(files, "*.tmpl"))

// SVG image, light or dark as whoever looks at it prefers.
func (g *Graph) SVG(w io.Writer) error {
	d, err := g.draw()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"); err != nil {
		return fmt.Errorf("cannot write SVG: %w", err)
	}
	if err := templates.ExecuteTemplate(w, "svg.tmpl", d); err != nil {
		return fmt.Errorf("cannot write SVG: %w", err)
	}
	return nil
}

// HTML page that holds the SVG, and in words what isn't connected. It loads
// nothing, and runs no script.
func (g *Graph) HTML(w io.Writer) error {
	d, err := g.draw()
	if err != nil {
		return err
	}
	if err := templates.ExecuteTemplate(w, "html.tmpl", d); err != nil {
		return fmt.Errorf("cannot write HTML: %w", err)
	}
	return nil
}

// Sizes in pixels of what is drawn. Names are in a fixed-width font, so that their
// width is known without the font: no common one is wider than 0.61 em.
const (
	nameSize   = 13
	nameWidth  = 0.61 * nameSize
	smallWidth = 6.2
	boldWidth  = 6.9
	padding    = 12
	markSpace  = 22
	lineHeight = 16
	boxHeight  = 42

	margin       = 16
	legendHeight = 14

	// maxName in cells; longer names lose their middle.
	maxName = 36
)

// A drawing is what the templates draw.
type drawing struct {
	Title    string
	Summary  string
	Nodes    []drawnNode
	Edges    []drawnEdge
	Looks    []drawnLook
	Problems []node

	// Width and Height with the margin of the picture around it, and the least width
	// at which its text can be read.
	Width, Height, LeastWidth float64
}

type drawnNode struct {
	node

	Class, Mark, StateName string

	// Short is the name as it is shown.
	Short string

	// Left and Top are the corner, Height and Width the size.
	Left, Top, Width, Height, MarkX float64
	Round                           int
}

type drawnEdge struct{ Class, Path string }

// A drawnLook is a state's style, and its place in the legend.
type drawnLook struct {
	Class, Mark, Name                        string
	Fill, Stroke, DarkFill, DarkStroke, Line template.CSS
	Left, Top                                float64
}

// cssLines of boxes and edges.
var cssLines = map[state]template.CSS{
	ready: "stroke-width: 1.5", waiting: "stroke-width: 1.5; stroke-dasharray: 6 3",
	blocked: "stroke-width: 2.5", notKnown: "stroke-width: 1.5; stroke-dasharray: 2 3",
}

func (g *Graph) draw() (*drawing, error) {
	l, err := g.layOut(g.sizes())
	if err != nil {
		return nil, err
	}
	return g.drawOn(l), nil
}

// drawOn a layout of the graph.
func (g *Graph) drawOn(l *layout) *drawing {
	d := &drawing{Title: g.Title, Summary: g.summary(), Problems: g.problems()}
	for i, n := range g.Nodes {
		b := l.Nodes[i]
		drawn := drawnNode{
			node: n, Class: looks[n.State].class, Mark: looks[n.State].mark, StateName: n.State.String(), Short: shorten(n.Name),
			Left: b.X - b.Width/2, Top: b.Y - b.Height/2, Width: b.Width, Height: b.Height, Round: 6,
			MarkX: b.Width - padding - 2,
		}
		if n.Stage == stageClaim {
			drawn.Round = boxHeight / 2
		}
		d.Nodes = append(d.Nodes, drawn)
	}
	// What is not ready lies on top.
	for _, s := range []state{ready, notKnown, waiting, blocked} {
		for i, e := range g.Edges {
			if g.Nodes[e.To].State == s {
				d.Edges = append(d.Edges, drawnEdge{Class: looks[s].class, Path: g.curve(l, e, l.Edges[i])})
			}
		}
	}
	left := 0.0
	for _, s := range allStates {
		k := looks[s]
		d.Looks = append(d.Looks, drawnLook{
			Class: k.class, Mark: k.mark, Name: k.name, Left: left, Top: l.Height + margin,
			Fill: k.fill, Stroke: k.stroke, DarkFill: k.darkFill, DarkStroke: k.darkStroke, Line: cssLines[s],
		})
		left += 25 + cells(s.String())*smallWidth + margin
	}
	d.Width = max(l.Width, left) + 2*margin
	d.LeastWidth = 0.75 * d.Width
	d.Height = l.Height + legendHeight + 3*margin
	return d
}

// curve of an edge, from the right of one box to the left of another, and straight
// through the columns between.
func (g *Graph) curve(l *layout, e edge, points []point) string {
	from, to := l.Nodes[e.From], l.Nodes[e.To]
	at := point{X: from.X + from.Width/2, Y: from.Y}
	var b strings.Builder
	fmt.Fprintf(&b, "M%.1f %.1f", at.X, at.Y)
	bend := func(p point) {
		half := (p.X - at.X) / 2
		fmt.Fprintf(&b, "C%.1f %.1f %.1f %.1f %.1f %.1f", at.X+half, at.Y, p.X-half, p.Y, p.X, p.Y)
		at = p
	}
	for i := 1; i < g.span(e); i++ {
		column, ok := g.column(l, g.Nodes[e.From].Stage+stage(i))
		if !ok {
			continue
		}
		// Of each two points, the first lies between the columns, where dagre has
		// room for the label of an edge.
		y := points[2*i].Y
		bend(point{X: column.X - column.Width/2, Y: y})
		at.X += column.Width
		fmt.Fprintf(&b, "H%.1f", at.X)
	}
	bend(point{X: to.X - to.Width/2, Y: to.Y})
	return b.String()
}

// column of a stage, where the graph has anything of that stage.
func (g *Graph) column(l *layout, s stage) (box, bool) {
	for i, n := range g.Nodes {
		if n.Stage == s {
			return l.Nodes[i], true
		}
	}
	return box{}, false
}

// sizes of the boxes: those of a stage are equally wide.
func (g *Graph) sizes() []box {
	widths := map[stage]float64{}
	for _, n := range g.Nodes {
		widths[n.Stage] = max(widths[n.Stage], n.width())
	}
	sizes := make([]box, len(g.Nodes))
	for i, n := range g.Nodes {
		sizes[i] = box{Width: widths[n.Stage], Height: boxHeight}
		if n.ShownReason() != "" {
			sizes[i].Height += lineHeight
		}
	}
	return sizes
}

func (n *node) width() float64 {
	w := max(cells(shorten(n.Name))*nameWidth, cells(n.Kind)*smallWidth, cells(n.ShownReason())*boldWidth)
	return w + 2*padding + markSpace
}

func cells(s string) float64 { return float64(ansi.StringWidth(s)) }

// ShownReason is the reason, where it isn't that all is well.
func (n *node) ShownReason() string {
	if n.State == ready {
		return ""
	}
	return n.Reason
}

// shorten a name in its middle: both ends of what clouds call their things matter.
func shorten(name string) string {
	if ansi.StringWidth(name) <= maxName {
		return name
	}
	return ansi.Truncate(name, maxName/2-4, "") + "…" + ansi.TruncateLeft(name, ansi.StringWidth(name)-(maxName/2+3), "")
}
