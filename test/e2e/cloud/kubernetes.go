package cloud

import (
	"context"
	"fmt"
	"reflect"

	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// objects of provider-kubernetes: each applies a manifest to its own cluster.
type objects struct {
	client client.Client
}

func manifest(m *managedResource) *unstructured.Unstructured {
	o, _, _ := unstructured.NestedMap(m.Spec, "forProvider", "manifest")
	return &unstructured.Unstructured{Object: o}
}

func (c objects) get(m *managedResource) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(manifest(m).GroupVersionKind())
	if err := c.client.Get(context.Background(), client.ObjectKeyFromObject(manifest(m)), o); err != nil {
		return nil, err //nolint:wrapcheck // The caller asks what it is, or wraps it.
	}
	return o, nil
}

func (c objects) observe(m *managedResource) (observation, error) {
	got, err := c.get(m)
	switch {
	case kerrors.IsNotFound(err):
		return observation{}, nil
	case err != nil:
		return observation{}, fmt.Errorf("cannot get object: %w", err)
	}
	want := manifest(m)
	return observation{
		exists:   true,
		upToDate: contains(got.Object["spec"], want.Object["spec"]),
		at:       map[string]any{"manifest": got.Object},
	}, nil
}

// contains says whether an object has every field of another one.
func contains(got, want any) bool {
	w, ok := want.(map[string]any)
	if !ok {
		return reflect.DeepEqual(got, want)
	}
	g, _ := got.(map[string]any)
	for k, v := range w {
		if !contains(g[k], v) {
			return false
		}
	}
	return true
}

func (c objects) apply(m *managedResource) error {
	if err := c.client.Apply(context.Background(), client.ApplyConfigurationFromUnstructured(manifest(m)), client.FieldOwner("provider-kubernetes"), client.ForceOwnership); err != nil {
		return fmt.Errorf("cannot apply object: %w", err)
	}
	return nil
}

func (c objects) create(m *managedResource) error { return c.apply(m) }
func (c objects) update(m *managedResource) error { return c.apply(m) }

func (c objects) remove(m *managedResource) error {
	if err := resource.IgnoreNotFound(c.client.Delete(context.Background(), manifest(m))); err != nil {
		return fmt.Errorf("cannot delete object: %w", err)
	}
	return nil
}
