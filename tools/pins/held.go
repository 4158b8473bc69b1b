package main

import (
	"path"
	"slices"
)

// A hold keeps a version that isn't the newest.
type hold struct {
	// what is held, with * for part of a path. One * alone is everything.
	what string

	// in which folders. None: in all.
	in []string

	reason string
}

// ours are the modules that import the function's own, and so take its versions.
var ours = []string{".", "test/bench", "test/e2e", "test/providers"}

// holds, of which the first that fits counts. A test finds those that hold nothing.
var holds = []hold{
	{"*", []string{"tools/kubernetes-1.34"}, "the oldest Kubernetes that is tested"},
	{"k8s.io/*", []string{"test/oldest"}, "the oldest Kubernetes that manifests are for"},
	{"github.com/crossplane/function-sdk-go", nil, "v0.7 takes crossplane-runtime v2.3, which lacks what provider-azure v2.6 imports"},
	{"github.com/crossplane/crossplane-runtime/v2", []string{".", "test/providers"}, "v2.3 lacks what provider-azure v2.6 imports"},
	{"k8s.io/*", ours, "of the minor version that crossplane-runtime v2.2 and provider-azure v2.6 take"},
	{"sigs.k8s.io/controller-runtime", ours, "of the version that goes with those of Kubernetes"},
	{"sigs.k8s.io/kustomize/*", ours, "of the version that cli-runtime takes"},
	{"sigs.k8s.io/structured-merge-diff/*", ours, "of the version that apimachinery takes"},
	{"github.com/prometheus/prometheus", []string{"test/monitoring"}, "later ones need newer versions of what it shares with the other modules"},
	{"github.com/prometheus-operator/*/*/*/*", []string{"test/monitoring"}, "later ones need newer versions of what it shares with the other modules"},
	{"github.com/hashicorp/terraform-plugin-*", []string{"test/providers"}, "of the version that upjet takes"},
	{"github.com/hashicorp/terraform-plugin-sdk/*", []string{"test/providers"}, "of the version that upjet takes"},
}

// held says why a pin is, empty where it isn't.
func held(p pin) string {
	for _, h := range holds {
		if h.fits(p) {
			return h.reason
		}
	}
	return ""
}

func (h hold) fits(p pin) bool {
	if len(h.in) > 0 && !slices.ContainsFunc(p.in, func(f string) bool { return slices.Contains(h.in, f) }) {
		return false
	}
	ok, _ := path.Match(h.what, p.what)
	return ok || h.what == "*"
}
