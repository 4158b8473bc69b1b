package connection_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/connection"
	"github.com/serviceconnections/function-service-connections/input/v1beta1"
)

// pages of docs, by their names.
func pages(t *testing.T, names ...string) string {
	t.Helper()

	var text strings.Builder

	for _, name := range names {
		b, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
		if err != nil {
			t.Fatal(err)
		}

		text.Write(b)
	}

	return text.String()
}

// A team looks a reason up in docs/reasons.md, so all are there, as they are.
func TestDocumentedReasons(t *testing.T) {
	t.Parallel()

	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}

	words := map[connection.Severity]string{connection.Blocks: "blocks", connection.Warns: "warns", connection.Note: "note"}
	want := map[string]string{}

	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}

		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == "Reason" {
			// The name of the constant is the reason itself, which TestReasonsOfOthers
			// holds for those that are written elsewhere.
			reason := connection.Reason(spec.Names[0].Name)
			if literal, ok := spec.Values[0].(*ast.BasicLit); ok && literal.Value != strconv.Quote(string(reason)) {
				t.Errorf("constant %s is %s; name it as what it says", reason, literal.Value)
			}

			want[string(reason)] = words[reason.Severity()]
		}

		return true
	})

	got := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Z][A-Za-z]+)` \\| (\\w+) \\| [^|]+ \\| [^|]+ \\|$").FindAllStringSubmatch(pages(t, "reasons.md"), -1) {
		got[row[1]] = row[2]
	}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/reasons.md must have each reason with its severity (-reason.go +reasons.md):\n%s", diff)
	}
}

// The tables of the settings and of the input's source have each field, and none
// that isn't there.
func TestDocumentedSettings(t *testing.T) {
	t.Parallel()

	want := map[string]bool{}
	settingsFields(reflect.TypeFor[v1beta1.Settings](), "", want)
	settingsFields(reflect.TypeFor[v1beta1.Source](), "source", want)

	got := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z][A-Za-z.\\[\\]]*)` \\| [^|]+ \\| [^|]+ \\|$").FindAllStringSubmatch(pages(t, "settings.md", "composition.md"), -1) {
		got[row[1]] = true
	}

	for path := range got {
		// A section's row says what its absence means.
		if _, ok := want[path]; !ok && !hasPrefix(want, path) {
			t.Errorf("docs/settings.md and docs/composition.md have a field %s, which isn't in package v1beta1", path)
		}
	}

	for path := range want {
		if !got[path] {
			t.Errorf("docs/settings.md and docs/composition.md lack the field %s", path)
		}
	}
}

func hasPrefix(paths map[string]bool, prefix string) bool {
	for p := range paths {
		if strings.HasPrefix(p, prefix+".") || strings.HasPrefix(p, prefix+"[") {
			return true
		}
	}

	return false
}

// settingsFields gathers the paths of the fields that hold values.
func settingsFields(typ reflect.Type, path string, into map[string]bool) {
	if typ.Kind() == reflect.Pointer {
		settingsFields(typ.Elem(), path, into)
		return
	}

	switch {
	case typ == reflect.TypeFor[v1beta1.ProviderConfigReference]():
		into[path] = true
	case typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Struct:
		into[path] = true
		settingsFields(typ.Elem(), path+"[]", into)
	case typ.Kind() == reflect.Struct:
		for f := range typ.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			settingsFields(f.Type, strings.TrimPrefix(path+"."+name, "."), into)
		}
	default:
		into[path] = true
	}
}
