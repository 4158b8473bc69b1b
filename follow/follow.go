// Package follow keeps something of each object of a kind as it changes, in no more memory
// than what is kept takes.
package follow

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
)

// listPage is how many objects are read at once. The largest that the API server takes
// are a megabyte or more, and some ten times that once they are decoded.
const listPage = 10

// A Kept object is what is kept of one in the cluster, with its name and version.
type Kept interface {
	metav1.Object
	runtime.Object
}

// A Store of what is kept.
type Store[T Kept] interface {
	Put(kept T)
	Remove(name types.NamespacedName)
}

// Options of what is followed.
type Options[T Kept] struct {
	// Client that may list and watch the resource.
	Client   dynamic.Interface
	Resource schema.GroupVersionResource

	// Read what is kept of an object, as decoded JSON.
	Read func(object map[string]any) T

	// Store that has what is kept of the objects as they are.
	Store Store[T]

	// Asked is told how it went whenever the API server was asked for the objects, or for
	// their changes. Optional.
	Asked func(err error)
}

// All objects of a kind.
func All[T Kept](o Options[T]) cache.Controller {
	all := o.Client.Resource(o.Resource)
	asked := func(err error) {
		if o.Asked != nil {
			o.Asked(err)
		}
	}
	_, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, _ metav1.ListOptions) (runtime.Object, error) {
				kept, err := list(ctx, all, o.Read)
				asked(err)
				return kept, err
			},
			WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
				w, err := all.Watch(ctx, options)
				asked(err)
				return w, err //nolint:wrapcheck // What calls it looks at its type.
			},
		}, o.Client),
		ObjectType: &unstructured.Unstructured{},
		Transform: func(object any) (any, error) {
			if u, ok := object.(*unstructured.Unstructured); ok {
				return o.Read(u.Object), nil
			}
			return object, nil
		},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(object any) { put(o.Store, object) },
			UpdateFunc: func(_, object any) { put(o.Store, object) },
			DeleteFunc: func(object any) { remove(o.Store, object) },
		},
	})
	return controller
}

// keptList is a list of what is kept.
type keptList[T Kept] struct {
	metav1.TypeMeta
	metav1.ListMeta

	Items []T
}

// DeepCopyObject is for those who change a list, which nobody does here.
func (l *keptList[T]) DeepCopyObject() runtime.Object { return l }

// list all objects, a page at a time, and keep of each page only what is read of it. It is
// asked for where the API server lets no watch begin with what is there, as Kubernetes
// 1.33 doesn't, nor any before 1.32. Asked for all of them, it sends all at once, and some
// hundred large ones take more memory than the process may have.
func list[T Kept](ctx context.Context, all dynamic.ResourceInterface, read func(map[string]any) T) (*keptList[T], error) {
	kept := &keptList[T]{}
	for o := (metav1.ListOptions{Limit: listPage}); ; {
		page, err := all.List(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("cannot list objects: %w", err)
		}
		for i := range page.Items {
			kept.Items = append(kept.Items, read(page.Items[i].Object))
		}
		kept.ResourceVersion = page.GetResourceVersion()
		if o.Continue = page.GetContinue(); o.Continue == "" {
			return kept, nil
		}
	}
}

func put[T Kept](store Store[T], object any) {
	if kept, ok := object.(T); ok {
		store.Put(kept)
	}
}

// remove what was deleted, also where the watch missed how.
func remove[T Kept](store Store[T], object any) {
	key, err := cache.DeletionHandlingObjectToName(object)
	if err != nil {
		return
	}
	store.Remove(types.NamespacedName{Namespace: key.Namespace, Name: key.Name})
}
