package workload

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// TestFit changes one thing of an injection that fits. test/admission compares the
// rest with the admission policy.
func TestFit(t *testing.T) {
	t.Parallel()
	own := claim.SecurityContext{RunAsNonRoot: true, RunAsUser: 65532}
	forms := Forms{
		Env:    map[string]string{"HOST": `^127[.]0[.]0[.]1$`},
		Labels: map[string]string{"example.org/use": "true"},
		Tokens: map[string]Token{"token": {Audience: "sts", Path: "token", MountPath: "/var/run/secrets/sts"}},
		Disk:   "disk", Most: 2,
		Sidecar: SidecarForm{
			Name: "proxy", Instance: `^[a-z]+[?]port=[1-9][0-9]{0,4}$`, Flags: []string{"--private"},
			Port: claim.ContainerPort{Name: "http", ContainerPort: 9801, Protocol: "TCP"}, Probes: []string{"/up"}, SecurityContext: own,
		},
	}
	probe := claim.Probe{HTTPGet: claim.HTTPGet{Path: "/up", Port: 9801}}
	whole := func() claim.Injection {
		return claim.Injection{
			Hash: "0123456789abcdef", ServiceAccountName: "shop-api", FSGroup: new(int64(1000)),
			Env: []claim.EnvVar{{Name: "HOST", Value: "127.0.0.1"}}, Labels: map[string]string{"example.org/use": "true"},
			Volumes: []claim.Volume{
				{Name: "token", Projected: &claim.ProjectedVolume{Sources: []claim.ProjectedSource{{ServiceAccountToken: claim.ServiceAccountToken{Audience: "sts", Path: "token", ExpirationSeconds: 600}}}}},
				{Name: "disk", PersistentVolumeClaim: &claim.PersistentVolumeClaimVolume{ClaimName: "uploads"}},
			},
			VolumeMounts: []claim.VolumeMount{{Name: "token", MountPath: "/var/run/secrets/sts"}, {Name: "disk", MountPath: "/data", SubPath: "a/b"}},
			InitContainers: []claim.Sidecar{{
				Name: "proxy", Image: "example.org/proxy:1", RestartPolicy: "Always", Args: []string{"db?port=5432", "--private"},
				Ports: []claim.ContainerPort{{Name: "http", ContainerPort: 9801, Protocol: "TCP"}}, StartupProbe: probe, LivenessProbe: probe,
				Resources:       claim.Resources{Requests: map[string]string{"cpu": "10m"}, Limits: map[string]string{"cpu": "1", "memory": "64Mi"}},
				SecurityContext: own,
			}},
		}
	}
	cases := map[string]struct {
		reason string
		change func(in *claim.Injection)
		want   bool
	}{
		"Unchanged":  {"What the function emits.", func(*claim.Injection) {}, true},
		"RunsAsRoot": {"The sidecar's rights are the form's, whatever the status says.", func(in *claim.Injection) { in.InitContainers[0].SecurityContext = claim.SecurityContext{} }, true},
		"Variable":   {"No other variable.", func(in *claim.Injection) { in.Env[0].Name = "LD_PRELOAD" }, false},
		"Value":      {"No other value.", func(in *claim.Injection) { in.Env[0].Value = "$(PASSWORD)" }, false},
		"Label":      {"No other label.", func(in *claim.Injection) { in.Labels["app"] = "db" }, false},
		"Annotation": {"No annotation.", func(in *claim.Injection) { in.Annotations = map[string]string{"a": "b"} }, false},
		"Group":      {"The API server takes no such group.", func(in *claim.Injection) { *in.FSGroup = -1 }, false},
		"Volume":     {"No other volume.", func(in *claim.Injection) { in.Volumes[1].Name = "host" }, false},
		"VolumeNoName": {"A disk's volume has the name that a connection may have.", func(in *claim.Injection) {
			in.Volumes[1].Name = "disk-Uploads"
			in.VolumeMounts[1].Name = "disk-Uploads"
		}, false},
		"VolumeLongName": {"A disk's volume has the name that a connection may have.", func(in *claim.Injection) {
			in.Volumes[1].Name = "disk-" + strings.Repeat("x", 21)
			in.VolumeMounts = nil
		}, false},
		"ManyVolumes":     {"A pod has as many disks as a service may have connections.", func(in *claim.Injection) { in.Volumes = append(in.Volumes, disks("disk-a", "disk-b")...) }, false},
		"VolumeTwice":     {"The API server refuses two of one name.", func(in *claim.Injection) { in.Volumes = append(in.Volumes, in.Volumes[1]) }, false},
		"Audience":        {"No token for somebody else.", func(in *claim.Injection) { in.Volumes[0].Projected.Sources[0].ServiceAccountToken.Audience = "api" }, false},
		"TokenAndDisk":    {"A volume is one thing.", func(in *claim.Injection) { in.Volumes[0].PersistentVolumeClaim = in.Volumes[1].PersistentVolumeClaim }, false},
		"MountOfNothing":  {"Only volumes of the injection are mounted.", func(in *claim.Injection) { in.VolumeMounts[1].Name = "own" }, false},
		"MountTwice":      {"The API server refuses two at one path.", func(in *claim.Injection) { in.VolumeMounts = append(in.VolumeMounts, in.VolumeMounts[1]) }, false},
		"MountOverSystem": {"Nothing is mounted over the system.", func(in *claim.Injection) { in.VolumeMounts[1].MountPath = "/etc/ssl" }, false},
		"TokenElsewhere":  {"A token has its place.", func(in *claim.Injection) { in.VolumeMounts[0].MountPath = "/data/token" }, false},
		"SubPathOutside":  {"A folder of the disk is within it.", func(in *claim.Injection) { in.VolumeMounts[1].SubPath = "a/../.." }, false},
		"Sidecar":         {"No other container.", func(in *claim.Injection) { in.InitContainers[0].Name = "miner" }, false},
		"Flag":            {"No other argument.", func(in *claim.Injection) { in.InitContainers[0].Args[1] = "--credentials-file=/x" }, false},
		"NoInstance":      {"A proxy to nothing.", func(in *claim.Injection) { in.InitContainers[0].Args = in.InitContainers[0].Args[1:] }, false},
		"InstancePort":    {"No port.", func(in *claim.Injection) { in.InitContainers[0].Args[0] = "db?port=99999" }, false},
		"Port":            {"No other port.", func(in *claim.Injection) { in.InitContainers[0].Ports[0].ContainerPort = 80 }, false},
		"Probe":           {"No other path.", func(in *claim.Injection) { in.InitContainers[0].LivenessProbe.HTTPGet.Path = "/quit" }, false},
		"ProbePeriod":     {"The API server takes no such period.", func(in *claim.Injection) { in.InitContainers[0].StartupProbe.PeriodSeconds = -1 }, false},
		"Resource":        {"No device.", func(in *claim.Injection) { in.InitContainers[0].Resources.Limits["nvidia.com/gpu"] = "1" }, false},
		"Quantity":        {"The API server takes no such quantity.", func(in *claim.Injection) { in.InitContainers[0].Resources.Requests["cpu"] = "much" }, false},
		"AboveLimit":      {"The API server refuses more than the limit.", func(in *claim.Injection) { in.InitContainers[0].Resources.Requests["cpu"] = "2" }, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := whole()
			tc.change(&in)
			want := claim.Injection{}
			if tc.want {
				want = whole()
			}
			got, ok := forms.Fit(in)
			if diff := cmp.Diff(want, got); diff != "" || ok != tc.want {
				t.Errorf("%s\nfits: %t, want %t, -want +got:\n%s", tc.reason, ok, tc.want, diff)
			}
		})
	}
}

