package decoded

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAt holds that a path which leads nowhere reads as nothing.
func TestAt(t *testing.T) {
	t.Parallel()
	o := map[string]any{"a": map[string]any{"text": "x", "list": []any{map[string]any{"n": 1.0}, "stray"}}, "null": nil}
	if got := Text(o, "a", "text"); got != "x" {
		t.Errorf("Text at its path: %q", got)
	}
	if got := Text(o, "a", "text", "further"); got != "" {
		t.Errorf("Text beyond a leaf: %q", got)
	}
	if got := Object(o, "null"); got != nil {
		t.Errorf("Object that is null: %v", got)
	}
	if diff := cmp.Diff([]map[string]any{{"n": 1.0}}, Objects(o, "a", "list")); diff != "" {
		t.Errorf("Objects of a list with a stray text: -want, +got:\n%s", diff)
	}
	if At(nil, "a") != nil {
		t.Error("a nil object has something")
	}
}

// TestClone holds that a change of a clone doesn't reach what it was made from.
func TestClone(t *testing.T) {
	t.Parallel()
	was := func() map[string]any {
		return map[string]any{"list": []any{map[string]any{"k": "v"}}, "map": map[string]any{"k": "v"}, "number": int64(1)}
	}
	o := was()
	c := Clone(o)
	if diff := cmp.Diff(o, c); diff != "" {
		t.Errorf("a clone differs: -object, +clone:\n%s", diff)
	}
	Ensure(c, "map")["k"] = "changed"
	Objects(c, "list")[0]["k"] = "changed"
	Append(c, "list", "more")
	if diff := cmp.Diff(was(), o); diff != "" {
		t.Errorf("the object changed with its clone: -was, +is:\n%s", diff)
	}
}
