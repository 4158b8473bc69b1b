package controlplane

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// fieldOwner of what the harness applies.
const fieldOwner = client.FieldOwner("controlplane")

// Parse the YAML documents of a stream, without empty ones.
func Parse(stream string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for r := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(stream))); ; {
		b, err := r.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read YAML: %w", err)
		}
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(b, &u.Object); err != nil {
			return nil, fmt.Errorf("cannot parse YAML: %w:\n%s", err, b)
		}
		if len(u.Object) > 0 {
			objects = append(objects, u)
		}
	}
}

// ApplyYAML applies every object of a YAML stream, as kubectl apply
// --server-side does.
func (c *ControlPlane) ApplyYAML(ctx context.Context, stream string) error {
	objects, err := Parse(stream)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if err := c.Apply(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// ApplyFiles of YAML, by their path in the repository.
func (c *ControlPlane) ApplyFiles(ctx context.Context, paths ...string) error {
	for _, p := range paths {
		b, err := os.ReadFile(filepath.Join(c.Root, p))
		if err != nil {
			return fmt.Errorf("cannot read manifest: %w", err)
		}
		if err := c.ApplyYAML(ctx, string(b)); err != nil {
			return fmt.Errorf("cannot apply %s: %w", p, err)
		}
	}
	return nil
}

// Apply one object. The object then is what the API server made of it.
func (c *ControlPlane) Apply(ctx context.Context, o *unstructured.Unstructured) error {
	if err := c.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), fieldOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("cannot apply %s %q: %w", o.GetKind(), o.GetName(), err)
	}
	return nil
}

// ApplyStatus merges the status of one object, as a client that may write it.
func ApplyStatus(ctx context.Context, as client.Client, y string) error {
	objects, err := Parse(y)
	if err != nil {
		return err
	}
	for _, o := range objects {
		patch, err := yaml.YAMLToJSON([]byte(y))
		if err != nil {
			return fmt.Errorf("cannot encode status: %w", err)
		}
		if err := as.Status().Patch(ctx, o, client.RawPatch("application/merge-patch+json", patch)); err != nil {
			return fmt.Errorf("cannot write status of %s %q: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// Get an object, nil where it doesn't exist.
func (c *ControlPlane) Get(ctx context.Context, apiVersion, kind, namespace, name string) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	err := c.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, u)
	switch {
	case kerrors.IsNotFound(err), meta.IsNoMatchError(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("cannot get %s %q: %w", kind, name, err)
	}
	return u, nil
}

func (c *ControlPlane) exists(ctx context.Context, apiVersion, kind, namespace, name string) error {
	u, err := c.Get(ctx, apiVersion, kind, namespace, name)
	if err == nil && u == nil {
		err = fmt.Errorf("%s %q does not exist", kind, name)
	}
	return err
}
