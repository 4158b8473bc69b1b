package node

import (
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestDisk lets one pod after another do something with a disk, whose mount is as the pod
// has it.
func TestDisk(t *testing.T) {
	t.Parallel()
	if !MayMount(t.Context()) || os.Geteuid() != 0 {
		t.Skip("only root may mount a disk, and give it to a group")
	}
	dir := t.TempDir()
	// The container's user goes through it to what is its own. The folder above it is go
	// test's.
	for _, folder := range []string{dir, dir + "/.."} {
		if err := os.Chmod(folder, 0o711); err != nil { //nolint:gosec // As above.
			t.Fatal(err)
		}
	}
	n := &Node{Dir: dir, Programs: map[string]string{"sh": "/bin/sh"}}
	const group, user = 2000, 1000
	for _, tc := range []struct {
		name, reason string

		script        string
		user, fsGroup int64
		mount         corev1.VolumeMount

		// want is what it writes, or its error.
		want string
	}{
		{name: "root", reason: "a disk that is new is root's", script: "umask 077; echo before >$D/old && stat -c '%g %a' $D", want: "0 755\n"},
		{name: "stranger", reason: "and nobody else's", script: "echo no >$D/new", user: user, want: "Permission denied"},
		{name: "member", reason: "the pod's fsGroup may write", script: "echo new >$D/new && stat -c '%u %g' $D/new && id -u && id -G", user: user, fsGroup: group, want: "1000 2000\n1000\n0 2000\n"},
		{name: "older", reason: "and has what was there before", script: "cat $D/old", user: user, fsGroup: group, want: "before\n"},
		{name: "folder", reason: "folders stay the group's", script: "mkdir $D/f && echo x >$D/f/x && stat -c %g $D/f/x", user: user, fsGroup: group, want: "2000\n"},
		{name: "still-stranger", reason: "a user without the group has nothing of that", script: "echo no >$D/other", user: user, want: "Permission denied"},
		{name: "below", reason: "a sub-path that isn't there is made with the disk's rights", script: "echo x >$D/x && stat -c '%g %A' $D", user: user, fsGroup: group, mount: corev1.VolumeMount{SubPath: "a/b"}, want: "2000 drwxrwsr-x\n"},
		{name: "above", reason: "which has nothing of what is above", script: "ls $D", user: user, fsGroup: group, mount: corev1.VolumeMount{SubPath: "a/b"}, want: "x\n"},
		{name: "read-only", reason: "not even root writes", script: "echo x >$D/y", mount: corev1.VolumeMount{ReadOnly: true}, want: "Read-only file system"},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: tc.name, Namespace: "team-a", UID: types.UID(tc.name)}}
		pod.Spec.Volumes = []corev1.Volume{{Name: "disk", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "uploads"}}}}
		pod.Spec.SecurityContext = &corev1.PodSecurityContext{}
		if tc.user != 0 {
			pod.Spec.SecurityContext.RunAsUser = &tc.user
		}
		if tc.fsGroup != 0 {
			pod.Spec.SecurityContext.FSGroup = &tc.fsGroup
		}
		tc.mount.Name, tc.mount.MountPath = "disk", "/srv/uploads"
		pod.Spec.Containers = []corev1.Container{{
			Name: "main", Image: "sh", Args: []string{"-c", tc.script},
			Env: []corev1.EnvVar{{Name: "D", Value: "/srv/uploads"}}, VolumeMounts: []corev1.VolumeMount{tc.mount},
		}}
		results, err := n.Run(t.Context(), pod)
		if err != nil {
			t.Fatal(err)
		}
		r := results["main"]
		ok := r.Output == tc.want
		if !strings.HasSuffix(tc.want, "\n") {
			ok = strings.Contains(r.Errors, tc.want)
		}
		if !ok {
			t.Errorf("%s: Run(...): ends with %d and says %s%s, want %s: %s", tc.name, r.Code, r.Output, r.Errors, tc.want, tc.reason)
		}
	}
}
