package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

func TestMerge(t *testing.T) {
	t.Parallel()
	one, two := int64(1), int64(2)
	cases := map[string]struct {
		reason string
		in     []claim.Injection
		want   claim.Injection
		err    string
	}{
		"Nothing": {
			reason: "A service without connections has an empty injection.",
		},
		"Sorted": {
			reason: "The order of connections must not restart pods.",
			in: []claim.Injection{
				{Env: []claim.EnvVar{{Name: "B", Value: "2"}, {Name: "A", Value: "1"}}, VolumeMounts: []claim.VolumeMount{{Name: "x", MountPath: "/b"}}},
				{Env: []claim.EnvVar{{Name: "AA", Value: "3"}}, VolumeMounts: []claim.VolumeMount{{Name: "y", MountPath: "/a"}}},
			},
			want: claim.Injection{
				Env:          []claim.EnvVar{{Name: "A", Value: "1"}, {Name: "AA", Value: "3"}, {Name: "B", Value: "2"}},
				VolumeMounts: []claim.VolumeMount{{Name: "y", MountPath: "/a"}, {Name: "x", MountPath: "/b"}},
			},
		},
		"Equal": {
			reason: "What two connections say alike is there once.",
			in:     []claim.Injection{proxyInjection(5432), diskInjection("/data", &one), proxyInjection(5432), diskInjection("/data", &one)},
			want: claim.Injection{
				Env:            proxyInjection(5432).Env,
				InitContainers: proxyInjection(5432).InitContainers,
				Volumes:        diskInjection("/data", nil).Volumes,
				VolumeMounts:   diskInjection("/data", nil).VolumeMounts,
				FSGroup:        &one,
			},
		},
		"OfTheService": {
			reason: "What is the service's may come with any connection.",
			in: []claim.Injection{
				{Labels: map[string]string{"a": "1"}},
				{ServiceAccountName: "sa", Containers: []string{"api"}, Labels: map[string]string{"b": "2"}, Annotations: map[string]string{"c": "3"}},
				{ServiceAccountName: "sa", Containers: []string{"api"}},
			},
			want: claim.Injection{ServiceAccountName: "sa", Containers: []string{"api"}, Labels: map[string]string{"a": "1", "b": "2"}, Annotations: map[string]string{"c": "3"}},
		},
		"Different": {
			reason: "Every difference is named with what both say, in words for who reads the claim, and the first word stands.",
			in: []claim.Injection{
				{ServiceAccountName: "a", Containers: []string{"a"}, Labels: map[string]string{"l": "a"}, Env: []claim.EnvVar{{Name: "E", Value: "a"}}, FSGroup: &one, Volumes: disks("v"), VolumeMounts: []claim.VolumeMount{{Name: "a", MountPath: "/p"}}},
				{ServiceAccountName: "b", Containers: []string{"b"}, Labels: map[string]string{"l": "b"}, Env: []claim.EnvVar{{Name: "E", Value: "b"}}, FSGroup: &two, Volumes: tokenInjection("v", "sts").Volumes, VolumeMounts: []claim.VolumeMount{{Name: "a", MountPath: "/p", SubPath: "b"}}},
			},
			want: claim.Injection{ServiceAccountName: "a", Containers: []string{"a"}, Labels: map[string]string{"l": "a"}, Env: []claim.EnvVar{{Name: "E", Value: "a"}}, FSGroup: &one, Volumes: disks("v"), VolumeMounts: []claim.VolumeMount{{Name: "a", MountPath: "/p"}}},
			err: `cannot merge injections: two connections differ in the ServiceAccount, a and b; in the containers, a and b; in label "l", a and b; in variable "E", a and b; ` +
				`in volume "v", disk "v" and token for "sts"; in mount "/p", volume "a" and "b" of volume "a"; in fsGroup, 1 and 2`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Merge(tc.in...)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
			var said string
			if err != nil {
				said = err.Error()
			}
			if diff := cmp.Diff(tc.err, said); diff != "" {
				t.Errorf("%s\nerror, -want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestMergeSharesNothing(t *testing.T) {
	t.Parallel()
	group := int64(1)
	in := claim.Injection{Containers: []string{"api"}, Labels: map[string]string{"a": "1"}, Env: []claim.EnvVar{{Name: "B"}}, FSGroup: &group}
	got, err := Merge(in, claim.Injection{Labels: map[string]string{"b": "2"}, Env: []claim.EnvVar{{Name: "A"}}})
	if err != nil {
		t.Fatal(err)
	}
	got.Containers[0], *got.FSGroup = "changed", 2
	want := claim.Injection{Containers: []string{"api"}, Labels: map[string]string{"a": "1"}, Env: []claim.EnvVar{{Name: "B"}}, FSGroup: in.FSGroup}
	if diff := cmp.Diff(want, in); diff != "" || group != 1 {
		t.Errorf("the merged injection is part of its source (fsGroup %d):\n%s", group, diff)
	}
}

func TestHash(t *testing.T) {
	t.Parallel()
	base := proxyInjection(5432)
	identity := map[string]string{"iam.gke.io/gcp-service-account": "a@p.iam.gserviceaccount.com"}
	published := base
	published.Hash, published.Complete = "0123", true
	cases := map[string]struct {
		reason      string
		in          claim.Injection
		annotations map[string]string
		same        bool
	}{
		"Same":             {"Equal injections have one hash.", proxyInjection(5432), identity, true},
		"HashAndComplete":  {"They are about the injection, not in it.", published, identity, true},
		"Variable":         {"Pods have the old value.", proxyInjection(3306), identity, false},
		"Identity":         {"Pods have the old identity's token.", base, map[string]string{"iam.gke.io/gcp-service-account": "b@p.iam.gserviceaccount.com"}, false},
		"NoIdentity":       {"Pods have a token that is revoked.", base, nil, false},
		"MoreThanIdentity": {"Every annotation of the ServiceAccount counts.", base, map[string]string{"iam.gke.io/gcp-service-account": "a@p.iam.gserviceaccount.com", "azure.workload.identity/client-id": "x"}, false},
	}
	want := Hash(base, identity)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Hash(tc.in, tc.annotations); len(got) != 16 || (got == want) != tc.same {
				t.Errorf("%s\nhash %q beside %q, want the same: %t", tc.reason, got, want, tc.same)
			}
		})
	}
}
