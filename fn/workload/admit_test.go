package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

// TestAdmitIsInject holds that a pod which is admitted has what a pipeline's template
// would have, but for the record by which that can be undone, and for whose it is.
func TestAdmitIsInject(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pod, in := drawInjectable(t)
		if Injected(pod) {
			t.SkipNow()
		}
		before := copyOf(pod)
		got, conflicts := Admit(pod, in, "shop", service)
		if len(conflicts) > 0 {
			t.Fatalf("conflicts %v", conflicts)
		}
		if diff := cmp.Diff(before, pod); diff != "" {
			t.Fatalf("the pod that was given has changed: -before +after:\n%s", diff)
		}
		want := injectedInto(pod, in)
		annotations := decoded.Object(want, "metadata", "annotations")
		delete(annotations, annotationInjected)
		annotations[AnnotationInjectedBy] = "shop"
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-template +admitted:\n%s", diff)
		}
	})
}

func TestSettled(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		reason      string
		annotations map[string]string
		want        bool
	}{
		"Plain":      {"It has nothing yet.", map[string]string{"team": "a"}, false},
		"Admitted":   {"It is one claim's.", map[string]string{AnnotationInjectedBy: "shop"}, true},
		"Rendered":   {"Its template has an injection.", map[string]string{AnnotationInjection: ""}, true},
		"RecordOnly": {"A record is about a template, and tells nothing of a pod.", map[string]string{annotationInjected: "{}"}, false},
	} {
		if got := Settled(tc.annotations); got != tc.want {
			t.Errorf("%s: %s: got %t", name, tc.reason, got)
		}
	}
}
