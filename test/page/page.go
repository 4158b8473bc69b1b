// Package page writes the parts of a page that measurements make. Each part stands
// between two comments that name what writes it, so that one is written anew without the
// others.
package page

import (
	"fmt"
	"os"
	"strings"
)

// Write a part of the page in a file, by the name of what makes it. The page must have
// the part.
func Write(file, part, text string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("cannot read page: %w", err)
	}
	page, err := replace(string(b), part, text)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", file, err)
	}
	if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
		return fmt.Errorf("cannot write page: %w", err)
	}
	return nil
}

// replace what stands between the comments of a part.
func replace(page, part, text string) (string, error) {
	begin, end := "<!-- "+part+" writes this -->\n", "<!-- to here -->\n"
	before, rest, ok := strings.Cut(page, begin)
	if !ok {
		return "", fmt.Errorf("it has no line %q", strings.TrimSpace(begin))
	}
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("no line %q comes after %q", strings.TrimSpace(end), strings.TrimSpace(begin))
	}
	return before + begin + "\n" + strings.Trim(text, "\n") + "\n\n" + end + after, nil
}

// Table in Markdown, of which the first row is the heading. Its columns but the first are
// numbers, and stand to the right.
func Table[Row ~[]string](rows []Row) string {
	var b strings.Builder
	for i, r := range rows {
		b.WriteString("| " + strings.Join(r, " | ") + " |\n")
		if i == 0 {
			b.WriteString("|---" + strings.Repeat("|---:", len(r)-1) + "|\n")
		}
	}
	return b.String()
}
