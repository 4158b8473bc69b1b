package porter

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// flatten copies a node without anchors: aliases become what they stand for, and
// merge keys what they merge. Each node keeps its position and its comments.
func flatten(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return flatten(n.Alias)
	}
	c := *n
	c.Anchor, c.Content = "", nil
	if n.Kind != yaml.MappingNode {
		for _, child := range n.Content {
			c.Content = append(c.Content, flatten(child))
		}
		return &c
	}
	var merged []*yaml.Node
	for k, v := range pairs(n) {
		if k.Tag == "!!merge" {
			merged = append(merged, flatten(v))
			continue
		}
		c.Content = append(c.Content, flatten(k), flatten(v))
	}
	// A key of the mapping's own wins over a merged one, and of those the first.
	for _, m := range merged {
		sources := []*yaml.Node{m}
		if m.Kind == yaml.SequenceNode {
			sources = m.Content
		}
		for _, source := range sources {
			for k, v := range pairs(source) {
				if lookup(&c, k.Value) == nil {
					c.Content = append(c.Content, k, v)
				}
			}
		}
	}
	return &c
}

// pairs of a mapping's keys and values.
func pairs(n *yaml.Node) func(yield func(k, v *yaml.Node) bool) {
	return func(yield func(k, v *yaml.Node) bool) {
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

// lookup the value of a key, nil where the mapping hasn't got it, or is none.
func lookup(n *yaml.Node, key string) *yaml.Node {
	for k, v := range pairs(n) {
		if k.Value == key {
			return v
		}
	}
	return nil
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// describe a node to whoever wrote it.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "empty"
	default:
		return strconv.Quote(n.Value)
	}
}

// value of a node as decoded JSON, for the function's own validation.
func value(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for k, v := range pairs(n) {
			m[k.Value] = value(v)
		}
		return m
	case yaml.SequenceNode:
		l := make([]any, len(n.Content))
		for i, c := range n.Content {
			l[i] = value(c)
		}
		return l
	default:
		return scalar(n)
	}
}

func scalar(n *yaml.Node) any {
	var v any
	if err := n.Load(&v); err != nil {
		return n.Value
	}
	switch v := v.(type) {
	case int:
		return int64(v)
	case nil, bool, int64, float64, string:
		return v
	default:
		// A date, or a number beyond all ports.
		return n.Value
	}
}

// find the node at a path such as services[0].connections[1].role, or the nearest
// above it. With key, the last field's name is found instead of its value.
func find(n *yaml.Node, path string, key bool) *yaml.Node {
	path = strings.TrimPrefix(path, ".")
	if path == "" {
		return n
	}
	if index, rest, ok := cutIndex(path); ok {
		if n.Kind == yaml.SequenceNode && index < len(n.Content) {
			return find(n.Content[index], rest, key)
		}
		return n
	}
	name, rest := path, ""
	if end := strings.IndexAny(path, ".["); end >= 0 {
		name, rest = path[:end], path[end:]
	}
	for k, v := range pairs(n) {
		if k.Value != name {
			continue
		}
		if key && rest == "" {
			return k
		}
		return find(v, rest, key)
	}
	return n
}

// cutIndex cuts an index such as [1] off the front of a path.
func cutIndex(path string) (index int, rest string, ok bool) {
	if !strings.HasPrefix(path, "[") {
		return 0, path, false
	}
	digits, rest, _ := strings.Cut(path[1:], "]")
	index, err := strconv.Atoi(digits)
	return index, rest, err == nil
}

// text is a plain scalar.
func text(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
}

// mapping of keys and values, in this order, without those that are nil.
func mapping(keysAndValues ...any) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for pair := range slices.Chunk(keysAndValues, 2) {
		if v, ok := pair[1].(*yaml.Node); ok && v != nil {
			m.Content = append(m.Content, text(fmt.Sprint(pair[0])), v)
		}
	}
	return m
}

// list of nodes.
func list(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: items}
}

// block style for a node and all in it, also where it came from a flow.
func block(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode {
		n.Style = 0
	}
	for _, c := range n.Content {
		block(c)
	}
	return n
}
