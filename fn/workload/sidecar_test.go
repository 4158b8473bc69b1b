package workload

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// connected proxy of a connection of a name.
func connected(name, port, image string, args ...string) claim.Injection {
	return claim.Injection{
		Env:            []claim.EnvVar{{Name: dbPort.Of(name, nil), Value: port}},
		InitContainers: []claim.Sidecar{{Name: "proxy", Image: image, Args: args, RestartPolicy: "Always"}},
	}
}

// TestSidecars holds that one proxy connects to all databases, each in its own way, and
// that of each the part is what it would be alone.
func TestSidecars(t *testing.T) {
	t.Parallel()
	public := func(image string) claim.Injection { return connected("", "1", image, "a?port=1", "--logs") }
	private := func(image string) claim.Injection {
		return connected("orders", "22", image, "b?port=22", "--logs", "--private-ip", "--auto-iam-authn")
	}
	psc := func(image string) claim.Injection {
		return connected("read-only", "2", image, "c?port=2", "--logs", "--psc")
	}
	cases := map[string]struct {
		reason string
		in     []claim.Injection
		want   []string
		err    string
	}{
		"One":         {"The options of one are flags, as they always were.", []claim.Injection{private("x")}, []string{"b?port=22", "--logs", "--private-ip", "--auto-iam-authn"}, ""},
		"Two":         {"What a flag says holds for all, so each has its own.", []claim.Injection{public("x"), private("x")}, []string{"a?port=1", "b?port=22&private-ip=true&auto-iam-authn=true", "--logs"}, ""},
		"Three":       {"The order of connections changes nothing.", []claim.Injection{psc("x"), private("x"), public("x")}, []string{"a?port=1", "b?port=22&private-ip=true&auto-iam-authn=true", "c?port=2&psc=true", "--logs"}, ""},
		"Twice":       {"What two say alike is there once.", []claim.Injection{psc("x"), public("x"), psc("x")}, []string{"a?port=1", "c?port=2&psc=true", "--logs"}, ""},
		"OnePort":     {"The proxy would not start.", []claim.Injection{public("x"), connected("b", "1", "x", "b?port=1", "--logs")}, []string{"a?port=1", "--logs"}, `two connections differ in port 1 of container "proxy"`},
		"OtherImages": {"One container has one image.", []claim.Injection{public("x"), psc("y")}, []string{"a?port=1", "--logs"}, `two connections differ in container "proxy"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := len(tc.in[0].InitContainers[0].Args)
			got, err := Merge(tc.in...)
			if diff := cmp.Diff(tc.want, got.InitContainers[0].Args); diff != "" {
				t.Errorf("%s\narguments, -want +got:\n%s", tc.reason, diff)
			}
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("%s\nerror %v, want %q", tc.reason, err, tc.err)
			}
			if len(tc.in[0].InitContainers[0].Args) != before {
				t.Error("Merge(...) changed what it merges")
			}
		})
	}

	probe := claim.Probe{HTTPGet: claim.HTTPGet{Path: "/up"}}
	forms := Forms{
		Env: map[string]string{"DB_PORT": "^[0-9]+$"}, Variables: []Variable{dbPort}, Most: 3,
		Sidecar: SidecarForm{
			Name: "proxy", Instance: `^[a-z][?]port=[0-9]+(&(private-ip|psc|auto-iam-authn)=true)*$`,
			Flags: []string{"--logs", "--private-ip", "--psc", "--auto-iam-authn"}, PortVariable: "DB_PORT", Probes: []string{"/up"},
		},
	}
	all := []claim.Injection{public("x"), private("x"), psc("x")}
	for i := range all {
		s := &all[i].InitContainers[0]
		s.StartupProbe, s.LivenessProbe = probe, probe
	}
	whole, err := Merge(all...)
	if err != nil {
		t.Fatal(err)
	}
	whole.Hash, whole.ServiceAccountName = "0123456789abcdef", "shop-api"
	if _, ok := forms.Fit(whole); !ok {
		t.Error("Fit(...): what is merged isn't of the forms")
	}
	for i, name := range []string{"", "orders", "read-only"} {
		got, ok := forms.Part(whole, name, nil)
		if diff := cmp.Diff(all[i], got); diff != "" || !ok {
			t.Errorf("Part(whole, %q): fits: %t, -want, +got:\n%s", name, ok, diff)
		}
	}
	if got, ok := forms.Part(whole, "other", nil); !ok || len(got.InitContainers) > 0 {
		t.Errorf("Part(whole, other): a connection that isn't in it has %v", got)
	}
	twice := slices.Clone(whole.InitContainers)
	twice[0].Args = append(slices.Clone(twice[0].Args), "d?port=1")
	whole.InitContainers = twice
	if _, ok := forms.Fit(whole); ok {
		t.Error("Fit(...): two databases have one port")
	}
}

// TestBeside holds that what stays as it was doesn't keep back what has changed of the
// pod as a whole.
func TestBeside(t *testing.T) {
	t.Parallel()
	was, is := int64(1), int64(2)
	held := connected("", "1", "old", "a?port=1", "--logs", "--psc")
	held.FSGroup = &was
	works := connected("orders", "2", "new", "b?port=2", "--logs", "--quiet")
	works.FSGroup = &is
	got, err := Merge(Beside(held, []claim.Injection{held, works}, []int{0}), works)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&is, got.FSGroup); diff != "" {
		t.Errorf("fsGroup, -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]claim.Sidecar{{Name: "proxy", Image: "new", Args: []string{"a?port=1&psc=true", "b?port=2", "--logs", "--quiet"}, RestartPolicy: "Always"}}, got.InitContainers); diff != "" {
		t.Errorf("sidecar, -want +got:\n%s", diff)
	}
	if held.InitContainers[0].Image != "old" {
		t.Error("Beside(...) changed what was published")
	}
}
