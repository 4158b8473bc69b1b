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
