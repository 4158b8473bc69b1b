// Package builds a release, without Docker: the packages that Crossplane
// installs, with the function's image for each platform in them, the manifests
// that install them, and a bill of materials. Two builds of one commit are the
// same to the byte.
//
// With -push it publishes what was built. With -rootfs it writes the files of one
// image to a folder, and nothing else: what the Dockerfile copies.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// options of a run.
type options struct {
	// root is the folder of the function's module.
	root string

	// out is the folder that a release is written to, and published from.
	out string

	// rootfs is the folder that gets the files of the image instead. Empty: none.
	rootfs string

	// registry to publish to, with the path that the packages are under, such as
	// ghcr.io/serviceconnections. Empty: build.
	registry string

	platforms []v1.Platform
	release   release
}

// A release is what identifies a build.
type release struct {
	// version, such as v1.2.3.
	version string

	// revision is the commit, and empty where it isn't known.
	revision string

	// created is the time of the commit, not of the build, which would make each
	// build another one.
	created time.Time
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "package: %v\n", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop is called.
	}
}

// parse the command line.
func parse(args []string) (options, error) {
	o := options{}
	var platforms, epoch string

	flags := flag.NewFlagSet("package", flag.ContinueOnError)
	flags.StringVar(&o.root, "root", "../..", "folder of the function's module")
	flags.StringVar(&o.out, "out", "dist", "folder of the release")
	flags.StringVar(&o.rootfs, "rootfs", "", "write the files of the image for the only platform to this folder, and nothing else")
	flags.StringVar(&o.registry, "push", "", "publish the release under this path of a registry, such as ghcr.io/serviceconnections")
	flags.StringVar(&platforms, "platforms", "linux/amd64,linux/arm64", "platforms to build for")
	flags.StringVar(&o.release.version, "version", "", "version of the release; that of the manifests if empty")
	flags.StringVar(&o.release.revision, "revision", "", "commit that is built")
	flags.StringVar(&epoch, "created", "0", "time of that commit, in seconds since 1970 (SOURCE_DATE_EPOCH)")
	if err := flags.Parse(args); err != nil {
		return o, fmt.Errorf("cannot parse flags: %w", err)
	}

	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return o, fmt.Errorf("-created is %q; it must be a number of seconds since 1970", epoch)
	}
	o.release.created = time.Unix(seconds, 0).UTC()

	for p := range strings.SplitSeq(platforms, ",") {
		platform, err := v1.ParsePlatform(p)
		if err != nil || platform.OS == "" || platform.Architecture == "" {
			return o, fmt.Errorf("-platforms has %q; it must be a list such as linux/amd64,linux/arm64", p)
		}
		o.platforms = append(o.platforms, *platform)
	}
	if o.release.version != "" {
		if _, err := name.NewTag(functionPackage + ":" + o.release.version); err != nil {
			return o, fmt.Errorf("version %q can't be the tag of an image; name one such as v1.2.3", o.release.version)
		}
	}
	if o.rootfs != "" && len(o.platforms) != 1 {
		return o, fmt.Errorf("-rootfs takes one platform, not %q; name it in -platforms", platforms)
	}
	return o, nil
}

func run(ctx context.Context, o options) error {
	if o.registry != "" {
		return publish(ctx, o)
	}
	manifests, err := readManifests(o.root, o.release.version)
	if err != nil {
		return err
	}
	o.release.version = manifests.version
	if o.rootfs != "" {
		files, _, err := contents(ctx, o, o.platforms[0])
		if err != nil {
			return err
		}
		return files.write(o.rootfs)
	}
	return build(ctx, o, manifests)
}

// contents of the image for a platform, and the modules in it.
func contents(ctx context.Context, o options, platform v1.Platform) (filesystem, []module, error) {
	binary, err := compile(ctx, o.root, platform, o.release.version)
	if err != nil {
		return nil, nil, err
	}
	modules, err := linked(ctx, o.root, platform)
	if err != nil {
		return nil, nil, err
	}
	return rootfs(binary, modules), modules, nil
}

// build a release.
func build(ctx context.Context, o options, m manifests) error {
	work, err := os.MkdirTemp("", "package-")
	if err != nil {
		return fmt.Errorf("cannot make folder: %w", err)
	}
	defer os.RemoveAll(work) //nolint:errcheck // The system clears temporary folders, too.

	sources := filepath.Join(work, "package")
	if err := m.files.write(sources); err != nil {
		return err
	}
	if err := removeFunctions(o.out); err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil { //nolint:gosec // What is published is no secret.
		return fmt.Errorf("cannot make folder: %w", err)
	}

	for _, platform := range o.platforms {
		if err := buildFunction(ctx, o, platform, work, filepath.Join(sources, "function")); err != nil {
			return err
		}
	}
	for repository, folder := range configurationPackages {
		if err := buildPackage(ctx, o, filepath.Join(sources, folder), repository); err != nil {
			return err
		}
	}
	for manifest, folder := range installations {
		if err := writeInstallation(ctx, o, filepath.Join(sources, folder), manifest); err != nil {
			return err
		}
	}
	if err := writeSchema(o, m); err != nil {
		return err
	}
	return writeDigests(ctx, o)
}

// removeFunctions of an earlier release, which may be for a platform that isn't
// part of this one.
func removeFunctions(dir string) error {
	earlier, err := filepath.Glob(filepath.Join(dir, functionPackage+"-*.xpkg"))
	if err != nil {
		return fmt.Errorf("cannot look for an earlier release: %w", err)
	}
	for _, file := range earlier {
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("cannot remove an earlier release: %w", err)
		}
	}
	return nil
}

// buildFunction for a platform: its package, and the bill of materials.
func buildFunction(ctx context.Context, o options, platform v1.Platform, work, metadata string) error {
	files, modules, err := contents(ctx, o, platform)
	if err != nil {
		return err
	}
	file := functionPackage + "-" + platform.OS + "-" + platform.Architecture
	image := filepath.Join(work, file+".tar")
	if err := writeImage(image, files, platform, o.release); err != nil {
		return err
	}
	if err := buildPackage(ctx, o, metadata, file, "--embed-runtime-image-tarball="+image); err != nil {
		return err
	}
	return writeSBOM(filepath.Join(o.out, file+".spdx.json"), modules, platform, o.release)
}
