// Package excerpt shortens what others wrote, for messages that people read.
package excerpt

import "strings"

// Of a text: the whole where it has at most so many bytes, or else as many of them
// as are whole characters, and an ellipsis.
func Of(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Ends of a text: the whole where it has at most so many bytes, or else as many of them
// around an ellipsis, some of which are from its end.
func Ends(s string, most, end int) string {
	if len(s) <= most {
		return s
	}
	return Of(s, most-end) + strings.ToValidUTF8(s[len(s)-end:], "")
}
