package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// A family of pins that are no Go modules.
type family struct {
	// files in which they are.
	files []string

	// pattern with what is pinned, and its version.
	pattern *regexp.Regexp

	// who looks after them.
	who string
}

var families = []family{
	{[]string{"Dockerfile"}, regexp.MustCompile(`(?m)^FROM (?:--\S+ )?([\w./-]+):(\S+)`), "the update bot looks after images"},
	{[]string{".github/workflows/*.yaml", "action/action.yml"}, regexp.MustCompile(`(?m)uses: ([\w./-]+)@[0-9a-f]{40} # (\S+)$`), "the update bot looks after actions"},
	{[]string{"package/providers/*/provider.yaml"}, regexp.MustCompile(`(?m)^  package: (\S+):(\S+)$`), "nobody: look at marketplace.upbound.io"},
}

// otherPins of the repository: images, actions and providers' packages.
func otherPins(root string) ([]pin, error) {
	var pins []pin
	for _, f := range families {
		found, err := f.pins(root)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%q finds nothing in %q; the files have changed, and what they pin would go unseen", f.pattern, f.files)
		}
		pins = append(pins, found...)
	}
	return pins, nil
}

// pins of the family, each once in a file.
func (f family) pins(root string) ([]pin, error) {
	var pins []pin
	for _, pattern := range f.files {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, fmt.Errorf("cannot look for %s: %w", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file) //nolint:gosec // A file of the repository.
			if err != nil {
				return nil, fmt.Errorf("cannot read pins: %w", err)
			}
			rel, err := filepath.Rel(root, file)
			if err != nil {
				return nil, fmt.Errorf("cannot look for %s: %w", pattern, err)
			}
			of := map[string]bool{}
			for _, m := range f.pattern.FindAllStringSubmatch(string(text), -1) {
				if of[m[0]] {
					continue
				}
				of[m[0]] = true
				pins = append(pins, pin{what: m[1], version: m[2], in: []string{filepath.ToSlash(rel)}, unknown: f.who})
			}
		}
	}
	return pins, nil
}
