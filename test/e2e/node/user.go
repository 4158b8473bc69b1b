package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// userOf a container that has a disk, nil where it is its image's, which is root's here.
// The others run as the node does, whose network they read files for.
func (r *run) userOf(spec *corev1.Container, mounted mounts) *int64 {
	if !slices.ContainsFunc(mounted, func(m mount) bool { return m.disk }) {
		return nil
	}
	if s := spec.SecurityContext; s != nil && s.RunAsUser != nil {
		return s.RunAsUser
	}
	if s := r.pod.Spec.SecurityContext; s != nil {
		return s.RunAsUser
	}
	return nil
}

// forUser of a container is its program, as a file that the user may run.
func (r *run) forUser(user *int64, spec *corev1.Container, program string) (string, error) {
	if user == nil {
		return program, nil
	}
	if os.Geteuid() != 0 {
		return "", fmt.Errorf("only root can run it as user %d", *user)
	}
	b, err := os.ReadFile(program)
	to := filepath.Join(r.dir, spec.Name, filepath.Base(program))
	if err = errors.Join(err, os.WriteFile(to, b, 0o755)); err != nil {
		return "", fmt.Errorf("cannot copy its program: %w", err)
	}
	return to, nil
}

// asUser of a container runs a command: with the user's id, no capabilities, and the
// pod's fsGroup beside root's group, as containers have it whose image names no other
// (setpriv(1)).
func (r *run) asUser(user *int64, command []string) []string {
	if user == nil {
		return command
	}
	groups := "--clear-groups"
	if group := fsGroup(r.pod); group != nil {
		groups = "--groups=" + strconv.FormatInt(*group, 10)
	}
	return append([]string{"setpriv", "--reuid=" + strconv.FormatInt(*user, 10), "--regid=0", groups, "--inh-caps=-all", "--no-new-privs", "--"}, command...)
}
