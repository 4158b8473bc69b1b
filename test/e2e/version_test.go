package e2e

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/modules"
)

// TestKubernetesVersions holds what Kubernetes calls itself to the module that it is
// built from. A binary that nobody told its version answers with one that clients
// can't parse, and a real one, such as the clouds' webhooks, then ends.
func TestKubernetesVersions(t *testing.T) {
	t.Parallel()
	team := newTeam(t, controlplane.Namespaced)
	want, err := modules.Go(t.Context(), "kubernetes", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
	if err != nil {
		t.Fatal(err)
	}

	out, err := exec.CommandContext(t.Context(), filepath.Join(team.Root, ".cache", "bin", "kubectl"),
		"version", "--output=json", "--kubeconfig="+team.Kubeconfig).Output()
	if err != nil {
		t.Fatalf("kubectl version: %v", err)
	}
	var got struct {
		ClientVersion, ServerVersion struct{ GitVersion string }
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, v := range map[string]string{"kubectl": got.ClientVersion.GitVersion, "kube-apiserver": got.ServerVersion.GitVersion} {
		if v != strings.TrimSpace(string(want)) {
			t.Errorf("%s calls itself %q, and is built from %s", name, v, want)
		}
		if _, err := version.ParseSemantic(v); err != nil {
			t.Errorf("a client of %s can't parse its version: %v", name, err)
		}
	}
}
