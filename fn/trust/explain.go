package trust

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A check of one role, which says what it finds.
type check struct {
	evaluation

	stranger evaluation
	role     Role
	who      Subject
}

// findingf on a statement of the role's trust policy.
func (c check) findingf(reason string, s *statement, format string, a ...any) Finding {
	return Finding{reason, fmt.Sprintf("%s of the trust policy of IAM role %q %s", s.name, c.role.ARN, fmt.Sprintf(format, a...))}
}

func (c check) denied(j judgement, action string) Finding {
	where := ""
	if len(j.conditions) > 0 {
		where = " by " + describe(j.conditions[0])
	}
	return c.findingf(ReasonDenied, j.statement, "denies %s to %s%s; remove or narrow that statement", action, c.who, where)
}

// How near a statement comes to allowing an action. Of two that fail by their
// conditions, the one with fewer is nearer.
const (
	elsewhere = iota
	otherIssuer
	otherAction
	otherConditions
)

// nearest statement to allowing an action, and how near it comes. It is nil
// where no statement allows anything.
func (c check) nearest(action string) (best *judgement, nearness int) {
	js := c.judge(allow, action)
	for i := range js {
		j := &js[i]
		n := elsewhere
		switch {
		case j.principal != no && j.action == yes:
			n = otherConditions
		case j.principal != no:
			n = otherAction
		case j.action == yes && c.issuerOf(j.statement) != "":
			n = otherIssuer
		}
		if best == nil || n > nearness || n == nearness && len(j.failed) < len(best.failed) {
			best, nearness = j, n
		}
	}
	return best, nearness
}

// issuerOf a statement: an OIDC provider that it lets in, empty where there is
// none or where none is asked for.
func (c check) issuerOf(s *statement) string {
	if c.typ != typeFederated || s.Principal == nil {
		return ""
	}
	for _, v := range (*s.Principal)[typeFederated] {
		if strings.Contains(v, ":oidc-provider/") {
			return v
		}
	}
	return ""
}

// missing permission for an action: the statement that comes nearest says why.
func (c check) missing(action string) Finding {
	j, nearness := c.nearest(action)
	switch {
	case nearness == otherConditions:
		return c.failed(j)
	case action == tagSession:
		j, _ := c.nearest(assumeRole)
		return c.findingf(ReasonMissingTagSession, j.statement, "lets EKS Pod Identity assume it, and no statement allows it %s, without which the session tags that it sends are refused; add %s to the actions of %s", tagSession, tagSession, j.name)
	case nearness == otherAction:
		return c.findingf(ReasonMissingPrincipal, j.statement, "allows %s to %s, and not %s; add that action", some(j.actions()), c.wanted(), action)
	case nearness == otherIssuer:
		return c.findingf(ReasonWrongIssuer, j.statement, "trusts the OIDC provider %q, and the cluster's is %q; add a statement for that one", short(c.issuerOf(j.statement)), c.caller)
	}
	return Finding{ReasonMissingPrincipal, fmt.Sprintf("the trust policy of IAM role %q lets %s in, and not %s; add a statement that allows %s to that principal", c.role.ARN, some(c.principals()), c.wanted(), strings.Join(c.actions, " and "))}
}

// wanted principal.
func (c check) wanted() string { return fmt.Sprintf("%s %q", c.typ, c.caller) }

// actions that a statement names.
func (s *statement) actions() []string {
	if len(s.NotAction) > 0 {
		return []string{"all but " + some(s.NotAction)}
	}
	return s.Action
}

// principals that the policy lets in, by their type.
func (c check) principals() []string {
	var all []string
	for _, s := range c.Statement {
		if s.Effect != allow || s.Principal == nil {
			continue
		}
		for _, typ := range slices.Sorted(maps.Keys(*s.Principal)) {
			for _, v := range (*s.Principal)[typ] {
				all = append(all, typ+" "+v)
			}
		}
	}
	return all
}

