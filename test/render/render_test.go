package render

import (
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/test/process"
)

func TestRenderError(t *testing.T) {
	t.Parallel()

	cases := map[string]struct {
		reason string
		dir    string
		want   string
	}{
		"Fatal": {
			reason: "A fatal result of the function, here for a misspelt setting, is an error that holds its message.",
			dir:    "testdata/fatal",
			want:   "clutser",
		},
		"UnknownFunction": {
			reason: "A Composition that names a function which can't be started is an error that names it.",
			dir:    "testdata/unknown-function",
			want:   `cannot start function "function-nobody-knows"`,
		},
		"NoExample": {
			reason: "A folder that isn't an example is an error.",
			dir:    "testdata/missing",
			want:   "cannot read example: open testdata/missing/composition.yaml: no such file or directory",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := newEngine(t).Render(t.Context(), tc.dir)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("\n%s\nRender(...): want an error with %q, got %v", tc.reason, tc.want, err)
			}
		})
	}
}

// TestRenderOtherFunctions also shows that the engine applies the defaults of a
// CompositeResourceDefinition that an example brings along.
func TestRenderOtherFunctions(t *testing.T) {
	t.Parallel()

	out, err := newEngine(t).Render(t.Context(), "testdata/patch-and-transform")
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Composed) != 1 {
		t.Fatalf("want one composed resource, got:\n%s", out.YAML)
	}
	if diff := cmp.Diff(map[string]any{"size": "small"}, out.Composed[0]["data"]); diff != "" {
		t.Errorf("Render(...): -want, +got data:\n%s", diff)
	}
}

func TestStop(t *testing.T) {
	t.Parallel()

	e := newEngine(t)
	address, err := e.function(t.Context(), functionName)
	if err != nil {
		t.Fatal(err)
	}
	again, err := e.function(t.Context(), functionName)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(address, again); diff != "" {
		t.Errorf("a function that runs was started again: -first, +second:\n%s", diff)
	}

	e.Stop()
	if conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address); err == nil {
		_ = conn.Close()
		t.Errorf("the function still listens at %s after Stop", address)
	}
}

func TestStartError(t *testing.T) {
	t.Parallel()

	e := newEngine(t)
	if err := e.build(t.Context()); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason string
		binary string
		args   []string
		want   string
	}{
		"Missing": {
			reason: "A binary that wasn't built says how to build it.",
			binary: e.tool("missing"),
			want:   "cannot start missing (make render-tools builds what is missing)",
		},
		"Exits": {
			reason: "A function that exits at once is an error at once, not after the timeout.",
			binary: e.tool(functionBinary),
			args:   []string{"--insecure", "--no-such-flag"},
			want:   "it exited, see its log",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := process.Start(t.Context(), t.Output(), tc.binary, tc.args...)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("\n%s\nStart(...): want an error with %q, got %v", tc.reason, tc.want, err)
			}
		})
	}
}