// disks are volumes of these names.
func disks(names ...string) []claim.Volume {
	vs := make([]claim.Volume, len(names))
	for i, name := range names {
		vs[i] = claim.Volume{Name: name, PersistentVolumeClaim: &claim.PersistentVolumeClaimVolume{ClaimName: strings.TrimPrefix(name, "disk-")}}
	}
	return vs
}

// TestPart holds what of an injection is which connection's, and that this is the same
// under another name.
func TestPart(t *testing.T) {
	t.Parallel()
	forms := Forms{Disk: "disk", Most: 3}
	whole := claim.Injection{Hash: "0123456789abcdef", ServiceAccountName: "shop-api", Volumes: disks("disk", "disk-a", "disk-a-b")}
	for _, v := range whole.Volumes {
		whole.VolumeMounts = append(whole.VolumeMounts, claim.VolumeMount{Name: v.Name, MountPath: "/data/" + v.Name})
	}
	for name, volume := range map[string]string{"": "disk", "a": "disk-a", "a-b": "disk-a-b"} {
		want := claim.Injection{Volumes: []claim.Volume{{Name: volume, PersistentVolumeClaim: &claim.PersistentVolumeClaimVolume{ClaimName: strings.TrimPrefix(volume, "disk-")}}}, VolumeMounts: []claim.VolumeMount{{Name: volume, MountPath: "/data/" + volume}}}
		got, ok := forms.Part(whole, name, nil)
		if diff := cmp.Diff(want, got); diff != "" || !ok {
			t.Errorf("Part(whole, %q): fits: %t, -want, +got:\n%s", name, ok, diff)
		}
		got = forms.Renamed(got, name, "z", nil)
		want.Volumes[0].Name, want.VolumeMounts[0].Name = "disk-z", "disk-z"
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Renamed(part, %q, z): -want, +got:\n%s", name, diff)
		}
	}
	if part, ok := forms.Part(whole, "b", nil); !ok || len(part.Volumes) > 0 {
		t.Errorf("Part(whole, b): a connection that isn't in it has %v", part.Volumes)
	}
	if whole.Volumes[1].Name != "disk-a" {
		t.Error("Renamed(part, a, z) changed what is published")
	}
}
