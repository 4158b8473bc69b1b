package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/serviceconnections/function-service-connections/fn/claim"
	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/modules"
)

// activations by mode, as install.md says.
var activations = map[controlplane.Mode]string{
	controlplane.Namespaced: "package/activation/namespaced.yaml",
	controlplane.Claims:     "package/activation/claims.yaml",
}

// TestActivation has Crossplane hold back the kinds of providers that start safely. Each
// connection says by which line its kind is activated, and the policy that is shipped has
// that line and makes all of them work, without anybody's touching the claim.
func TestActivation(t *testing.T) { //nolint:tparallel // One mode at a time has a control plane.
	t.Parallel()
	long(t)
	for name, mode := range modes { //nolint:paralleltest // See above.
		t.Run(name, func(t *testing.T) {
			tm := inactive(t, mode)
			activated := tm.activatedBy(activations[mode])
			tm.connect(everything)
			for _, typ := range []claim.ConnectionType{
				claim.TypeAWSRole, claim.TypeAzureManagedIdentity, claim.TypeCloudSQL, claim.TypeDisk, claim.TypeGCPServiceAccount,
			} {
				tm.awaitReason("api", typ, "ProviderNotActive")
				if line := tm.activationOf(typ); !slices.Contains(activated, line) {
					t.Errorf("%s asks for the line %q, which %s hasn't", typ, line, activations[mode])
				}
			}

			if err := tm.ApplyFiles(t.Context(), activations[mode]); err != nil {
				t.Fatal(err)
			}
			for _, crd := range activated {
				if err := tm.AwaitCondition(t.Context(), "apiextensions.k8s.io/v1", "CustomResourceDefinition", "", crd, "Established"); err != nil {
					t.Fatal(err)
				}
			}
			// A provider that starts safely begins now.
			if err := tm.runProviders(controlplane.AllProviders()...); err != nil {
				t.Fatal(err)
			}
			tm.awaitReady()

			// Those of the other mode are nobody's business.
			for _, other := range tm.activatedBy(activations[otherMode(mode)]) {
				if u, err := tm.Get(t.Context(), "apiextensions.k8s.io/v1", "CustomResourceDefinition", "", other); err != nil || u != nil {
					t.Errorf("%s was activated, which this mode doesn't need: %v", other, err)
				}
			}
		})
	}
}

func otherMode(m controlplane.Mode) controlplane.Mode {
	if m == controlplane.Claims {
		return controlplane.Namespaced
	}
	return controlplane.Claims
}

// inactive team, in a cluster of its own whose Crossplane activates nothing by itself.
func inactive(t *testing.T, mode controlplane.Mode) *team {
	t.Helper()
	root, err := modules.Root()
	if err != nil {
		t.Fatal(err)
	}
	cp, err := controlplane.Start(t.Context(), controlplane.Options{Root: root, Dir: t.TempDir(), Subscription: subscriptionID})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cp.Stop)
	c := &cluster{ControlPlane: cp, mode: mode, cloud: newCloud()}
	t.Cleanup(c.cloud.Close)
	t.Cleanup(func() {
		if err := c.StopProviders(controlplane.AllProviders()...); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(
		cp.InstallInactiveProviders(t.Context(), controlplane.AllProviders()...),
		cp.Install(t.Context(), mode),
		cp.ApplyYAML(t.Context(), settings),
	); err != nil {
		t.Fatal(err)
	}
	return &team{cluster: c, t: t, namespace: newNamespace(t, c, ""), deadline: disturbedDeadline}
}

// activatedBy a ManagedResourceActivationPolicy in a file.
func (t *team) activatedBy(file string) []string {
	t.t.Helper()
	text, err := os.ReadFile(filepath.Join(t.Root, file))
	if err != nil {
		t.t.Fatal(err)
	}
	var policy struct{ Spec struct{ Activate []string } }
	if err := yaml.Unmarshal(text, &policy); err != nil || len(policy.Spec.Activate) == 0 {
		t.t.Fatalf("%s activates nothing: %v", file, err)
	}
	return policy.Spec.Activate
}

// activationOf a connection is the line that its message asks for.
func (t *team) activationOf(typ claim.ConnectionType) string {
	t.t.Helper()
	var line string
	t.eventually(fmt.Sprintf("%s says what activates it", typ), func(ctx context.Context) error {
		s, err := t.status(ctx)
		if err != nil {
			return err
		}
		for _, svc := range s.Services {
			for _, c := range svc.Connections {
				if m := activationLine.FindStringSubmatch(c.Message); c.Type == typ && m != nil {
					line = strings.TrimSpace(m[1])
					return nil
				}
			}
		}
		return errors.New("no line")
	})
	return line
}

var activationLine = regexp.MustCompile(`add this line to spec\.activate of one: - (\S+)$`)
