package main

import (
	"bytes"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/serviceconnections/function-service-connections/test/e2e/node"
	"github.com/serviceconnections/function-service-connections/test/e2e/postgres"
	"github.com/serviceconnections/function-service-connections/test/modules"
	"github.com/serviceconnections/function-service-connections/test/process"
)

// TestRun runs the demo as make demo does without a terminal. Nothing else would
// tell that its cloud or its settings no longer suit the examples.
func TestRun(t *testing.T) {
	t.Parallel()
	root, err := modules.Root()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Build(t.Context(), root, "build", "providers", "clients"); err != nil {
		t.Fatal(err)
	}
	out := &bytes.Buffer{}
	if err := run(t.Context(), out, root, filepath.Join(t.TempDir(), "demo"), false); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := []string{
		"two-connections        2/2",
		"all-together           5/5",
		"several                5/5",
		"+serviceAccountName: shop-api",
		"+  serviceconnections.io/injected-by: shop",
	}
	if runtime.GOOS == "linux" {
		want = append(want, "No resources found in all-together namespace.",
			"bucket    shop-orders/greeting says: Hello from the bucket.",
			"vault     https://shop-prod.vault.azure.net/secrets/greeting says: Hello from the vault.")
		if postgres.Installed() {
			want = append(want, "database  my-project-123456:europe-west1:orders at 127.0.0.1:5432 says: PostgreSQL",
				"database  my-project-123456:europe-west1:customers at 127.0.0.1:5433 says: PostgreSQL", " of customers lets in shop")
		}
		if node.MayMount(t.Context()) {
			want = append(want, "disk      CACHE says: Hello from CACHE.", "disk      PICTURES says: Hello from PICTURES.", "disk      INVOICES says: Hello from INVOICES.")
		}
	}
	for _, line := range want {
		if !strings.Contains(out.String(), line) {
			t.Errorf("the demo doesn't print %q:\n%s", line, out)
		}
	}
}
