package e2e

import (
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/serviceconnections/function-service-connections/test/e2e/node"
)

// TestDiskClient: a process finds the disk where the claim says, with what another pod
// has left there, below the sub-path alone, and can't write where it is read-only.
func TestDiskClient(t *testing.T) {
	t.Parallel()
	long(t)
	eachMode(t, func(team *team) {
		if !node.MayMount(team.t.Context()) {
			team.t.Skip("this machine lets its user mount nothing")
		}
		team.connect(`
- {name: writer, connections: [{type: disk, config: {diskName: uploads, mountPath: /srv/uploads}}]}
- {name: reader, connections: [{type: disk, config: {diskName: uploads, mountPath: /in, subPath: reports, readOnly: true}}]}
- {name: member, connections: [{type: disk, config: {diskName: uploads, mountPath: /srv/uploads, fsGroup: 2000}}]}
- {name: below, connections: [{type: disk, config: {diskName: uploads, mountPath: /out, subPath: exports/daily, fsGroup: 2000}}]}`)
		team.awaitReady()
		for _, service := range []string{"writer", "reader", "member", "below"} {
			team.awaitInjecting("shop", service)
		}
		pod := func(service, name, file string, args ...string) *corev1.Pod {
			p := clientOf(service, "disk", args...)
			p.Name, p.Spec.Containers[0].Env = name, []corev1.EnvVar{{Name: "FILE", Value: file}}
			return p
		}
		login := func(want string, p *corev1.Pod) { team.t.Helper(); team.wantLogin(team.admit(p), want) }
		refused := func(want string, p *corev1.Pod) { team.t.Helper(); team.wantNoLogin(team.admit(p), want) }
		login("^above$", pod("writer", "above", "/srv/uploads/secret", "-write=above"))
		login("^below$", pod("writer", "below", "/srv/uploads/reports/may", "-write=below"))
		login("^below$", pod("reader", "reads", "/in/may"))
		refused("no such file or directory", pod("reader", "outside", "/in/secret"))
		refused("read-only file system", pod("reader", "writes", "/in/june", "-write=no"))

		if os.Geteuid() != 0 {
			team.t.Log("fsGroup is left out: only root may give a disk to another group")
			return
		}
		// A user who isn't root may do with a disk what its group may.
		user := func(p *corev1.Pod) *corev1.Pod {
			p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: new(int64(1000)), RunAsNonRoot: new(true)}
			return p
		}
		refused("permission denied", user(pod("writer", "stranger", "/srv/uploads/stranger", "-write=no")))
		login("^ours$", user(pod("member", "member", "/srv/uploads/ours", "-write=ours")))
		login("^group 2000$", user(pod("member", "group", "/srv/uploads/ours", "-group")))
		login("^above$", user(pod("member", "older", "/srv/uploads/secret")))
		login("^group 2000$", user(pod("below", "sub-path", "/out/today", "-write=ours", "-group")))
		login("^ours$", user(pod("member", "whole", "/srv/uploads/exports/daily/today")))
		refused("permission denied", user(pod("writer", "stranger-still", "/srv/uploads/stranger", "-write=no")))
	})
}
