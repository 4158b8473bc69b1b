package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	// entrypoint of the image.
	entrypoint = "/function"

	// user and group of the image, which distroless images call nonroot.
	user = "65532:65532"

	source = "https://github.com/serviceconnections/function-service-connections"
)

// compile the function. Without paths, since these differ from machine to machine.
func compile(ctx context.Context, root string, platform v1.Platform, version string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "package-")
	if err != nil {
		return nil, fmt.Errorf("cannot make folder: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // The system clears temporary folders, too.

	binary := filepath.Join(dir, "function")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false", "-ldflags=-s -w -X main.version="+version, "-o", binary, ".") //nolint:gosec // The version that whoever runs this gives.
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+platform.OS, "GOARCH="+platform.Architecture)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cannot compile the function for %s: %w: %s", platform, err, out)
	}
	data, err := os.ReadFile(binary) //nolint:gosec // It was just written.
	if err != nil {
		return nil, fmt.Errorf("cannot read the function's binary: %w", err)
	}
	return data, nil
}

// A file of an image.
type file struct {
	content []byte
	mode    os.FileMode
}

// filesystem of an image: files by their path, without the leading slash.
type filesystem map[string]file

// rootfs is all that the image holds. The function dials nobody, so it needs no
// certificate authorities; nor a shell, a libc or time zones.
func rootfs(binary []byte, modules []module) filesystem {
	files := filesystem{
		filepath.Base(entrypoint): {binary, 0o555},
		"etc/passwd":              {[]byte("nonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"), 0o444},
		"etc/group":               {[]byte("nonroot:x:65532:\n"), 0o444},
	}
	for _, m := range modules {
		for path, text := range m.licences {
			files["licences/"+path] = file{text, 0o444}
		}
	}
	return files
}

// write the files to a folder.
func (f filesystem) write(dir string) error {
	for path, file := range f {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil { //nolint:gosec // Whoever runs the image reads it.
			return fmt.Errorf("cannot make folder: %w", err)
		}
		if err := os.WriteFile(full, file.content, file.mode); err != nil {
			return fmt.Errorf("cannot write file of the image: %w", err)
		}
	}
	return nil
}

// tar of the files, in order, without times and owners.
func (f filesystem) tar() ([]byte, error) {
	buf := &bytes.Buffer{}
	w := tar.NewWriter(buf)
	for _, path := range slices.Sorted(maps.Keys(f)) {
		file := f[path]
		if err := w.WriteHeader(&tar.Header{Name: path, Mode: int64(file.mode), Size: int64(len(file.content)), Typeflag: tar.TypeReg}); err != nil {
			return nil, fmt.Errorf("cannot write header of %s: %w", path, err)
		}
		if _, err := w.Write(file.content); err != nil {
			return nil, fmt.Errorf("cannot write %s: %w", path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("cannot finish layer: %w", err)
	}
	return buf.Bytes(), nil
}

// writeImage as a tarball that Docker and Crossplane's CLI load.
func writeImage(path string, files filesystem, platform v1.Platform, r release) error {
	image, err := newImage(files, platform, r)
	if err != nil {
		return err
	}
	tag, err := name.NewTag("function-service-connections:" + r.version)
	if err != nil {
		return fmt.Errorf("cannot tag image: %w", err)
	}
	if err := tarball.WriteToFile(path, tag, image); err != nil {
		return fmt.Errorf("cannot write image %s: %w", path, err)
	}
	return nil
}

// newImage of one layer.
func newImage(files filesystem, platform v1.Platform, r release) (v1.Image, error) {
	data, err := files.tar()
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("cannot make layer: %w", err)
	}
	image, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), layer)
	if err != nil {
		return nil, fmt.Errorf("cannot add layer: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("cannot read configuration of the image: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = platform.OS, platform.Architecture
	config.Created = v1.Time{Time: r.created}
	config.Config = v1.Config{
		Entrypoint:   []string{entrypoint},
		User:         user,
		WorkingDir:   "/",
		ExposedPorts: map[string]struct{}{"9443/tcp": {}, "8080/tcp": {}},
		Labels:       labels(r),
	}
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		return nil, fmt.Errorf("cannot configure image: %w", err)
	}
	return image, nil
}

// labels of the image, by the OCI image specification's annotations, and by those that
// Artifact Hub lists it by (artifacthub.io/docs/topics/repositories/container-images).
func labels(r release) map[string]string {
	raw := strings.Replace(source, "//github.com/", "//raw.githubusercontent.com/", 1) + "/" + r.version
	l := map[string]string{
		"io.artifacthub.package.category":      "security",
		"io.artifacthub.package.keywords":      "crossplane,composition function,workload identity,service account,iam,eks,aks,gke",
		"io.artifacthub.package.license":       "Apache-2.0",
		"io.artifacthub.package.logo-url":      raw + "/docs/icon.svg",
		"io.artifacthub.package.readme-url":    raw + "/README.md",
		"org.opencontainers.image.title":       "function-service-connections",
		"org.opencontainers.image.description": "A Crossplane composition function that connects services to cloud resources without keys.",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.source":      source,
		"org.opencontainers.image.version":     r.version,
	}
	if strings.Contains(r.version, "-") {
		l["io.artifacthub.package.prerelease"] = "true"
	}
	if r.created.Unix() > 0 {
		l["org.opencontainers.image.created"] = r.created.Format(time.RFC3339)
	}
	if r.revision != "" {
		l["org.opencontainers.image.revision"] = r.revision
	}
	return l
}
