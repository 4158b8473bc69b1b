package connection

import (
	"slices"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
	"github.com/serviceconnections/function-service-connections/fn/settings"
)

// sessionTags says where an association has the field that leaves out the tags of its
// sessions: cluster, namespace, ServiceAccount and pod (EKS API reference,
// CreatePodIdentityAssociation, disableSessionTags).
var sessionTags = []string{"spec", "forProvider", "disableSessionTags"}

// taggedWhereCreated: without tags, the trust policy of a created role lets nobody in.
var taggedWhereCreated = claim.Rule{
	Field: "disableSessionTags",
	Rule:  `!has(self.create) || !has(self.disableSessionTags) || !self.disableSessionTags`,
	Holds: func(c *claim.Connection) bool {
		return c.Create == nil || c.DisableSessionTags == nil || !*c.DisableSessionTags
	},
	Message: "must not be true where the role is created, whose trust policy knows the ServiceAccount by the session tags; leave it out, or leave create out to use a role that exists",
}

// untagged says whether the sessions of the connection have no tags, as is asked for or,
// where nothing is, as somebody else has set it on the association. A field of our own
// goes where it isn't asked for any more, and the provider then sends the tags again
// (terraform-provider-aws, internal/service/eks/pod_identity_association.go, default).
func (c Context) untagged() bool {
	switch asked := c.Connection.DisableSessionTags; {
	case c.Settings.AWS.Mode != settings.ModePodIdentity:
		return false
	case asked != nil:
		return *asked
	}
	set, ours := c.observedUntagged(c.associationKey())
	return set && !ours
}

// observedUntagged says whether an observed association has the field, and whether
// Crossplane has applied it.
func (c Context) observedUntagged(key string) (set, ours bool) {
	o := c.Observed.Composed[key]
	set, there := decoded.At(o.Object, sessionTags...).(bool)
	if !there || o.ManagedFields == nil {
		return set, false
	}
	ours = slices.ContainsFunc(o.ManagedFields(), func(v any) bool {
		entry, _ := v.(map[string]any)
		return Applied(entry) && decoded.At(entry, "fieldsV1", "f:spec", "f:forProvider", "f:disableSessionTags") != nil
	})
	return set, ours
}

// formerTags are asked for as they are now: a role that doesn't work without them, or
// with them, keeps what works.
func (c Context) formerTags() *bool {
	set, ours := c.observedUntagged(c.associationKey())
	if !ours {
		return nil
	}
	return &set
}

// tagsChange says that EKS still sends session tags, or none, and is told otherwise.
func (c Context) tagsChange(association Grant) Verdict {
	asked, composed := decoded.At(association.Object, sessionTags...).(bool)
	if !composed {
		set, ours := c.observedUntagged(association.Key)
		asked = set && !ours
	}
	without, known := decoded.At(c.Observed.Object(association.Key), "status", "atProvider", "disableSessionTags").(bool)
	switch {
	case !known || without == asked:
		return Verdict{}
	case without:
		return Verdictf(Creating, "PodIdentityAssociation %q still leaves out session tags, and is being changed to send them", decoded.Text(association.Object, "metadata", "name"))
	default:
		return Verdictf(Creating, "PodIdentityAssociation %q still sends session tags, and is being changed to leave them out", decoded.Text(association.Object, "metadata", "name"))
	}
}
