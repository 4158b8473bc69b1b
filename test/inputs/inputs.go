// Package inputs names the files that a test reads through processes which it
// starts. The go command remembers a test's result until a file changes that the test
// itself has read, and doesn't see what other processes read: without this, a test
// that renders the examples with a built function would pass from memory after any
// change of the function.
package inputs

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// Read lets the result of the test that calls it count only as long as the supplied
// files, and all files below the supplied folders, stay as they are. What is made
// from other files is left out: dist, and folders whose names start with a dot.
//
// It has no effect on files outside the module of the test: such a test must run with
// -count=1, as make test runs it.
func Read(paths ...string) error {
	for _, root := range paths {
		// Reading a folder is reading the size and time of all that is in it.
		if err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "dist") {
				return fs.SkipDir
			}
			return err
		}); err != nil {
			return fmt.Errorf("cannot read what a test depends on: %w", err)
		}
	}
	return nil
}
