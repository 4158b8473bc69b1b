package style

import (
	"strconv"
	"strings"
	"unicode"
)

// Escape text that others wrote, so that none of it is an order to the terminal:
// control characters, and those that make text look like other text by turning its
// direction, are shown as Go writes them, and line breaks are spaces.
func Escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteByte(' ')
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}
