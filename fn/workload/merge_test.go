package workload

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

func pointer[T any](v T) *T {
	return &v
}

// message of an error, empty for none.
func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestMerge(t *testing.T) {
	t.Parallel()
	disk := claim.Volume{Name: "sc-disk", PersistentVolumeClaim: &claim.PersistentVolumeClaimVolume{ClaimName: "a"}}
	other := claim.Volume{Name: "sc-disk", PersistentVolumeClaim: &claim.PersistentVolumeClaimVolume{ClaimName: "b"}}
	cases := map[string]struct {
		reason     string
		injections []claim.Injection
		want       claim.Injection
		err        string
	}{
		"None": {reason: "Without connections there is nothing."},
		"Same": {
			reason: "What two say alike is there once.",
			injections: []claim.Injection{
				{ServiceAccountName: "a", Containers: []string{"c"}, Labels: map[string]string{"l": "1"}, Env: []claim.EnvVar{{Name: "A", Value: "1"}}, Volumes: []claim.Volume{disk}, FSGroup: pointer[int64](1)},
				{ServiceAccountName: "a", Containers: []string{"c"}, Labels: map[string]string{"l": "1"}, Env: []claim.EnvVar{{Name: "A", Value: "1"}}, Volumes: []claim.Volume{disk}, FSGroup: pointer[int64](1)},
			},
			want: claim.Injection{ServiceAccountName: "a", Containers: []string{"c"}, Labels: map[string]string{"l": "1"}, Env: []claim.EnvVar{{Name: "A", Value: "1"}}, Volumes: []claim.Volume{disk}, FSGroup: pointer[int64](1)},
		},
		"Sorted": {
			reason: "The order of the connections changes nothing.",
			injections: []claim.Injection{
				{Env: []claim.EnvVar{{Name: "B"}, {Name: "A"}}, VolumeMounts: []claim.VolumeMount{{Name: "x", MountPath: "/z"}}},
				{Env: []claim.EnvVar{{Name: "C"}, {Name: "A"}}, VolumeMounts: []claim.VolumeMount{{Name: "y", MountPath: "/b"}}, InitContainers: []claim.Sidecar{{Name: "s"}}},
				{ServiceAccountName: "late", Annotations: map[string]string{"k": "v"}},
			},
			want: claim.Injection{
				ServiceAccountName: "late",
				Annotations:        map[string]string{"k": "v"},
				Env:                []claim.EnvVar{{Name: "A"}, {Name: "B"}, {Name: "C"}},
				VolumeMounts:       []claim.VolumeMount{{Name: "y", MountPath: "/b"}, {Name: "x", MountPath: "/z"}},
				InitContainers:     []claim.Sidecar{{Name: "s"}},
			},
		},
		"Different": {
			reason: "Everything that two say differently is named; the first one's word stands.",
			injections: []claim.Injection{
				{ServiceAccountName: "a", Containers: []string{"c"}, Labels: map[string]string{"l": "1"}, Env: []claim.EnvVar{{Name: "A", Value: "1"}}, Volumes: []claim.Volume{disk}, FSGroup: pointer[int64](1)},
				{ServiceAccountName: "b", Containers: []string{"d"}, Labels: map[string]string{"l": "2"}, Env: []claim.EnvVar{{Name: "A", Value: "2"}}, Volumes: []claim.Volume{disk}, FSGroup: pointer[int64](2)},
			},
			want: claim.Injection{ServiceAccountName: "a", Containers: []string{"c"}, Labels: map[string]string{"l": "1"}, Env: []claim.EnvVar{{Name: "A", Value: "1"}}, Volumes: []claim.Volume{disk}, FSGroup: pointer[int64](1)},
			err: "cannot merge injections: two connections differ in the ServiceAccount, a and b\n" +
				"cannot merge injections: two connections differ in the containers, [c] and [d]\n" +
				"cannot merge injections: two connections differ in label \"l\", 1 and 2\n" +
				"cannot merge injections: two connections differ in variable \"A\", {A 1} and {A 2}\n" +
				"cannot merge injections: two connections differ in fsGroup, 1 and 2",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Merge(tc.injections...)
			if diff := cmp.Diff(tc.err, message(err)); diff != "" {
				t.Errorf("\n%s\nMerge(...): -want error, +got error:\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\n%s\nMerge(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}

	if _, err := Merge(claim.Injection{Volumes: []claim.Volume{disk}}, claim.Injection{Volumes: []claim.Volume{other}}); err == nil {
		t.Error("Volumes that differ below a pointer must be an error.")
	}
}

func TestHash(t *testing.T) {
	t.Parallel()
	injection := claim.Injection{ServiceAccountName: "a", Env: []claim.EnvVar{{Name: "A", Value: "1"}}}
	role := map[string]string{"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/a"}
	base := Hash(injection, role)
	cases := map[string]struct {
		reason      string
		change      func(*claim.Injection)
		annotations map[string]string
		same        bool
	}{
		"Itself": {
			reason: "The hash is deterministic.",
			change: func(*claim.Injection) {}, annotations: role, same: true,
		},
		"Published": {
			reason: "Hash and Complete are about the injection, not of it.",
			change: func(i *claim.Injection) { i.Hash, i.Complete = "x", true }, annotations: role, same: true,
		},
		"OtherValue": {
			reason: "Pods that run have the old value.",
			change: func(i *claim.Injection) { i.Env = []claim.EnvVar{{Name: "A", Value: "2"}} }, annotations: role,
		},
		"OtherIdentity": {
			reason: "Pods that run have the old identity, though their spec stays.",
			change: func(*claim.Injection) {}, annotations: map[string]string{"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/b"},
		},
		"NoIdentity": {
			reason: "Pods that run have an identity.",
			change: func(*claim.Injection) {},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed := injection
			tc.change(&changed)
			got := Hash(changed, tc.annotations)
			if len(got) != hashLength || (got == base) != tc.same {
				t.Errorf("\n%s\nHash(...): %s, before %s, want the same: %t", tc.reason, got, base, tc.same)
			}
		})
	}
}
