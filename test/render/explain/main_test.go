package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRun(t *testing.T) {
	t.Parallel()

	expected, err := os.ReadFile("../../../example/disk/expected.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason  string
		plain   bool
		example string
		// want in this order.
		want []string
	}{
		"ForAReader": {
			example: "disk",
			reason:  "A reader sees what the team writes, what is composed, what the pods get, and how it stands.",
			want: []string{
				"\ndisk\n",
				"\n    - type: disk\n      config:\n        diskName: cache-storage\n",
				"\nkind: ServiceAccount\n",
				"\n+++ ", "\n+    serviceconnections.io/injected-by: shop\n", "\n+      claimName: cache-storage\n",
				"1/1 connected",
				"\napi       disk         true    Connected",
			},
		},
		"ForAReaderOfAClaim": {
			reason:  "Pods tell the claim that the team knows, and not its composite resource.",
			example: "claims",
			want:    []string{"\n+    serviceconnections.io/injected-by: shop\n"},
		},
		"ForAReaderOfRenderedPods": {
			reason:  "A template that an earlier step renders isn't the policy's.",
			example: "desired-delivery",
			want:    []string{"\n+  annotations:\n", "\n+    serviceconnections.io/injection: "},
		},
		"YAML": {
			reason:  "With -yaml a program can read it.",
			example: "disk",
			plain:   true,
			want:    []string{string(expected)},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			b := &strings.Builder{}
			if err := run(t.Context(), b, tc.plain, []string{"../../../example/" + tc.example}); err != nil {
				t.Fatal(err)
			}
			rest := b.String()
			for _, want := range tc.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("\n%s\nrun(...) doesn't print %q after what went before:\n%s", tc.reason, want, b)
				}
				rest = after
			}
		})
	}
}

func TestRunError(t *testing.T) {
	t.Parallel()

	b := &strings.Builder{}
	err := run(t.Context(), b, true, []string{"testdata/missing", "../../../example/disk"})
	if err == nil || !strings.Contains(err.Error(), "testdata/missing") {
		t.Errorf("run(...): want an error that names testdata/missing, got %v", err)
	}
	if diff := cmp.Diff(true, strings.Contains(b.String(), "kind: ServiceAccount")); diff != "" {
		t.Errorf("an example that can't be rendered kept the next from being printed: -want, +got:\n%s", diff)
	}
}
