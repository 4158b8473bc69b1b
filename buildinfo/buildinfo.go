// Package buildinfo says what a binary was built of.
package buildinfo

import "runtime/debug"

// Version of a binary: the one that the linker stamped where a release was built, or
// else that of the module that go installed.
func Version(stamped string) string {
	if stamped != "" {
		return stamped
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "(unknown)"
}
