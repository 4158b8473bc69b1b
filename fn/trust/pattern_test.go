package trust

import (
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// nasty is a pattern on which a matcher that tries every * anew doesn't end.
var nasty = strings.Repeat("*a", 2000) + "b"

func TestMatches(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason        string
		pattern, text string
		want          bool
	}{
		"Empty":        {reason: "nothing is nothing", want: true},
		"EmptyPattern": {reason: "and not something", text: "a"},
		"Same":         {reason: "text is itself", pattern: "sts:AssumeRole", text: "sts:AssumeRole", want: true},
		"Prefix":       {reason: "the whole text must match", pattern: "sts:AssumeRole", text: "sts:AssumeRoleWithSAML"},
		"Star":         {reason: "a star is any text", pattern: "*", text: "a/b:c", want: true},
		"StarEmpty":    {reason: "also none", pattern: "a*b**", text: "ab", want: true},
		"StarLater":    {reason: "the first place that fits need not be the right one", pattern: "*ab", text: "aabab", want: true},
		"StarTwice":    {reason: "stars are independent", pattern: "a*b*c", text: "a1b2b3c", want: true},
		"StarMissing":  {reason: "what is between them must be there", pattern: "a*b*c", text: "a1c"},
		"Question":     {reason: "a question mark is one character, whatever its bytes", pattern: "caf?", text: "café", want: true},
		"QuestionNone": {reason: "and not none", pattern: "a?", text: "a"},
		"Backslash":    {reason: "IAM has no escapes", pattern: `a\*`, text: `a\b`, want: true},
		"Brackets":     {reason: "nor classes", pattern: "[ab]", text: "a"},
		"Nasty":        {reason: "time doesn't grow with the number of stars", pattern: nasty, text: strings.Repeat("a", 8000)},
		"NastyMatch":   {reason: "nor where it matches", pattern: nasty, text: strings.Repeat("a", 8000) + "b", want: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := gocmp.Diff(tc.want, wildcards(tc.pattern).matches(tc.text)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
