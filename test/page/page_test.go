package page

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReplace(t *testing.T) {
	t.Parallel()

	const page = "# Page\n\n<!-- make a writes this -->\nold a\n<!-- to here -->\n\nby hand\n\n<!-- make b writes this -->\nold b\n<!-- to here -->\n"
	cases := map[string]struct {
		reason, page, part, want, err string
	}{
		"First": {
			reason: "what others wrote stays as it is",
			page:   page, part: "make a",
			want: "# Page\n\n<!-- make a writes this -->\n\nnew\n\n<!-- to here -->\n\nby hand\n\n<!-- make b writes this -->\nold b\n<!-- to here -->\n",
		},
		"Last": {
			reason: "a part ends with the comment that comes after it",
			page:   page, part: "make b",
			want: "# Page\n\n<!-- make a writes this -->\nold a\n<!-- to here -->\n\nby hand\n\n<!-- make b writes this -->\n\nnew\n\n<!-- to here -->\n",
		},
		"Missing": {
			reason: "a measurement of an hour isn't written where nobody looks",
			page:   page, part: "make c",
			err: `it has no line "<!-- make c writes this -->"`,
		},
		"Open": {
			reason: "what follows isn't taken for the part",
			page:   "<!-- make a writes this -->\nold a\n", part: "make a",
			err: `no line "<!-- to here -->" comes after`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := replace(tc.page, tc.part, "\nnew\n")
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("%s: error %v, want %q", tc.reason, err, tc.err)
			}
		})
	}
}
