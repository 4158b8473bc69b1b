package workload

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/fn/decoded"
)

var service = claim.Service{Name: "api", Workload: &claim.Workload{APIVersion: "apps/v1", Kind: "Deployment", Name: "api"}}

// copyOf a template.
func copyOf(template map[string]any) map[string]any {
	return decoded.Clone(template)
}

// injectedInto a copy of the template.
func injectedInto(template map[string]any, in claim.Injection) map[string]any {
	c := copyOf(template)
	Inject(c, in)
	return c
}

// drawInjectable is a template and an injection without conflict.
func drawInjectable(t *rapid.T) (map[string]any, claim.Injection) {
	template, in := drawTemplate(t), drawInjection(t)
	if len(Inspect(template, in, service)) > 0 {
		t.SkipNow()
	}
	return template, in
}

func TestInjectingTwiceEqualsOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		template, in := drawInjectable(t)
		once := injectedInto(template, in)
		if diff := cmp.Diff(once, injectedInto(once, in)); diff != "" {
			t.Fatalf("-once +twice:\n%s", diff)
		}
		if diff := cmp.Diff(once, injectedInto(template, in)); diff != "" {
			t.Fatalf("the same input gives another output, -first +second:\n%s", diff)
		}
	})
}

func TestInjectedTemplateHasNoConflict(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		template, in := drawInjectable(t)
		before := injectedInto(template, in)
		if c := Inspect(before, in, service); len(c) > 0 {
			t.Fatalf("conflicts: %v", c)
		}
		if diff := cmp.Diff(injectedInto(template, in), before); diff != "" {
			t.Fatalf("Inspect changes the template:\n%s", diff)
		}
	})
}

func TestRemoveUndoesInject(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		template, in := drawInjectable(t)
		got := injectedInto(template, in)
		Remove(got)
		if diff := cmp.Diff(template, got); diff != "" {
			t.Fatalf("-before +after:\n%s", diff)
		}
	})
}

func TestOlderInjectionLeavesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		template, older := drawInjectable(t)
		newer := drawInjection(t)
		injected := injectedInto(template, older)
		if diff := cmp.Diff(Inspect(template, newer, service), Inspect(injected, newer, service)); diff != "" {
			t.Fatalf("an older injection makes other conflicts:\n%s", diff)
		}
		if len(Inspect(template, newer, service)) > 0 {
			t.SkipNow()
		}
		if diff := cmp.Diff(injectedInto(template, newer), injectedInto(injected, newer)); diff != "" {
			t.Fatalf("-never injected +injected before:\n%s", diff)
		}
	})
}

// TestTheirsStays: every value of the template is still there, at its place or
// in its order, but for a service account that was default.
func TestTheirsStays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		template, in := drawInjectable(t)
		got := injectedInto(template, in)
		if sa := decoded.Text(decoded.Object(template, "spec"), "serviceAccountName"); sa == "" || sa == "default" {
			delete(decoded.Object(template, "spec"), "serviceAccountName")
			delete(decoded.Object(template, "spec"), "serviceAccount")
		}
		if why := lost("", template, got); why != "" {
			t.Fatalf("%s\ntemplate %v\ninjected %v", why, template, got)
		}
	})
}

// lost is the first value of before that after hasn't. A list must hold the
// values of before in their order; more may be between.
func lost(path string, before, after any) string {
	switch b := before.(type) {
	case map[string]any:
		a, _ := after.(map[string]any)
		for k, v := range b {
			if why := lost(path+"."+k, v, a[k]); why != "" {
				return why
			}
		}
		return ""
	case []any:
		a, _ := after.([]any)
		for _, v := range b {
			for len(a) > 0 && lost(path, v, a[0]) != "" {
				a = a[1:]
			}
			if len(a) == 0 {
				return path + " has lost an entry, or its order"
			}
			a = a[1:]
		}
		return ""
	default:
		if before != after {
			return path + " has changed"
		}
		return ""
	}
}

func TestOrderOfConnectionsChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.Permutation([]claim.Injection{injections()[0], injections()[2], injections()[3], injections()[5]}).Draw(t, "order")
		got, err := Merge(append(parts, parts...)...)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Merge(injections()[0], injections()[2], injections()[3], injections()[5])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
		if Hash(want, nil) != Hash(got, map[string]string{}) {
			t.Fatal("equal injections have unequal hashes")
		}
	})
}

// TestOneVolumeOfAClaim holds that no pod gets a second volume of a PersistentVolumeClaim,
// and that what it may write it can.
func TestOneVolumeOfAClaim(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		template, in := drawInjectable(t)
		of := func(template map[string]any) (n int) {
			for _, v := range decoded.Objects(template, "spec", "volumes") {
				if decoded.Text(v, "persistentVolumeClaim", "claimName") == "cache" {
					n++
				}
			}
			return n
		}
		injected := injectedInto(template, in)
		spec := decoded.Object(injected, "spec")
		if was, is := of(template), of(injected); is > max(1, was) {
			t.Fatalf("a pod with %d volumes of the claim gets %d in all: %v", was, is, spec["volumes"])
		}
		for i, c := range decoded.Objects(spec, "containers") {
			own := decoded.Objects(decoded.Objects(template, "spec", "containers")[i], "volumeMounts")
			for _, mounted := range decoded.Objects(c, "volumeMounts")[len(own):] {
				by := decoded.Find(decoded.Objects(spec, "volumes"), "name", decoded.Text(mounted, "name"))
				if by == nil {
					t.Fatalf("the mount at %s is of volume %v, which the pod hasn't got: %v", mounted["mountPath"], mounted["name"], spec["volumes"])
				}
				// Of a volume that has the very name of the disk's, a pod may ask for less.
				named := decoded.Find(decoded.Objects(template, "spec", "volumes"), "name", decoded.Text(by, "name")) != nil &&
					slices.ContainsFunc(in.Volumes, func(v claim.Volume) bool { return v.Name == by["name"] })
				if decoded.At(by, "persistentVolumeClaim", "readOnly") == true && mounted["readOnly"] != true && !named {
					t.Fatalf("the disk at %s is for writing, and its volume isn't: %v", mounted["mountPath"], by)
				}
			}
		}
	})
}
