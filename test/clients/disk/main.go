// Command disk keeps something on a disk as an application does: in the file that FILE
// names, it writes what it is told, and reads what is there.
package main

import (
	"context"
	"flag"
	"os"
	"path/filepath"

	"github.com/serviceconnections/function-service-connections/test/clients/attempt"
)

func main() {
	text := flag.String("write", "", "what to write before it reads")
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
		b, err := os.ReadFile(file)
		return string(b), err
	}))
}
