package schema

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/serviceconnections/function-service-connections/test/inputs"
	"github.com/serviceconnections/function-service-connections/test/modules"
)

// Crossplane returns a Validator of Crossplane's own kinds, at the version of
// tools/crossplane/go.mod, and of the metadata of its packages. The test fails
// if they can't be read.
func Crossplane(tb testing.TB) *Validator {
	tb.Helper()

	v, err := crossplane()
	if err != nil {
		tb.Fatalf("cannot load Crossplane's CustomResourceDefinitions: %v", err)
	}

	return v
}

var crossplane = sync.OnceValues(func() (*Validator, error) {
	const module = "github.com/crossplane/crossplane/v2"

	dirs, err := modules.Dirs(context.Background(), "crossplane", module)
	if err != nil {
		return nil, err
	}

	var crds []*apiextensionsv1.CustomResourceDefinition

	for _, folder := range []string{"crds", "meta"} {
		pattern := filepath.Join(dirs[module], "cluster", folder, "*.yaml")

		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("cannot find %s: %w", pattern, errors.Join(fs.ErrNotExist, err))
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
func Defined(tb testing.TB, file string) []*apiextensionsv1.CustomResourceDefinition {
	tb.Helper()

	path, err := filepath.Abs(file)
	if err != nil {
		tb.Fatalf("cannot find %s: %v", file, err)
	}

	// Each run of Crossplane's code takes a second.
	once, _ := derived.LoadOrStore(path, sync.OnceValues(func() ([]*apiextensionsv1.CustomResourceDefinition, error) {
		return derive(path)
	}))

	crds, err := once.(func() ([]*apiextensionsv1.CustomResourceDefinition, error))() //nolint:forcetypeassert // The only type that is stored.
	if err != nil {
		tb.Fatalf("cannot derive CustomResourceDefinitions of %s: %v", file, err)
	}

	copies := make([]*apiextensionsv1.CustomResourceDefinition, len(crds))
	for i := range crds {
		copies[i] = crds[i].DeepCopy()
	}

	return copies
}

// derived has functions that return what derive does, by path.
var derived sync.Map

func derive(path string) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	if err := inputs.Read(path); err != nil {
		return nil, err
	}

	out, err := modules.Go(context.Background(), "xcrd", "run", ".", path)
	if err != nil {
		return nil, err
	}

	var crds []*apiextensionsv1.CustomResourceDefinition

	for document := range bytes.SplitSeq(bytes.TrimPrefix(out, []byte("---\n")), []byte("\n---\n")) {
		crd, err := decode(path, document)
		if err != nil {
			return nil, err
		}

		crds = append(crds, crd)
	}

	return crds, nil
}
