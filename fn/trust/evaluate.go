package trust

import (
	"strings"
)

// An answer in three values, in their order: the least of several holds for all
// of them, the greatest for any.
type answer int

const (
	no answer = iota
	unknown
	yes
)

func (a answer) not() answer { return yes - a }

func answered(b bool) answer {
	if b {
		return yes
	}
	return no
}

// An evaluation of a policy for a request (IAM user guide, "Policy evaluation
// logic").
type evaluation struct {
	*policy
	request
}

// A judgement on a statement for one action of the request.
type judgement struct {
	*statement

	// principal and action that the statement is about, and whether it applies
	// with all its conditions.
	principal, action, applies answer

	// failed conditions, and those that can't be decided.
	failed, open []condition
}

// judge the statements of an effect for an action.
func (e evaluation) judge(effect, action string) []judgement {
	var js []judgement
	for _, s := range e.Statement {
		if s.Effect != effect {
			continue
		}
		j := judgement{statement: s, principal: e.principalOf(s), action: actionOf(s, action)}
		j.applies = min(j.principal, j.action)
		for _, c := range s.conditions {
			holds := e.holds(c)
			j.applies = min(j.applies, holds)
			switch holds {
			case no:
				j.failed = append(j.failed, c)
			case unknown:
				j.open = append(j.open, c)
			case yes:
			}
		}
		js = append(js, j)
	}
	return js
}

// decide whether any statement of an effect applies to an action.
func (e evaluation) decide(effect, action string) answer {
	a := no
	for _, j := range e.judge(effect, action) {
		a = max(a, j.applies)
	}
	return a
}

// granted says whether the request is allowed, and not denied.
func (e evaluation) granted() answer {
	a := yes
	for _, action := range e.actions {
		a = min(a, e.decide(allow, action), e.decide(deny, action).not())
	}
	return a
}

// principalOf a statement is the one that asks. An account or a user is none:
// both modes ask as something else.
func (e evaluation) principalOf(s *statement) answer {
	if s.NotPrincipal != nil {
		return unknown
	}
	for typ, values := range *s.Principal {
		for _, v := range values {
			if v == wildcard && (typ == typeAWS || typ == e.typ) {
				return yes
			}
			if typ == e.typ && e.caller != "" && strings.TrimSuffix(v, "/") == e.caller {
				return yes
			}
		}
	}
	return no
}

// actionOf a statement is the one that is needed. Case doesn't matter.
func actionOf(s *statement, action string) answer {
	action = strings.ToLower(action)
	matches := func(l list) bool {
		for _, a := range l {
			if wildcards(strings.ToLower(a)).matches(action) {
				return true
			}
		}
		return false
	}
	if len(s.NotAction) > 0 {
		return answered(!matches(s.NotAction))
	}
	return answered(matches(s.Action))
}

// An operator of conditions (IAM user guide, "IAM JSON policy elements: Condition
// operators").
type operator struct {
	compares comparison
	negated  bool

	// ifExists is the suffix …IfExists.
	ifExists bool

	// set is the prefix for keys with several values, empty for none ("Set
	// operators for multivalued context keys").
	set string
}

// literal says whether the operator requires one of its values as it is.
func (o operator) literal() bool {
	return !o.negated && (o.compares == exact || o.compares == folded)
}

type comparison int

const (
	exact comparison = iota
	folded
	like
	arnLike
	presence
)

// The operators by name, in lower case.
var operators = map[string]operator{
	"stringequals":              {compares: exact},
	"stringnotequals":           {compares: exact, negated: true},
	"stringequalsignorecase":    {compares: folded},
	"stringnotequalsignorecase": {compares: folded, negated: true},
	"stringlike":                {compares: like},
	"stringnotlike":             {compares: like, negated: true},
	"arnequals":                 {compares: arnLike},
	"arnlike":                   {compares: arnLike},
	"arnnotequals":              {compares: arnLike, negated: true},
	"arnnotlike":                {compares: arnLike, negated: true},
	"bool":                      {compares: folded},
	"null":                      {compares: presence},
}

const (
	forAllValues = "forallvalues"
	forAnyValue  = "foranyvalue"
)

func operatorOf(name string) (op operator, ok bool) {
	name = strings.ToLower(name)
	set, base, found := strings.Cut(name, ":")
	if !found {
		set, base = "", name
	}
	base, ifExists := strings.CutSuffix(base, "ifexists")
	op, ok = operators[base]
	op.set, op.ifExists = set, ifExists
	// A key isn't there or not depending on whether it is there.
	if op.compares == presence && (found || ifExists) {
		return op, false
	}
	return op, ok && (!found || set == forAllValues || set == forAnyValue)
}

// holds says whether a condition does. All keys that are known have one value, so
// a set operator differs only where the key is absent.
func (e evaluation) holds(c condition) answer {
	op, ok := operatorOf(c.operator)
	f := e.fact(c.key)
	switch {
	case !ok:
		return unknown
	case op.compares == presence:
		return isNull(f, c.values)
	case f.present == no:
		return absent(op)
	case !f.known:
		return unknown
	}
	a := no
	for _, v := range c.values {
		a = max(a, e.compare(op.compares, v, f.value))
	}
	if op.negated {
		return a.not()
	}
	return a
}

// absent key: no operator holds but the negated ones, …IfExists and
// ForAllValues.
func absent(op operator) answer {
	switch op.set {
	case forAllValues:
		return yes
	case forAnyValue:
		if op.ifExists {
			// AWS doesn't say which of the two goes first.
			return unknown
		}
		return no
	}
	return answered(op.negated || op.ifExists)
}

// isNull is the operator Null: true for a key that is absent.
func isNull(f fact, values list) answer {
	a := no
	for _, v := range values {
		switch strings.ToLower(v) {
		case "true":
			a = max(a, f.present.not())
		case "false":
			a = max(a, f.present)
		default:
			return unknown
		}
	}
	return a
}

// compare a value of a condition with that of the request.
func (e evaluation) compare(by comparison, v, got string) answer {
	if by == folded {
		v, got = strings.ToLower(v), strings.ToLower(got)
	}
	p, ok := e.expand(v, by == like || by == arnLike)
	switch {
	case !ok:
		return unknown
	case by == arnLike:
		return p.matchesARN(got)
	default:
		return answered(p.matches(got))
	}
}

// expand a value's policy variables (IAM user guide, "IAM policy elements:
// Variables and tags"). ok is false where one isn't known. In version 2008-10-17
// the same text may be meant literally.
func (e evaluation) expand(v string, wild bool) (p pattern, ok bool) {
	literal := func(s string) {
		if wild {
			p = append(p, wildcards(s)...)
		} else {
			p = append(p, pattern(s)...)
		}
	}
	for {
		before, rest, found := strings.Cut(v, "${")
		literal(before)
		if !found {
			return p, true
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed || e.Version != version2012 {
			return nil, false
		}
		switch name {
		case "*", "?", "$":
			p = append(p, pattern(name)...)
		default:
			f := e.fact(name)
			if !f.known {
				return nil, false
			}
			p = append(p, pattern(f.value)...)
		}
		v = after
	}
}
