package trust

import (
	"slices"
	"strings"
)

// A pattern is text with wildcards.
type pattern []rune

// The wildcards of patterns. No text has runes below zero.
const (
	anyRunes rune = -1 - iota
	anyRune
)

// wildcards of IAM: * for any characters, ? for one.
func wildcards(text string) pattern {
	p := pattern(text)
	for i, r := range p {
		switch r {
		case '*':
			p[i] = anyRunes
		case '?':
			p[i] = anyRune
		}
	}
	return p
}

// matches a text as a whole, in time proportional to the product of both lengths
// at worst: only the last * is ever tried again.
func (p pattern) matches(text string) bool {
	runes := []rune(text)
	i, star, from := 0, -1, 0
	for t := 0; t < len(runes); {
		switch {
		case i < len(p) && p[i] == anyRunes:
			star, from = i, t
			i++
		case i < len(p) && (p[i] == anyRune || p[i] == runes[t]):
			i++
			t++
		case star >= 0:
			from++
			i, t = star+1, from
		default:
			return false
		}
	}
	for i < len(p) && p[i] == anyRunes {
		i++
	}
	return i == len(p)
}

// split a pattern into as many parts as an ARN has. ok is false where it has
// fewer.
func (p pattern) split() (parts []pattern, ok bool) {
	rest := p
	for len(parts) < arnParts-1 {
		i := slices.Index(rest, ':')
		if i < 0 {
			return nil, false
		}
		parts = append(parts, rest[:i])
		rest = rest[i+1:]
	}
	return append(parts, rest), true
}

// arnParts of arn:partition:service:region:account:resource.
const arnParts = 6

// matchesARN part by part, so that no * reaches over a colon (IAM user guide,
// "IAM JSON policy elements: Condition operators", Amazon Resource Name
// condition operators). What isn't of the form of an ARN can't be decided.
func (p pattern) matchesARN(arn string) answer {
	parts, ok := p.split()
	texts := strings.SplitN(arn, ":", arnParts)
	if !ok || len(texts) < arnParts {
		return unknown
	}
	for i, part := range parts {
		if !part.matches(texts[i]) {
			return no
		}
	}
	return yes
}
