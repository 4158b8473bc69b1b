package connection

import (
	"slices"
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/settings"
)

// Granted is an observed composed resource of ours, as its key and its own spec
// tell it, whatever the claim says now.
type Granted struct {
	// Key of the composed resource.
	Key string

	// ServiceAccount that the object is for, empty for a disk.
	ServiceAccount string

	// Family of identities that the object grants or observes, empty for
	// others.
	Family Family

	// Identity says that the object grants an identity, Target which one, and
	// Decision what the cluster's allow-list says of it.
	Identity bool
	Target   string
	Decision settings.Decision

	// PartOf is the IAM name of the role that the object is a part of, empty for
	// all else.
	PartOf string

	// Data says that the object holds a user's data.
	Data bool

	// Types of connections that may need the object. None: the service itself
	// does.
	Types []claim.ConnectionType
}

// A grantKind is a kind of composed resource, by the grant in its key.
type grantKind struct {
	kind   managedKind
	family Family
	types  []claim.ConnectionType

	// granted says what an object grants by its own spec. Nil where it grants
	// no identity.
	granted func(s *settings.Settings, namespace string, object map[string]any) (string, settings.Decision)
}

var grantKinds = map[string]grantKind{
	"serviceaccount":      {kind: managedKind{namespaced: serviceAccountKind, cluster: serviceAccountKind}},
	"role":                {kind: roleKind, family: FamilyAWS, types: []claim.ConnectionType{claim.TypeAWSRole}},
	"association":         {kind: associationKind, family: FamilyAWS, types: []claim.ConnectionType{claim.TypeAWSRole}, granted: grantedRole},
	ownedRoleGrant:        {kind: roleKind, family: FamilyAWS, types: []claim.ConnectionType{claim.TypeAWSRole}, granted: grantedOwnedRole},
	policyGrant:           {kind: policyKind, family: FamilyAWS, types: []claim.ConnectionType{claim.TypeAWSRole}, granted: grantedPolicy},
	attachmentGrant:       {kind: attachmentKind, family: FamilyAWS, types: []claim.ConnectionType{claim.TypeAWSRole}, granted: grantedAttachment},
	policyAttachmentGrant: {kind: attachmentKind, family: FamilyAWS, types: []claim.ConnectionType{claim.TypeAWSRole}, granted: grantedPolicy},
	"identity":            {kind: identityKind, family: FamilyAzure, types: []claim.ConnectionType{claim.TypeAzureManagedIdentity}},
	"credential":          {kind: credentialKind, family: FamilyAzure, types: []claim.ConnectionType{claim.TypeAzureManagedIdentity}, granted: grantedIdentity},
	"member":              {kind: memberKind, family: FamilyGoogle, types: []claim.ConnectionType{claim.TypeCloudSQL, claim.TypeGCPServiceAccount}, granted: grantedGoogleAccount},
}

func grantedRole(s *settings.Settings, namespace string, o map[string]any) (string, settings.Decision) {
	arn, target := text(o, "spec", "forProvider", "roleArn"), text(o, "spec", "forProvider", "targetRoleArn")
	return AWSTarget(arn, target), AllowsAWS(s, namespace, text(o, "spec", "forProvider", "serviceAccount"), arn, target)
}

func grantedIdentity(s *settings.Settings, namespace string, o map[string]any) (string, settings.Decision) {
	id := text(o, "spec", "forProvider", "parentId")
	return strings.ToLower(id), AllowsAzure(s, namespace, id)
}

func grantedGoogleAccount(s *settings.Settings, namespace string, o map[string]any) (string, settings.Decision) {
	id := text(o, "spec", "forProvider", "serviceAccountId")
	email := id[strings.LastIndexByte(id, '/')+1:]
	return email, s.AllowsGoogleServiceAccount(namespace, email)
}

// GrantedBy tells an observed composed resource of ours from those of other
// pipeline steps, by its key and kind.
func GrantedBy(s *settings.Settings, namespace, key string, object map[string]any) (Granted, bool) {
	if strings.HasPrefix(key, DiskPrefix) && (volumeClaimKind.is(object) || objectKind.is(object)) {
		return Granted{Key: key, Data: true, Types: []claim.ConnectionType{claim.TypeDisk}}, true
	}
	parts := strings.Split(key, ".")
	n := len(parts) - 1
	if n > 0 && parts[n] != "serviceaccount" {
		// The last part is the hash.
		n--
	}
	if n < 1 {
		return Granted{}, false
	}
	grant := parts[n]
	if strings.HasPrefix(grant, attachmentGrant+"-") {
		// The policy's name follows.
		grant = attachmentGrant
	}
	gk, ok := grantKinds[grant]
	if !ok || !gk.kind.is(object) {
		return Granted{}, false
	}
	g := Granted{Key: key, ServiceAccount: strings.Join(parts[:n], "."), Family: gk.family, PartOf: partOf(object), Types: gk.types}
	if gk.granted != nil {
		g.Identity = true
		g.Target, g.Decision = gk.granted(s, namespace, object)
	}
	return g, true
}

// NeededBy is the annotation of a composed resource that says who needs it, as
// service/type, comma separated; a ServiceAccount's has services only.
const NeededBy = "serviceconnections.io/needed-by"

// A Need is one connection that needs a composed resource. An empty type is the
// service itself.
type Need struct {
	Service string
	Type    claim.ConnectionType
}

// Needs of an observed composed resource. None: it doesn't say.
func Needs(object map[string]any) []Need {
	var needs []Need
	for s := range strings.SplitSeq(Annotation(object, NeededBy), ",") {
		service, typ, _ := strings.Cut(s, "/")
		if service != "" {
			needs = append(needs, Need{Service: service, Type: claim.ConnectionType(typ)})
		}
	}
	return needs
}

// SetNeeds on an object that is composed.
func SetNeeds(object map[string]any, needs []Need) {
	words := make([]string, len(needs))
	for i, n := range needs {
		words[i] = n.Service
		if n.Type != "" {
			words[i] += "/" + string(n.Type)
		}
	}
	slices.Sort(words)
	metadata, _ := object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	if annotations == nil {
		annotations = map[string]any{}
		metadata["annotations"] = annotations
	}
	annotations[NeededBy] = strings.Join(slices.Compact(words), ",")
}
