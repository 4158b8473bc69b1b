package graph

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/plugin/live"
)

// hostile texts: a ServiceConnection may pre-date its schema, and messages are what
// providers and clouds say.
var hostile = []string{
	`"]; click n0 "javascript:alert(1)"`,
	`</text><script>alert(1)</script>`,
	`</style><img src=x onerror=alert(1)>`,
	`<!--`, `]]>`, `&lt;b&gt;`, `&#x3c;`, `#quot;`, "`**x**`",
	`end`, `n0`, `subgraph x`, `%% comment`, `:::blocked`, `-->`, `{{x}}`, `\N\G\"`, `"`, `\`,
	"a\nn99[new]\nclick n0 href", "a\r\nb", "\x00\x1b[2J\x7f", "\u202egnp.exe", "\u2028x\u2029", "\xff\xfe", "日本語の名前", strings.Repeat("x", 300),
	`{{.Title}}`, `expression(alert(1))`, `' onload='alert(1)`,
}

// with a text in each place that somebody else may write.
func with(s string) *Graph {
	status := &claim.ConnectionStatus{Reason: s, Message: s, Identity: s}
	sc := &live.ServiceConnection{Namespace: s, Name: s, Conditions: []live.Condition{{Type: "Valid", Status: "False", Reason: s, Message: s}}}
	for _, c := range []claim.Connection{
		{Type: claim.TypeAWSRole, Role: s, TargetRoleARN: s},
		{Type: claim.TypeDisk},
		{Type: claim.TypeCloudSQL},
		{Type: claim.ConnectionType(s)},
	} {
		c.Config = &claim.Config{DiskName: s, CloudSQLConnectionName: s, CloudSQLServiceAccount: s}
		sc.Services = append(sc.Services, live.Service{
			Name: string(c.Type) + s, ServiceAccount: s, Workload: claim.Workload{Kind: s, Name: s},
			Connections: []live.Connection{{Connection: c, Status: status, Objects: []live.Object{{Kind: "Role", Name: s, Exists: true, Reason: s, Message: s}}}},
			Rivals:      []live.Rival{{ServiceConnection: s, Service: s}},
		})
	}
	return Of(connection.Builtin(), sc)
}

// The whole of what a line of mermaid and dot may be.
var (
	mermaidLine = regexp.MustCompile(`^(flowchart LR|  n\d+(\(\[|\[|\(|\{\{|\[\()"[^"` + "`" + `\\{}\[\]()|%;\x00-\x1f]*"(\]\)|\]|\)|\}\}|\)\]):::[a-z]+|  n\d+ (---*>|-\.+->) n\d+|  classDef [a-z]+ [a-z0-9:#, -]+)$`)
	entity      = regexp.MustCompile(`#\d+;`)
	mermaidTag  = regexp.MustCompile(`<[^>]*>?`)
	dotLine     = regexp.MustCompile(`^(digraph \{|\}|  (graph|node|edge) \[[^\n]*\];|  n\d+ \[label="([^"\\]|\\.)*", style="filled,[a-z]+", fillcolor="#[0-9a-f]{6}", color="#[0-9a-f]{6}"(, shape=[a-z]+)?\];|  n\d+ -> n\d+ \[minlen=\d\];)$`)
)

// check that a text in all places makes no more of a picture than a plain one.
func check(t rapid.TB, g *Graph) {
	t.Helper()
	render := func(format string, g *Graph) string {
		b := &bytes.Buffer{}
		if err := formats[format](g, b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for line := range strings.Lines(render("mmd", g)) {
		bare := entity.ReplaceAllString(strings.TrimSuffix(line, "\n"), "")
		if !mermaidLine.MatchString(bare) {
			t.Errorf("this is no line of mermaid that we write: %q", line)
		}
		for _, tag := range mermaidTag.FindAllString(bare, -1) {
			if !slices.Contains([]string{"<small>", "</small>", "<br>", "<b>", "</b>"}, tag) {
				t.Errorf("the tag %s in %q is none of ours", tag, line)
			}
		}
	}
	for line := range strings.Lines(render("dot", g)) {
		if !dotLine.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("this is no line of dot that we write: %q", line)
		}
	}
	// A picture of it takes the layout of the plain one, since only sizes go into
	// that.
	page, plainPage := page(t, g), page(t, with("plain"))
	// The SVG is in it.
	svg := func(page string) string {
		return page[strings.Index(page, "<svg") : strings.LastIndex(page, "</svg>")+len("</svg>")]
	}
	if got, want := elements(t, svg(page)), elements(t, svg(plainPage)); !slices.Equal(got, want) {
		t.Errorf("the SVG has the elements\n%v\nand a plain one\n%v", got, want)
	}
	if got, want := nodes(t, page), nodes(t, plainPage); !slices.Equal(got, want) {
		t.Errorf("the HTML has the elements\n%v\nand a plain one\n%v", got, want)
	}
}

// plainLayout of the graph that each text is put into.
var plainLayout = sync.OnceValues(func() (*layout, error) {
	g := with("plain")
	return g.layOut(g.sizes())
})

// page of a graph on the plain layout.
func page(t rapid.TB, g *Graph) string {
	t.Helper()
	l, err := plainLayout()
	if err != nil {
		t.Fatal(err)
	}
	b := &strings.Builder{}
	if err := templates.ExecuteTemplate(b, "html.tmpl", g.drawOn(l)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// elements of an SVG, with the names of their attributes, as a strict parser sees
// it.
func elements(t rapid.TB, svg string) []string {
	t.Helper()
	var all []string
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("the SVG is no XML: %v\n%s", err, svg)
		}
		switch token := token.(type) {
		case xml.StartElement:
			name := token.Name.Local
			for _, a := range token.Attr {
				name += " " + a.Name.Local
			}
			// Edges differ in how far they go, and that is in an attribute's value.
			all = append(all, name)
		case xml.Comment, xml.Directive:
			t.Errorf("the SVG has %v", token)
		}
	}
}

// nodes of a page, as a browser sees it.
func nodes(t rapid.TB, page string) []string {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for n := range root.Descendants() {
		if n.Type == html.CommentNode {
			t.Errorf("the page has a comment: %q", n.Data)
		}
		if n.Type != html.ElementNode {
			continue
		}
		name := n.Data
		for _, a := range n.Attr {
			name += " " + a.Key
		}
		all = append(all, name)
	}
	return all
}

// TestHostile texts stay texts.
func TestHostile(t *testing.T) {
	t.Parallel()
	for _, s := range hostile {
		t.Run(s, func(t *testing.T) {
			t.Parallel()
			check(t, with(s))
		})
	}
}

// TestAnyText stays a text. It isn't a fuzz target, since the compiler would have to
// instrument all that reads a cluster for that.
func TestAnyText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.SampledFrom(hostile)), 1, 4).Draw(t, "parts")
		if s := strings.Join(parts, ""); s != "" {
			check(t, with(s))
		}
	})
}
