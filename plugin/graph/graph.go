// Package graph draws a ServiceConnection: from the claim by its services and their
// ServiceAccounts to the credentials that these have, and on to the identities,
// instances and disks that they lead to. It is one model and a renderer a format.
// Equal ServiceConnections give equal bytes.
package graph

import (
	"fmt"
	"html/template"
	"strings"
	"unicode"
)

// A Graph of one ServiceConnection. Edges lead from an earlier stage to a later one.
type Graph struct {
	Title string
	Nodes []node
	Edges []edge
}

// A node is one thing in the graph.
type node struct {
	Stage stage

	// Kind of the thing, in a word or two of ours or of Kubernetes'.
	Kind string

	// Name of the thing, as whoever made it wrote it.
	Name string

	State state

	// Reason and Message say why the state is what it is.
	Reason  string
	Message string
}

// An edge between two nodes, by their place in the graph.
type edge struct {
	From, To int
}

// A stage is a column of the picture.
type stage int

// The stages, from left to right.
const (
	stageClaim stage = iota
	stageService
	stageServiceAccount
	stageCredential
	stageIdentity
	stageTarget
)

// A state says how a thing stands. Of several things said of one, the highest holds.
type state int

// The states.
const (
	// notKnown is for what nobody has said anything about.
	notKnown state = iota
	// ready can be used.
	ready
	// waiting is on its way.
	waiting
	// blocked needs somebody to do something.
	blocked
)

// A look is how a state is drawn. Colour is never alone: each has a mark and a line
// of its own. The hues are those of Okabe and Ito, which people with any colour
// vision can tell apart ("Color Universal Design", 2008), darker or lighter so that
// text in them can be read.
type look struct {
	// class of the state in mermaid and CSS, and name in words.
	class, name string

	mark string

	// line of a box in the terms of Graphviz.
	line string

	fill, stroke, darkFill, darkStroke template.CSS
}

var looks = map[state]look{
	ready:    {class: "ready", name: "connected", mark: "✓", line: "solid", fill: "#e3f5ee", stroke: "#00694d", darkFill: "#0b2a22", darkStroke: "#3fbf97"},
	waiting:  {class: "waiting", name: "on its way", mark: "…", line: "dashed", fill: "#e1eefa", stroke: "#005a91", darkFill: "#0c2438", darkStroke: "#6cb6f0"},
	blocked:  {class: "blocked", name: "not connected", mark: "✗", line: "bold", fill: "#fbe6da", stroke: "#a33c00", darkFill: "#3a1a0b", darkStroke: "#ff9a62"},
	notKnown: {class: "unknown", name: "not known", mark: "?", line: "dotted", fill: "#f3f4f6", stroke: "#57606a", darkFill: "#1b2028", darkStroke: "#9ea7b3"},
}

// allStates in the order of a legend.
var allStates = []state{ready, waiting, blocked, notKnown}

// String is the state in words.
func (s state) String() string { return looks[s].name }

// add a node, and return its place.
func (g *Graph) add(n node) int {
	n.Kind, n.Name, n.Reason, n.Message = clean(n.Kind), clean(n.Name), clean(n.Reason), clean(n.Message)
	g.Nodes = append(g.Nodes, n)
	return len(g.Nodes) - 1
}

// connect two nodes, once.
func (g *Graph) connect(from, to int) {
	for _, e := range g.Edges {
		if e.From == from && e.To == to {
			return
		}
	}
	g.Edges = append(g.Edges, edge{From: from, To: to})
}

// clean text of what no format can hold, whatever it does with the rest: control
// characters are no XML, and those that turn the direction of writing let a name
// look like another.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\r':
			return ' '
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		default:
			return r
		}
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}

// problems are what isn't ready and says why.
func (g *Graph) problems() []node {
	var ps []node
	for _, n := range g.Nodes {
		if n.ShownReason() != "" {
			ps = append(ps, n)
		}
	}
	return ps
}

// summary in a sentence.
func (g *Graph) summary() string {
	services, count := 0, map[state]int{}
	for _, n := range g.Nodes {
		if n.Stage == stageService {
			services++
			count[n.State]++
		}
	}
	words := "1 service"
	if services != 1 {
		words = fmt.Sprintf("%d services", services)
	}
	for _, s := range allStates {
		if count[s] > 0 {
			words += fmt.Sprintf(", %d %s", count[s], s)
		}
	}
	return words
}
