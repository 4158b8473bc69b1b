package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// fsGroup of a pod, nil where it has none.
func fsGroup(pod *corev1.Pod) *int64 {
	if pod.Spec.SecurityContext == nil {
		return nil
	}
	return pod.Spec.SecurityContext.FSGroup
}

// make a disk's folder, as a file system is that was made anew, and give it and what is
// there to a group. A disk that is mounted read-only keeps what it has (Kubernetes,
// pkg/volume/csi, supportsFSGroup).
func (v volume) make(group *int64) error {
	if err := os.MkdirAll(v.folder, 0o755); err != nil { //nolint:gosec // As the root of a file system is.
		return fmt.Errorf("cannot make folder of a disk: %w", err)
	}
	if group == nil || v.readOnly {
		return nil
	}
	if err := filepath.WalkDir(v.folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return own(path, e, int(*group))
	}); err != nil {
		return fmt.Errorf("cannot give a disk to group %d: %w", *group, err)
	}
	return nil
}

// own a file or folder as a group, which may read and write it from then on, and what is
// made in it (Kubernetes, pkg/volume, changeFilePermission).
func own(path string, e fs.DirEntry, group int) error {
	if err := os.Lchown(path, -1, group); err != nil || e.Type()&fs.ModeSymlink != 0 {
		return err //nolint:wrapcheck // make says what it was about.
	}
	info, err := e.Info()
	if err != nil {
		return err //nolint:wrapcheck // As above.
	}
	mode := info.Mode() | 0o660
	if e.IsDir() {
		mode |= fs.ModeSetgid | 0o110
	}
	return os.Chmod(path, mode) //nolint:wrapcheck // As above.
}

// makeSubPath that isn't there, with the rights of the volume, as a kubelet does
// (Kubernetes, pkg/volume/util/subpath, SafeMakeDir).
func (v volume) makeSubPath(path string) error {
	if !v.disk {
		return os.MkdirAll(filepath.Join(v.folder, path), 0o700) //nolint:wrapcheck // mount says what it was about.
	}
	info, err := os.Stat(v.folder)
	if err != nil || path == "" {
		return err //nolint:wrapcheck // As above.
	}
	at := v.folder
	for name := range strings.SplitSeq(path, "/") {
		at = filepath.Join(at, name)
		err := os.Mkdir(at, info.Mode().Perm())
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		// The process's own mask has no say in it.
		if err := errors.Join(err, os.Chmod(at, info.Mode())); err != nil {
			return err
		}
	}
	return nil
}
