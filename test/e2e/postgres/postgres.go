// Package postgres runs a real PostgreSQL, where the machine has one.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/serviceconnections/function-service-connections/test/e2e/controlplane"
	"github.com/serviceconnections/function-service-connections/test/process"
)

const (
	startTimeout = 30 * time.Second

	// superuser of the database, who needs no password: whoever gets as far as this
	// has shown a certificate.
	superuser = "shop"
)

// A Server of PostgreSQL.
type Server struct {
	// Socket that it listens at, and nowhere else.
	Socket string

	dir   string
	cmd   *exec.Cmd
	ended <-chan error
}

// find a program of PostgreSQL, of the newest version that the machine has.
func find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	installed, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // The pattern is well-formed.
	if len(installed) == 0 {
		return "", fmt.Errorf("this machine has no %s", name)
	}
	slices.Sort(installed)
	return installed[len(installed)-1], nil
}

// Installed says whether the machine has PostgreSQL.
func Installed() bool {
	_, err := find("initdb")
	return err == nil
}

// Start a server with a database of its own, until Stop. By the name it tells itself from
// others, as its setting cluster_name.
func Start(ctx context.Context, name string) (s *Server, err error) {
	initdb, err := find("initdb")
	if err != nil {
		return nil, err
	}
	server, err := find("postgres")
	if err != nil {
		return nil, err
	}
	// A Unix socket's path may have a hundred characters, so it isn't in a test's folder.
	dir, err := os.MkdirTemp("", "pg-")
	if err != nil {
		return nil, fmt.Errorf("cannot make folder for PostgreSQL: %w", err)
	}
	s = &Server{Socket: filepath.Join(dir, ".s.PGSQL.5432"), dir: dir}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	as, err := notRoot(dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	command := func(path string, args ...string) *exec.Cmd {
		cmd := exec.Command(path, args...) //nolint:noctx // Stop ends it.
		cmd.SysProcAttr, cmd.Dir = as, dir
		return cmd
	}
	if out, err := command(initdb, "-D", data, "-U", superuser, "-A", "trust", "--no-sync").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cannot make database: %w: %s", err, out)
	}
	s.cmd = command(server, "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "cluster_name="+name)
	if s.ended, err = process.Attach(s.cmd); err != nil {
		return nil, fmt.Errorf("cannot start PostgreSQL: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not within %s", startTimeout))
	defer cancel()
	return s, controlplane.Poll(ctx, func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", s.Socket)
		if err != nil {
			return fmt.Errorf("cannot connect to PostgreSQL: %w", err)
		}
		return conn.Close()
	})
}

// notRoot, which PostgreSQL refuses to run as: nobody, to whom the folder is given.
func notRoot(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("cannot run PostgreSQL as root, nor as nobody: %w", err)
	}
	uid, errUID := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(nobody.Gid, 10, 32)
	if err := errors.Join(errUID, errGID, os.Chown(dir, int(uid), int(gid))); err != nil {
		return nil, fmt.Errorf("cannot run PostgreSQL as nobody: %w", err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// Stop the server, and remove its database.
func (s *Server) Stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(syscall.SIGINT) // Fast shutdown; it may have ended by itself.
		<-s.ended                                //nolint:errcheck // As above.
	}
	_ = os.RemoveAll(s.dir) // The system removes it otherwise.
}