// failed conditions of a statement: the one is told whose cause is the plainest.
func (c check) failed(j *judgement) Finding {
	worst := slices.MinFunc(j.failed, func(a, b condition) int { return cmp.Compare(c.cause(a), c.cause(b)) })
	switch c.cause(worst) {
	case byIssuer:
		return c.findingf(ReasonWrongIssuer, j.statement, "requires %s, a key of another OIDC issuer than the cluster's %q; use the keys of that one", describe(worst), c.who.OIDCIssuer)
	case byTags:
		return c.findingf(ReasonMissingTagSession, j.statement, "requires %s, and the pod identity association disables session tags, so that no request has any; remove the condition, or let the association send them", describe(worst))
	case byWildcard:
		return c.findingf(ReasonWildcardWithStringEquals, j.statement, "requires %s, and %s takes wildcards literally; use StringLike", describe(worst), short(worst.operator))
	case byAudience:
		return c.findingf(ReasonAudienceMismatch, j.statement, "requires %s, and the pods' tokens are for %q; correct the condition", describe(worst), audience)
	default:
		seen := "has no such key; add a statement without that condition"
		if f := c.fact(worst.key); f.known {
			seen = fmt.Sprintf("has %q; correct the condition, or add a statement for that value", f.value)
		} else if f.present == yes {
			seen = "has that key; add a statement without that condition"
		}
		return c.findingf(ReasonSubjectMismatch, j.statement, "requires %s, and the request for %s %s", describe(worst), c.who, seen)
	}
}

// Causes of a condition that fails, the plainest first.
const (
	byIssuer = iota
	byTags
	byWildcard
	bySubject
	byAudience
)

func (c check) cause(d condition) int {
	op, _ := operatorOf(d.operator)
	f, key := c.fact(d.key), strings.ToLower(d.key)
	_, claim, web := webIdentityKey(key)
	switch {
	case f.present == no && web && c.issuer != "" && op.compares != presence:
		return byIssuer
	case f.present == no && c.who.NoSessionTags && strings.HasPrefix(key, keyRequestTag):
		return byTags
	case op.literal() && c.meansWildcard(d, f):
		return byWildcard
	case web && claim == "aud":
		return byAudience
	default:
		return bySubject
	}
}

// meansWildcard says whether a condition would hold if its wildcards were any.
func (c check) meansWildcard(d condition, f fact) bool {
	return f.known && slices.ContainsFunc(d.values, func(v string) bool { return c.compare(like, v, f.value) == yes })
}

// unverifiable statement of an effect.
func (c check) unverifiable(effect, action string) Finding {
	js := c.judge(effect, action)
	j := &js[slices.IndexFunc(js, func(j judgement) bool { return j.applies == unknown })]
	what := "is about all but a principal"
	if j.principal != unknown {
		what = "depends on " + describe(j.open[0])
	}
	return c.findingf(ReasonUnverifiable, j.statement, "%s, which can't be decided from here; check in IAM that %s may assume the role", what, c.who)
}

// unscoped statement, which lets strangers in.
func (c check) unscoped() Finding {
	js := c.stranger.judge(allow, c.actions[0])
	s := js[slices.IndexFunc(js, func(j judgement) bool { return j.applies == yes })].statement
	if c.who.Mode != IRSA {
		return c.findingf(ReasonUnscoped, s, "lets everybody in by the principal %q; replace it with %s", wildcard, c.wanted())
	}
	_, issuer, _ := strings.Cut(c.caller, ":oidc-provider/")
	sub := issuer + ":sub"
	return c.findingf(ReasonUnscoped, s, "lets every service account of the cluster in; add the condition %s", describe(condition{"StringEquals", sub, list{c.fact(sub).value}}))
}

// describe a condition as its JSON reads.
func describe(d condition) string {
	return fmt.Sprintf("%s %q: %s", short(d.operator), short(d.key), some(quoted(d.values)))
}

func quoted(values []string) []string {
	q := make([]string, len(values))
	for i, v := range values {
		q[i] = strconv.Quote(v)
	}
	return q
}

// Lengths that can be read in a status.
const (
	someValues = 3
	shortText  = 200
)

// some of a list, and how many more there are.
func some(values []string) string {
	if len(values) == 0 {
		return "none"
	}
	shown := make([]string, min(len(values), someValues))
	for i := range shown {
		shown[i] = short(values[i])
	}
	text := strings.Join(shown, ", ")
	if more := len(values) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func short(s string) string {
	if len(s) <= shortText {
		return s
	}
	return strings.ToValidUTF8(s[:shortText], "") + "…"
}
