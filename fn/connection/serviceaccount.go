package connection

import (
	"maps"
	"slices"
	"strings"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/settings"
)

var serviceAccountKind = Kind{APIVersion: "v1", Kind: "ServiceAccount"}

const serviceAccountGrant = ".serviceaccount"

// ServiceAccountKey is the composed resource key of a ServiceAccount. It holds
// no hash, because a ServiceAccount is never superseded.
func ServiceAccountKey(name string) string { return name + serviceAccountGrant }

// ServiceAccount composes a service's ServiceAccount.
func ServiceAccount(namespace, name string, annotations map[string]string) Grant {
	metadata := map[string]any{"name": name, "namespace": namespace}
	if len(annotations) > 0 {
		as := make(map[string]any, len(annotations))
		for k, v := range annotations {
			as[k] = v
		}
		metadata["annotations"] = as
	}
	return Grant{Key: ServiceAccountKey(name), Kind: serviceAccountKind, Object: map[string]any{
		"apiVersion": serviceAccountKind.APIVersion,
		"kind":       serviceAccountKind.Kind,
		"metadata":   metadata,
	}}
}

// IsServiceAccount says whether an object is one.
func IsServiceAccount(object map[string]any) bool { return serviceAccountKind.is(object) }

// observedServiceAccount is the service's ServiceAccount, composed or not.
func (c Context) observedServiceAccount() map[string]any {
	if o := c.Observed.Object(ServiceAccountKey(c.ServiceAccount)); o != nil {
		return o
	}
	o, _ := c.Observed.Lookup(ServiceAccountRequirement(c.Claim.Namespace, c.ServiceAccount))
	return o
}

// NotAnnotated says which annotations an existing ServiceAccount lacks, with
// the command that sets them.
func NotAnnotated(serviceAccount map[string]any, namespace, name string, want map[string]string) Verdict {
	var missing []string
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if Annotation(serviceAccount, k) != want[k] {
			missing = append(missing, k+"="+want[k])
		}
	}
	if len(missing) == 0 {
		return Verdict{}
	}
	return Verdictf(ServiceAccountNotAnnotated, "ServiceAccount %q in namespace %q lacks annotations; run: kubectl -n %s annotate serviceaccount %s --overwrite %s", name, namespace, namespace, name, strings.Join(missing, " "))
}

// AnnotationFamily of an annotation that grants an identity, empty for all
// others.
func AnnotationFamily(key string) Family {
	switch {
	case strings.HasPrefix(key, "eks.amazonaws.com/"):
		return FamilyAWS
	case strings.HasPrefix(key, "azure.workload.identity/"):
		return FamilyAzure
	case strings.HasPrefix(key, "iam.gke.io/"):
		return FamilyGoogle
	default:
		return ""
	}
}

// FamilyOf a connection type, empty for one that grants no identity.
func FamilyOf(t claim.ConnectionType) Family {
	switch t {
	case claim.TypeAWSRole:
		return FamilyAWS
	case claim.TypeAzureManagedIdentity:
		return FamilyAzure
	case claim.TypeCloudSQL, claim.TypeGCPServiceAccount:
		return FamilyGoogle
	case claim.TypeDisk:
	}
	return ""
}

// Annotated is the allow-list's decision over the identity that an annotation of
// a ServiceAccount names. It is false where none does, and for Azure, where a
// client id tells no identity.
func Annotated(s *settings.Settings, namespace string, f Family, serviceAccount map[string]any) (settings.Decision, bool) {
	role, account := Annotation(serviceAccount, annotationRoleARN), Annotation(serviceAccount, annotationGoogleAccount)
	switch {
	case f == FamilyAWS && role != "":
		return AllowsAWS(s, namespace, text(serviceAccount, "metadata", "name"), role, ""), true
	case f == FamilyGoogle && account != "":
		return s.AllowsGoogleServiceAccount(namespace, account), true
	default:
		return settings.Absent, false
	}
}
