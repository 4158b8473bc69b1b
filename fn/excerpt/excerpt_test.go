package excerpt

import "testing"

func TestOf(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		reason, text string
		most         int
		want         string
	}{
		"Short":     {"What fits stays as it is.", "abc", 3, "abc"},
		"Long":      {"What doesn't is cut, and says so.", "abcd", 3, "abc…"},
		"Character": {"No character is cut in two.", "abü", 3, "ab…"},
		"Empty":     {"Nothing stays nothing.", "", 3, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := Of(tc.text, tc.most); got != tc.want {
				t.Errorf("%s: Of(%q, %d): want %q, got %q", tc.reason, tc.text, tc.most, tc.want, got)
			}
		})
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		reason, text string
		most, end    int
		want         string
	}{
		"Short":     {"What fits stays as it is.", "abcd", 4, 2, "abcd"},
		"Long":      {"What doesn't loses its middle, and says so.", "abcdefg", 4, 1, "abc…g"},
		"Character": {"No character is cut in two.", "aüzzüb", 4, 2, "a…b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			if got := Ends(tc.text, tc.most, tc.end); got != tc.want {
				t.Errorf("%s: Ends(%q, %d, %d): want %q, got %q", tc.reason, tc.text, tc.most, tc.end, tc.want, got)
			}
		})
	}
}
