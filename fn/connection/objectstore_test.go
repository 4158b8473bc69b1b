package connection

import (
	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
	"github.com/serviceconnections/function-service-connections/fn/settings"
)

// A type of connection that isn't builtin, declared as those are. Its Go field is one
// of another type's, and its list that of the disks, since a test can't add fields to
// the claim or to the settings.
var objectStore = Type{
	Type: claim.Type{
		Name: "objectStore",
		Fields: []claim.Field{
			{Name: "bucket", Required: true, In: func(c *claim.Connection) any { return &c.IdentityName }, Label: true},
		},
	},
	Family: &storeFamily,
	Grants: []*GrantKind{&accessGrant},
	Expand: func(c Context) Expansion {
		bucket := c.Connection.IdentityName
		decision, _ := c.Settings.AllowsDisk(c.Claim.Namespace, bucket)
		key := c.key(accessGrant.Name, bucket)
		access := c.grant(managedResource{
			kind: accessKind, key: key, name: c.sharedName(key, accessGrant.Name),
			policies: manage, providerConfig: c.Settings.Kubernetes.ProviderConfigRef,
			forProvider: map[string]any{"bucket": bucket, "serviceAccount": c.ServiceAccount},
		})
		return Expansion{
			Decision: decision, Target: bucket, Identity: bucket, Grants: []Grant{access}, Published: true,
			Annotations: map[string]string{"store.example.org/bucket": bucket},
			Injection:   claim.Injection{Env: []claim.EnvVar{{Name: "BUCKET", Value: bucket}}},
			Verdict:     c.state(access),
		}
	},
	Route: func(d Drawn) Route {
		return Route{Credential: accessKind.namespaced.Kind, Steps: []Step{{Kind: "bucket", Name: d.IdentityName}}}
	},
}

var storeFamily = Family{Name: "store", Annotations: "store.example.org/", Keys: []string{"store.example.org/bucket"}}

var accessKind = newManagedKind("BucketAccess", "bucketaccesses", "store", "example.org", "v1", "v1")

var accessGrant = GrantKind{Name: "bucketaccess", Kinds: []managedKind{accessKind}, Target: func(s *settings.Settings, namespace string, o map[string]any) (string, settings.Decision) {
	bucket := decoded.Text(o, "spec", "forProvider", "bucket")
	d, _ := s.AllowsDisk(namespace, bucket)
	return bucket, d
}}

// WithObjectStore are the builtin types and this one.
func WithObjectStore() *Catalog { return NewCatalog(append(builtin.types, &objectStore)...) }
