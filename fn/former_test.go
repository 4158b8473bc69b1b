package fn

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFormerNames runs the function on what an earlier version has composed, whose hashes
// had 40 bits and 32. Each of these objects stands for something in a cloud, so each
// keeps its key, its name and its external name. testdata/former is as that version left
// it, and is never written anew.
func TestFormerNames(t *testing.T) {
	t.Parallel()

	for _, example := range []string{"all-together", "awsrole-create", "claims"} {
		t.Run(example, func(t *testing.T) {
			t.Parallel()

			c := exampleCluster(t, example)
			observed := documents(t, filepath.Join("testdata", "former", example+".yaml"))
			want := map[string][3]string{}
			for _, o := range observed {
				key := str(o, "metadata", "annotations", "crossplane.io/composition-resource-name")
				c.composed[key] = o
				want[key] = called(o)
			}
			got := map[string][3]string{}
			for key, r := range c.run().GetDesired().GetResources() {
				is := called(r.GetResource().AsMap())
				if want[key][2] == "" {
					is[2] = "" // The provider hasn't stored it, and it is written as soon as it is known.
				}
				got[key] = is
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("what exists would be made anew: -was, +is:\n%s", diff)
			}
		})
	}
}

// TestNewNames composes the same for the first time: whatever names a team's choice has a
// hash of 64 bits.
func TestNewNames(t *testing.T) {
	t.Parallel()

	for _, example := range []string{"all-together", "awsrole-create", "claims"} {
		t.Run(example, func(t *testing.T) {
			t.Parallel()

			c := exampleCluster(t, example)
			c.settle()
			if len(c.composed) < 3 {
				t.Fatalf("too little is composed to tell anything: %v", c.keys(""))
			}
			for key, o := range c.composed {
				if o["kind"] == "ServiceAccount" || strings.HasPrefix(key, "disk.") {
					continue
				}
				name, external := str(o, "metadata", "name"), str(o, "metadata", "annotations", "crossplane.io/external-name")
				hashed := []string{key[strings.LastIndexByte(key, '.')+1:], name[strings.LastIndexByte(name, '-')+1:]}
				for _, h := range hashed {
					if len(h) != 16 {
						t.Errorf("%s is called %q, by a hash of %d digits", key, name, len(h))
					}
				}
				switch {
				case strings.HasPrefix(external, "sc-") && len(external[strings.LastIndexByte(external, '-')+1:]) < 32,
					o["kind"] == "FederatedIdentityCredential" && len(external[strings.LastIndexByte(external, '-')+1:]) != 16:
					t.Errorf("%s is %q in its cloud", key, external)
				}
			}
		})
	}
}

// called is all that an object is known by.
func called(o map[string]any) [3]string {
	return [3]string{str(o, "kind"), str(o, "metadata", "name"), str(o, "metadata", "annotations", "crossplane.io/external-name")}
}

// exampleCluster of an example's claim and settings.
func exampleCluster(t *testing.T, example string) *cluster {
	t.Helper()
	dir := filepath.Join("..", "example", example)
	c := newCluster(t, `[]`, allSettings)
	c.xr = documents(t, filepath.Join(dir, "xr.yaml"))[0]
	for _, o := range documents(t, filepath.Join(dir, "composition.yaml")) {
		for _, step := range list(o, "spec", "pipeline") {
			step, _ := step.(map[string]any)
			c.input, _ = step["input"].(map[string]any)
		}
	}
	for _, file := range []string{"required.yaml", "deployment.yaml"} {
		for _, o := range documents(t, filepath.Join(dir, file)) {
			c.objects[objectKey(o)] = o
		}
	}
	return c
}

// documents of a YAML file, none where there is no such file.
func documents(t *testing.T, file string) []map[string]any {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var all []map[string]any
	for y := range strings.SplitSeq(string(b), "\n---\n") {
		if o := fromYAML(t, y); o != nil {
			all = append(all, o)
		}
	}
	return all
}
