package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/test/modules"
)

// TestSameResources holds that what is measured side by side is the same work.
func TestSameResources(t *testing.T) {
	t.Parallel()

	root, err := modules.Root()
	if err != nil {
		t.Fatal(err)
	}
	e, err := readExample(root, measured)
	if err != nil {
		t.Fatal(err)
	}
	ps, err := startPeers(t.Context(), root, t.TempDir(), e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ps.Stop)

	ours, theirs := composedBy(t, ps.ours), composedBy(t, ps.theirs)
	if len(ours) < 6 {
		t.Errorf("%d composed resources, want six at least, or the example shows too little", len(ours))
	}
	if diff := cmp.Diff(ours, theirs); diff != "" {
		t.Errorf("composed resources: -ours, +function-patch-and-transform:\n%s", diff)
	}
}

// hashed is a name that ends in a hash, which patches can't make.
var hashed = regexp.MustCompile(`-[0-9a-f]{16}$`)

// A composedResource as a function desires it.
type composedResource struct {
	Object map[string]any
	Ready  fnv1.Ready
}

// namedByCloud are the kinds whose names the cloud gives. This function writes what the provider
// reports of them; a patch would need a field of the composite resource for each.
var namedByCloud = map[string]bool{"PodIdentityAssociation": true, "ServiceAccountIAMMember": true}

// composedBy a peer, by kind, without what differs on purpose: the hashes in
// names, the names that clouds give, and the annotation that says which connections
// need a resource.
func composedBy(t *testing.T, p *peer) map[string]composedResource {
	t.Helper()
	rsp, err := p.run(t.Context(), p.request)
	if err != nil {
		t.Fatal(err)
	}
	composed := map[string]composedResource{}
	for _, r := range rsp.GetDesired().GetResources() {
		o := r.GetResource().AsMap()
		metadata := o["metadata"].(map[string]any)
		metadata["name"] = hashed.ReplaceAllString(metadata["name"].(string), "")
		if annotations, ok := metadata["annotations"].(map[string]any); ok {
			delete(annotations, "serviceconnections.io/needed-by")
			if namedByCloud[o["kind"].(string)] {
				delete(annotations, "crossplane.io/external-name")
			}
			if name, ok := annotations["crossplane.io/external-name"].(string); ok {
				annotations["crossplane.io/external-name"] = hashed.ReplaceAllString(name, "")
			}
			if len(annotations) == 0 {
				delete(metadata, "annotations")
			}
		}
		composed[o["kind"].(string)] = composedResource{o, r.GetReady()}
	}
	return composed
}

// TestMeasure runs the whole benchmark for a moment, so that it works on the day
// that somebody needs it. What it measures so is of no use.
func TestMeasure(t *testing.T) {
	t.Parallel()

	root, err := modules.Root()
	if err != nil {
		t.Fatal(err)
	}
	var report bytes.Buffer
	f := &Flags{Rounds: 1, While: 20 * time.Millisecond, Benchtime: "1x"}
	if err := f.measure(t.Context(), root, &report); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"|  | function-service-connections | function-patch-and-transform | floor |\n",
		"\n| calls a second, 16 clients | ",
		"\n| allocations a call in process | ",
		"\n| 100 | ",
	} {
		if !strings.Contains(report.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, &report)
		}
	}
	if strings.Contains(report.String(), "NaN") || strings.Contains(report.String(), "Inf") {
		t.Errorf("the report has a number that is none:\n%s", &report)
	}
}
