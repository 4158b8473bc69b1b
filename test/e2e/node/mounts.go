package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// A mount of a container: a folder that it finds at a path.
type mount struct {
	path string

	// from is the folder of the volume, and at the one in the container's.
	from, at string

	disk, readOnly bool
}

// mounts of a container.
type mounts []mount

// mount the volumes of a container into a folder of its own, at their paths. Disks are
// left to its process.
func (r *run) mount(spec *corev1.Container) (mounts, error) {
	root := filepath.Join(r.dir, spec.Name)
	if err := os.MkdirAll(root, 0o711); err != nil { //nolint:gosec // Its user may be another one.
		return nil, fmt.Errorf("cannot make folder: %w", err)
	}
	var all mounts
	for _, m := range spec.VolumeMounts {
		v, ok := r.volumes[m.Name]
		if !ok {
			continue
		}
		of := mount{
			path: m.MountPath, from: filepath.Join(v.folder, m.SubPath), at: filepath.Join(root, filepath.FromSlash(m.MountPath)),
			disk: v.disk, readOnly: v.readOnly || m.ReadOnly,
		}
		err := v.makeSubPath(m.SubPath)
		if of.disk {
			err = errors.Join(err, os.MkdirAll(of.at, 0o711)) //nolint:gosec // As above.
		} else {
			// A container that starts again finds what it had.
			err = errors.Join(err, os.MkdirAll(filepath.Dir(of.at), 0o700), os.RemoveAll(of.at), os.Symlink(of.from, of.at))
		}
		if err != nil {
			return nil, fmt.Errorf("cannot mount volume %s: %w", m.Name, err)
		}
		all = append(all, of)
	}
	return all, nil
}

// in says a value of the environment as the process sees it.
func (all mounts) in(value string) string {
	for _, m := range all {
		if rest, ok := strings.CutPrefix(value, m.path); ok && (rest == "" || strings.HasPrefix(rest, "/")) {
			return m.at + rest
		}
	}
	return value
}

// bind disks in a mount namespace, and run a command. Each disk is three arguments: its
// folder, where it belongs, and ro or rw.
const bind = `while [ "$1" != -- ]; do
	mount --bind "$1" "$2" && mount -o "remount,bind,$3" "$2" || exit 125
	shift 3
done
shift
exec "$@"`

// command that runs another one with the disks mounted.
func (all mounts) command(of []string) []string {
	var disks []string
	for _, m := range all {
		switch {
		case m.disk && m.readOnly:
			disks = append(disks, m.from, m.at, "ro")
		case m.disk:
			disks = append(disks, m.from, m.at, "rw")
		}
	}
	if disks == nil {
		return of
	}
	command := append(unshare(), "sh", "-c", bind, "sh")
	return append(append(append(command, disks...), "--"), of...)
}

// unshare gives a command a mount namespace of its own, in which its user may mount
// (unshare(1)).
func unshare() []string {
	if os.Geteuid() == 0 {
		return []string{"unshare", "--mount"}
	}
	return []string{"unshare", "--mount", "--map-root-user"}
}

// MayMount says whether this machine lets its user mount disks.
func MayMount(ctx context.Context) bool {
	command := append(unshare(), "true")
	return exec.CommandContext(ctx, command[0], command[1:]...).Run() == nil
}
