package connection

import (
	"maps"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"
)

var serviceAccountKind = Kind{APIVersion: "v1", Kind: "ServiceAccount"}

// serviceAccountGrant is what a service needs by itself, whatever its connections.
var serviceAccountGrant = GrantKind{Name: "serviceaccount", Kinds: []managedKind{{namespaced: serviceAccountKind, cluster: serviceAccountKind}}}

// ServiceAccountKey is the composed resource key of a ServiceAccount. It holds
// no hash, because a ServiceAccount is never superseded.
func ServiceAccountKey(name string) string { return name + "." + serviceAccountGrant.Name }

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
			// What is asked for may be anything that a name may hold.
			missing = append(missing, k+"="+shellescape.Quote(want[k]))
		}
	}
	if len(missing) == 0 {
		return Verdict{}
	}
	return Verdictf(ServiceAccountNotAnnotated, "ServiceAccount %q in namespace %q lacks annotations; run: kubectl -n %s annotate serviceaccount %s --overwrite %s", name, namespace, namespace, name, strings.Join(missing, " "))
}
