package workload

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// Names are few, so that templates and injections often use the same ones.
var (
	genName  = rapid.SampledFrom([]string{"a", "b", "sc-disk", "aws-iam-token", "app"})
	genKey   = rapid.SampledFrom([]string{"AWS_REGION", "DB_HOST", "A", "B", "C"})
	genPath  = rapid.SampledFrom([]string{"/data", "/token", "/a/b", "/c"})
	genValue = rapid.SampledFrom([]string{"1", "2", ""})
)

// distinct values of a generator, as JSON lists are keyed.
func distinct(g *rapid.Generator[string]) *rapid.Generator[[]string] {
	return rapid.SliceOfNDistinct(g, 0, 3, rapid.ID[string])
}

var genContainer = rapid.Custom(func(t *rapid.T) map[string]any {
	c := map[string]any{}
	if env := distinct(genKey).Draw(t, "env"); len(env) > 0 {
		for _, e := range env {
			appendTo(c, "env", map[string]any{"name": e, "value": genValue.Draw(t, "value")})
		}
	}
	for _, p := range distinct(genPath).Draw(t, "paths") {
		appendTo(c, "volumeMounts", map[string]any{"name": genName.Draw(t, "volume"), "mountPath": p})
	}
	if rapid.Bool().Draw(t, "envFrom") {
		appendTo(c, "envFrom", map[string]any{"configMapRef": map[string]any{"name": "c"}})
	}
	if rapid.Bool().Draw(t, "ports") {
		appendTo(c, "ports", map[string]any{"containerPort": rapid.SampledFrom([]float64{80, 5432, 9801}).Draw(t, "port")})
	}
	return c
})

// genTemplate makes what an API server would accept, without empty maps and
// lists, which mean what their absence means.
var genTemplate = rapid.Custom(func(t *rapid.T) map[string]any {
	spec := map[string]any{}
	template := map[string]any{"spec": spec}
	for _, field := range []string{"serviceAccountName", "serviceAccount"} {
		if sa := rapid.SampledFrom([]string{"", "default", "api", "own"}).Draw(t, field); sa != "" {
			spec[field] = sa
		}
	}
	for _, field := range []string{"labels", "annotations"} {
		if m := rapid.MapOfN(rapid.SampledFrom([]string{"k", "l", "m"}), genValue, 0, 2).Draw(t, field); len(m) > 0 {
			meta := ensure(ensure(template, "metadata"), field)
			for k, v := range m {
				meta[k] = v
			}
		}
	}
	for _, v := range distinct(genName).Draw(t, "volumes") {
		appendTo(spec, "volumes", map[string]any{"name": v, "emptyDir": map[string]any{}})
	}
	for i, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"app", "web", "log", "migrate", "sc-cloud-sql-proxy"}), 1, 4, rapid.ID[string]).Draw(t, "containers") {
		c := genContainer.Draw(t, name)
		c["name"] = name
		if i > 0 && rapid.Bool().Draw(t, "init") {
			appendTo(spec, "initContainers", c)
		} else {
			appendTo(spec, "containers", c)
		}
	}
	if rapid.Bool().Draw(t, "fsGroup") {
		spec["securityContext"] = map[string]any{"fsGroup": float64(1)}
	}
	return template
})

