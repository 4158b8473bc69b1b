package plan

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Rules stand here once for all types. What is special about a cloud is told by the
// value of its type, its family or its grant, or a sixth type would need an edit here.
func TestPlanNamesNoCloud(t *testing.T) {
	t.Parallel()

	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	clouds := regexp.MustCompile(`(?i)aws|azure|google|gcp|cloudsql|\biam|\beks`)
	read := false
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		read = true
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			var word string
			switch n := n.(type) {
			case *ast.Ident:
				word = n.Name
			case *ast.BasicLit:
				word = n.Value
			}
			if clouds.MatchString(word) {
				t.Errorf("%s says %s; let the type, the family or the grant in fn/connection say it", name, word)
			}
			return true
		})
	}
	if !read {
		t.Error("no file of this package was read")
	}
}
