package e2e

import (
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
- {name: reader, connections: [{type: disk, config: {diskName: uploads, mountPath: /in, subPath: reports, readOnly: true}}]}`)
		team.awaitReady()
		team.awaitInjecting("shop", "writer")
		team.awaitInjecting("shop", "reader")
		pod := func(service, name, file string, args ...string) *corev1.Pod {
			p := clientOf(service, "disk", args...)
			p.Name, p.Spec.Containers[0].Env = name, []corev1.EnvVar{{Name: "FILE", Value: file}}
			return team.admit(p)
		}
		team.wantLogin(pod("writer", "above", "/srv/uploads/secret", "-write=above"), "^above$")
		team.wantLogin(pod("writer", "below", "/srv/uploads/reports/may", "-write=below"), "^below$")
		team.wantLogin(pod("reader", "reads", "/in/may"), "^below$")
		team.wantNoLogin(pod("reader", "outside", "/in/secret"), "no such file or directory")
		team.wantNoLogin(pod("reader", "writes", "/in/june", "-write=no"), "read-only file system")
	})
}
