// Command disk keeps something on a disk as an application does: in the file that FILE
// names, it writes what it is told, and reads what is there.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/serviceconnections/function-service-connections/test/clients/attempt"
)

func main() {
	text := flag.String("write", "", "what to write before it reads")
	group := flag.Bool("group", false, "say whose the file is, as its group, and not what is in it")
	flag.Parse()
	os.Exit(attempt.Run(func(context.Context) (string, error) {
		file := os.Getenv("FILE")
		if *text != "" {
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				return "", err //nolint:wrapcheck // The system's own words are what a user reads.
			}
			if err := os.WriteFile(file, []byte(*text), 0o600); err != nil {
				return "", err //nolint:wrapcheck // The system's own words are what a user reads.
			}
		}
		if *group {
			return groupOf(file)
		}
		b, err := os.ReadFile(file)
		return string(b), err
	}))
}

// groupOf a file, by its number.
func groupOf(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", err //nolint:wrapcheck // The system's own words are what a user reads.
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("this system has no groups")
	}
	return fmt.Sprintf("group %d", s.Gid), nil
}
