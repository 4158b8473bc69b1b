package connection

import (
	"cmp"
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// Hashes had 40 bits up to version 0.1, and those by which a created role's name tells
// whose it is had 32. What was composed then keeps its key and its names, in Kubernetes
// and in the clouds, for as long as it is observed under that key: another key would
// grant everything anew.
const (
	formerHashLength  = 10
	formerOwnerLength = 8
)

// Former is what an object would be called had it been composed when hashes had 40 bits:
// its key, and its name. Another claim may have it as that, and the two would be twins.
// Empty for what no other claim has.
type Former struct{ Key, Name string }

func formerHash(parts ...string) string { return digest(formerHashLength, parts...) }

func (c Context) formerKey(grant string, identity ...string) string {
	return c.ServiceAccount + "." + grant + "." + formerHash(identity...)
}

// formerly is what an object of a former key, which other claims may have, was called.
func (c Context) formerly(key, grant string) Former {
	return Former{Key: key, Name: objectName(c.ServiceAccount, "-"+grant+"-"+formerHash(key, c.Claim.Namespace))}
}

// keeps says whether an object is observed under a former key. A key of 40 bits proves
// little: a team can find two identities that have the same one, and by changing from one
// to the other in place leave the first granted for ever. So the object itself must not
// say that it stands for another.
func (c Context) keeps(formerKey string, stands func(object map[string]any) string, what string) bool {
	o := c.Observed.Object(formerKey)
	if o == nil {
		return false
	}
	is := stands(o)
	return is == "" || strings.EqualFold(is, what)
}

// lasting is the former key of a grant while an object is observed under it, and else the
// key that the grant gets today.
func (c Context) lasting(grant string, stands func(object map[string]any) string, what string, identity ...string) string {
	if former := c.formerKey(grant, identity...); c.keeps(former, stands, what) {
		return former
	}
	return c.key(grant, identity...)
}

// standsByName is what an observed object stands for whose external name the function
// chooses.
func standsByName(o map[string]any) string { return Annotation(o, externalName) }

// standsOn is what an observed object stands for by a field of its own.
func standsOn(field string) func(map[string]any) string {
	return func(o map[string]any) string { return decoded.Text(o, "spec", "forProvider", field) }
}

// Is says whether an object of the former name is of that grant, in a namespace. By its
// name alone, which has 40 bits of hash, it may be another ServiceAccount's.
func (f Former) Is(object map[string]any, namespace string) bool {
	if object == nil {
		return false
	}
	_, in := Name(object)
	in = cmp.Or(in, Label(object, claimNamespace))
	as := Annotation(object, resourceName)
	return (as == "" || as == f.Key) && (in == "" || in == namespace)
}

// claimNamespace is the label in which Crossplane keeps the namespace of the claim that a
// composed resource belongs to (crossplane, internal/xcrd/crd.go, LabelKeyClaimNamespace).
const claimNamespace = "crossplane.io/claim-namespace"