var genInjection = rapid.Custom(func(t *rapid.T) claim.Injection {
	in := claim.Injection{
		Hash:               rapid.StringMatching("[0-9a-f]{16}").Draw(t, "hash"),
		ServiceAccountName: rapid.SampledFrom([]string{"", "api"}).Draw(t, "serviceAccountName"),
		Containers:         rapid.SampledFrom([][]string{nil, {"app"}}).Draw(t, "containers"),
		Labels:             rapid.MapOfN(rapid.SampledFrom([]string{"k", "azure"}), genValue, 0, 2).Draw(t, "labels"),
		Annotations:        rapid.MapOfN(rapid.SampledFrom([]string{"k", "other"}), genValue, 0, 2).Draw(t, "annotations"),
	}
	for _, k := range distinct(genKey).Draw(t, "env") {
		in.Env = append(in.Env, claim.EnvVar{Name: k, Value: genValue.Draw(t, "value")})
	}
	for _, n := range distinct(genName).Draw(t, "volumes") {
		in.Volumes = append(in.Volumes, claim.Volume{Name: n, PersistentVolumeClaim: &claim.PersistentVolumeClaimVolume{ClaimName: genName.Draw(t, "claim")}})
	}
	for _, p := range distinct(genPath).Draw(t, "paths") {
		in.VolumeMounts = append(in.VolumeMounts, claim.VolumeMount{Name: genName.Draw(t, "volume"), MountPath: p, ReadOnly: rapid.Bool().Draw(t, "readOnly")})
	}
	if rapid.Bool().Draw(t, "sidecar") {
		in.InitContainers = []claim.Sidecar{proxy()}
	}
	if rapid.Bool().Draw(t, "fsGroup") {
		in.FSGroup = pointer[int64](2000)
	}
	return in
})

func injected(template map[string]any, injection claim.Injection) map[string]any {
	c, _ := clone(template).(map[string]any)
	Inject(c, injection)
	return c
}

// kept says what of a value that the user wrote is missing in another one. Maps
// may have gained keys, and lists entries, but what was there is there, unchanged
// and in its order.
func kept(path string, before, after any) []string {
	switch b := before.(type) {
	case map[string]any:
		a, ok := after.(map[string]any)
		if !ok {
			return []string{path}
		}
		var lost []string
		for k, v := range b {
			lost = append(lost, kept(path+"."+k, v, a[k])...)
		}
		return lost
	case []any:
		a, _ := after.([]any)
		for i, v := range b {
			next := slices.IndexFunc(a, func(e any) bool { return len(kept(path, v, e)) == 0 })
			if next < 0 {
				return []string{fmt.Sprintf("%s[%d]", path, i)}
			}
			a = a[next+1:]
		}
		return nil
	default:
		if before != after {
			return []string{path}
		}
		return nil
	}
}

func TestPropertiesOfInject(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		template, first, injection := genTemplate.Draw(t, "template"), genInjection.Draw(t, "first"), genInjection.Draw(t, "injection")
		got := injected(template, injection)
		if diff := cmp.Diff(got, injected(template, injection)); diff != "" {
			t.Fatalf("Injecting is deterministic: -one, +other:\n%s", diff)
		}
		if diff := cmp.Diff(got, injected(got, injection)); diff != "" {
			t.Fatalf("Injecting twice is injecting once: -once, +twice:\n%s", diff)
		}
		if diff := cmp.Diff(got, injected(injected(template, first), injection)); diff != "" {
			t.Fatalf("An injection leaves nothing of the one before: -alone, +after another:\n%s", diff)
		}
		removed, _ := clone(got).(map[string]any)
		Remove(removed)
		if diff := cmp.Diff(template, removed); diff != "" {
			t.Fatalf("Removing undoes injecting: -before, +after:\n%s", diff)
		}
	})
}

func TestPropertiesOfTheUsersOwn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		template, injection := genTemplate.Draw(t, "template"), genInjection.Draw(t, "injection")
		if Inspect(template, injection, claim.Service{}) != nil {
			return
		}
		got := injected(template, injection)
		if after := Inspect(got, injection, claim.Service{}); after != nil {
			t.Fatalf("What was injected is no conflict: %v", after)
		}
		if sa := runsAs(template); sa != defaultServiceAccount && sa != runsAs(got) {
			t.Fatalf("A ServiceAccount that was chosen stays: %q, now %q", sa, runsAs(got))
		}
		own, _ := clone(template).(map[string]any)
		delete(object(own, "spec"), "serviceAccountName")
		delete(object(own, "spec"), "serviceAccount")
		if lost := kept("", own, got); lost != nil {
			t.Fatalf("Nothing of the user's is changed or lost, but for:\n%s", lost)
		}
	})
}

