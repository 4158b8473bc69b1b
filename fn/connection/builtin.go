package connection

import (
	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/settings"
)

// The families of the builtin types.
var (
	FamilyAWS    = &awsFamily
	FamilyAzure  = &azureFamily
	FamilyGoogle = &googleFamily
)

// DiskPrefix begins the composed resource key of a disk.
const DiskPrefix = "disk."

// Expand a connection of a builtin type.
func Expand(c Context) Expansion { return builtin.Expand(c) }

// GrantedBy a composed resource, of a builtin type.
func GrantedBy(s *settings.Settings, namespace, key string, object map[string]any) (Granted, bool) {
	return builtin.GrantedBy(s, namespace, key, object)
}

// FamilyOf a builtin type.
func FamilyOf(t claim.ConnectionType) *Family { return builtin.FamilyOf(t) }

// AnnotationFamily of an annotation, of the builtin families.
func AnnotationFamily(key string) *Family { return builtin.AnnotationFamily(key) }

// Annotated is the decision over the identity that an annotation names.
func Annotated(s *settings.Settings, namespace string, f *Family, serviceAccount map[string]any) (settings.Decision, bool) {
	return f.Identified(s, namespace, serviceAccount)
}
