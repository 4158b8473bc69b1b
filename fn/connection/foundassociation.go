package connection

import (
	"regexp"

	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// foundAssociation reads an association that EKS has for a ServiceAccount, to tell whose
// it is.
var foundAssociation = GrantKind{Name: "found", Kinds: []managedKind{associationKind}, Passing: true}

// associationHandOver: EKS gives an association its id, and nothing else finds it.
// terraform-provider-aws asks for each with another token, so asking again doesn't give
// the same one (internal/service/eks/pod_identity_association.go, ClientRequestToken).
//
// A role that isn't there, or doesn't let EKS in, gives nobody credentials, and neither
// does an association in a cluster that isn't there (EKS API reference,
// CreatePodIdentityAssociation).
var associationHandOver = handOver{
	existing: existingAssociation,
	finder:   &foundAssociation,
	by:       []string{"region", "clusterName"},
	proves:   isAssociationOf,
	restsOn:  associatedWith,
	void:     []string{"InvalidParameterException", "ResourceNotFoundException"},
}

// composedBy is the tag of an association that says which composite resource it was made
// for, by its UID.
const composedBy = "serviceconnections.io/composed-by"

// associationInTheWay matches what EKS says of the association that a ServiceAccount has.
var associationInTheWay = regexp.MustCompile(associationExists + `: Association already exists: (a-[0-9a-z]+)`)

// existingAssociation is the id of the other association, while the provider knows none
// of its own: it would go on with that.
func existingAssociation(object map[string]any) string {
	if associationID(object) != "" {
		return ""
	}
	return saidExisting(object)
}

// saidExisting is the id of the other association, which EKS says.
func saidExisting(object map[string]any) string {
	if said := associationInTheWay.FindStringSubmatch(providerError(object)); said != nil {
		return said[1]
	}
	return ""
}

// isAssociationOf says whether an association that was read is the one of an object.
func isAssociationOf(found, object map[string]any, uid string) bool {
	for _, field := range []string{"clusterName", "namespace", "serviceAccount"} {
		if is := decoded.Text(found, "status", "atProvider", field); is == "" || is != decoded.Text(object, "spec", "forProvider", field) {
			return false
		}
	}
	return associationID(found) == Annotation(found, externalName) && decoded.Text(found, "status", "atProvider", "tagsAll", composedBy) == uid
}

// associatedWith says whether an association gives a created role.
func associatedWith(association, role map[string]any) bool {
	return roleKind.is(role) && Deletes(role) && Annotation(role, externalName) == parseRoleARN(decoded.Text(association, "spec", "forProvider", "roleArn")).name
}

// composedBy is what the tag of an association says. One that there is keeps what it has:
// its id is known, so nobody must look for it, and an upgrade or a restore changes nothing
// in the cloud.
func (c Context) composedBy(key string) string {
	o := c.Observed.Object(key)
	if Available(o) || associationID(o) != "" || Annotation(o, externalName) != "" {
		return decoded.Text(o, "spec", "forProvider", "tags", composedBy)
	}
	return c.Claim.UID
}
