package package_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What docs/attacks.md says that a test holds, a test of that name holds; and its case,
// where one is named.
func TestAttacksAreTested(t *testing.T) {
	t.Parallel()

	page, err := os.ReadFile("../docs/attacks.md")
	if err != nil {
		t.Fatalf("cannot read page: %v", err)
	}

	tests := map[string]string{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark)\w+)\(`)

	if err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			if err == nil {
				err = filepath.SkipDir
			}

			return err
		}

		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}

		text, err := os.ReadFile(path) //nolint:gosec // The module's own files.
		for _, m := range declared.FindAllSubmatch(text, -1) {
			tests[string(m[1])] += string(text)
		}

		return err
	}); err != nil {
		t.Fatalf("cannot read tests: %v", err)
	}

	named := regexp.MustCompile("`((?:Test|Benchmark)[A-Z]\\w+)`(?:: ([a-z, ]+))?").FindAllStringSubmatch(string(page), -1)
	if len(named) < 30 {
		t.Errorf("want the table of attacks, got %d tests that it names", len(named))
	}

	for _, n := range named {
		text, ok := tests[n[1]]
		if !ok {
			t.Errorf("docs/attacks.md names %s, which isn't a test", n[1])
		}

		if n[2] == "" {
			continue
		}

		for name := range strings.SplitSeq(strings.TrimSpace(n[2]), ", ") {
			if !strings.Contains(text, `"`+name+`"`) {
				t.Errorf("docs/attacks.md names %s of %s, which isn't a case of it", name, n[1])
			}
		}
	}
}