// runsAs is the ServiceAccount that the API server takes from a template.
func runsAs(template map[string]any) string {
	spec := object(template, "spec")
	for _, field := range []string{"serviceAccountName", "serviceAccount"} {
		if sa := text(spec, field); sa != "" {
			return sa
		}
	}
	return defaultServiceAccount
}

func TestPropertiesOfInspect(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		template, first, injection := genTemplate.Draw(t, "template"), genInjection.Draw(t, "first"), genInjection.Draw(t, "injection")
		before := clone(template)
		want := Inspect(template, injection, claim.Service{})
		if diff := cmp.Diff(before, any(template)); diff != "" {
			t.Fatalf("Inspecting changes nothing: -before, +after:\n%s", diff)
		}
		if Inspect(template, first, claim.Service{}) != nil {
			return
		}
		if diff := cmp.Diff(want, Inspect(injected(template, first), injection, claim.Service{})); diff != "" {
			t.Fatalf("An injection that is there changes no conflict: -before, +after:\n%s", diff)
		}
	})
}

func TestPropertiesOfMerge(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		injections := rapid.SliceOfN(genInjection, 1, 4).Draw(t, "injections")
		for i := range injections {
			injections[i].Hash = ""
		}
		want, err := Merge(injections...)
		got, errOther := Merge(rapid.Permutation(injections).Draw(t, "permutation")...)
		if (err == nil) != (errOther == nil) {
			t.Fatalf("Whether injections differ doesn't depend on their order: %v and %v", err, errOther)
		}
		if err != nil {
			return
		}
		if diff := cmp.Diff(asJSON(want), asJSON(got)); diff != "" {
			t.Fatalf("Merging doesn't depend on the order: -one, +other:\n%s", diff)
		}
		again, err := Merge(want, want)
		if diff := cmp.Diff(asJSON(want), asJSON(again)); diff != "" || err != nil {
			t.Fatalf("Merging with itself changes nothing: %v, -want, +got:\n%s", err, diff)
		}
		if Hash(want, nil) != Hash(got, nil) {
			t.Fatal("The hash doesn't depend on the order.")
		}
	})
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// FuzzInject with whatever JSON a pipeline may hold where a workload should be:
// nothing of it may panic, and nothing may be inconsistent.
func FuzzInject(f *testing.F) {
	for _, s := range []string{
		`{}`,
		`{"spec": null}`,
		`{"metadata": 1, "spec": {"containers": [null, 1, {"name": 1, "env": {}}], "volumes": "a"}}`,
		`{"metadata": {"labels": [], "annotations": {"serviceconnections.io/injected": "{\"env\":{\"a\":[\"A\"]}}"}}, "spec": {"containers": [{"name": "a", "env": [{"name": "A"}, null]}]}}`,
		`{"metadata": {"annotations": {"serviceconnections.io/injected": "{\"fsGroup\":true,\"serviceAccount\":\"\"}"}}}`,
		`{"spec": {"securityContext": [], "initContainers": {"a": 1}, "containers": [{"name": "app", "volumeMounts": [{"mountPath": 3}], "ports": [{"containerPort": "x"}, {"containerPort": 1e300}]}]}}`,
		`{"spec": {"template": {"spec": {"containers": [{"name": "app"}]}}}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var obj map[string]any
		if json.Unmarshal(b, &obj) != nil {
			return
		}
		for _, k := range kinds {
			template, ok := k.Template(obj)
			if !ok {
				continue
			}
			before := asJSON(template)
			Inspect(template, everything(), claim.Service{})
			if after := asJSON(template); after != before {
				t.Fatalf("Inspecting changes nothing: %s, before %s", after, before)
			}
			one, other := injected(template, everything()), injected(template, everything())
			if asJSON(one) != asJSON(other) {
				t.Fatalf("Injecting is deterministic: %s and %s", asJSON(one), asJSON(other))
			}
			Remove(one)
			Inspect(other, everything(), claim.Service{})
			k.TemplateHash(obj)
		}
	})
}
