package schema

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// Crossplane returns a Validator of Crossplane's own kinds, at the version of
// tools/crossplane/go.mod, and of the metadata of its packages. The test fails
// if they can't be read.
func Crossplane(t testing.TB) *Validator {
	t.Helper()

	v, err := crossplane()
	if err != nil {
		t.Fatalf("cannot load Crossplane's CustomResourceDefinitions: %v", err)
	}

	return v
}

var crossplane = sync.OnceValues(func() (*Validator, error) {
	const module = "github.com/crossplane/crossplane/v2"

	dirs, err := moduleDirs("crossplane", module)
	if err != nil {
		return nil, err
	}

	var crds []*apiextensionsv1.CustomResourceDefinition

	for _, folder := range []string{"crds", "meta"} {
		files, err := filepath.Glob(filepath.Join(dirs[module], "cluster", folder, "*.yaml"))
		if err != nil {
			return nil, err
		}

		for _, file := range files {
			crd, err := read(file)
			if err != nil {
				return nil, err
			}

			crds = append(crds, crd)
		}
	}

	return New(crds...), nil
})

// Defined returns the CustomResourceDefinitions that Crossplane makes of a
// CompositeResourceDefinition, by Crossplane's own code: that of the composite
// resource, and then that of its claim if it has one. The file is relative to
// the folder of the test. The test fails if Crossplane would refuse it.
func Defined(t testing.TB, file string) []*apiextensionsv1.CustomResourceDefinition {
	t.Helper()

	crds, err := defined(file)
	if err != nil {
		t.Fatalf("cannot derive CustomResourceDefinitions of %s: %v", file, err)
	}

	return crds
}

func defined(file string) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}

	if _, err := os.Stat(path); err != nil {
		return nil, err
	}

	out, err := runGo("xcrd", "run", ".", path)
	if err != nil {
		return nil, err
	}

	var crds []*apiextensionsv1.CustomResourceDefinition

	for _, document := range bytes.Split(bytes.TrimPrefix(out, []byte("---\n")), []byte("\n---\n")) {
		crd, err := decode(file, document)
		if err != nil {
			return nil, err
		}

		crds = append(crds, crd)
	}

	return crds, nil
}
