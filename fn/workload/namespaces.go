package workload

import "slices"

// excluded namespaces have the control plane's own pods, which start whatever is the
// matter with a policy of ours.
var excluded = []string{"kube-system", "crossplane-system"}

// ExcludedNamespaces are those whose pods the admission policies in package/cluster
// leave as they are.
func ExcludedNamespaces() []string { return slices.Clone(excluded) }

// Excludes says whether the admission policies leave the pods of a namespace as they
// are.
func Excludes(namespace string) bool { return slices.Contains(excluded, namespace) }
