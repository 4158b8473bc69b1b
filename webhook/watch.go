package webhook

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

	"github.com/serviceconnections/function-service-connections/fn/admit"
	"github.com/serviceconnections/function-service-connections/fn/workload"
)

var resource = schema.GroupVersionResource{Group: "serviceconnections.io", Version: "v1alpha1", Resource: "serviceconnections"}

// listPage is how many ServiceConnections are read at once. The largest that the API
// server takes are a megabyte or more, and some ten times that once they are decoded.
const listPage = 10

// newWatch of all ServiceConnections, which keeps the index as they are. Of each it
// keeps only what pods need, so that thousands fit in memory.
func newWatch(client dynamic.Interface, index *admit.Index, forms workload.Forms) cache.Controller {
	all := client.Resource(resource)
	_, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, _ metav1.ListOptions) (runtime.Object, error) {
				return list(ctx, all, forms)
			},
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				return all.Watch(ctx, o)
			},
		}, client),
		ObjectType: &unstructured.Unstructured{},
		Transform: func(o any) (any, error) {
			if u, ok := o.(*unstructured.Unstructured); ok {
				return admit.Read(u.Object, forms), nil
			}
			return o, nil
		},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { put(index, o) },
			UpdateFunc: func(_, o any) { put(index, o) },
			DeleteFunc: func(o any) { remove(index, o) },
		},
	})
	return controller
}

// connections is a list of what is kept.
type connections struct {
	metav1.TypeMeta
	metav1.ListMeta

	Items []*admit.Connection
}

// DeepCopyObject is for those who change a list, which nobody does here.
func (l *connections) DeepCopyObject() runtime.Object { return l }

// list all ServiceConnections, a page at a time, and keep of each page only what pods
// need. It is asked for where the API server lets no watch begin with what is there, as
// Kubernetes 1.33 doesn't, nor any before 1.32. Asked for all of them, it sends all at
// once, and some hundred large ones take more memory than the webhook may have.
func list(ctx context.Context, all dynamic.ResourceInterface, forms workload.Forms) (*connections, error) {
	kept := &connections{}
	for o := (metav1.ListOptions{Limit: listPage}); ; {
		page, err := all.List(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("cannot list ServiceConnections: %w", err)
		}
		for i := range page.Items {
			kept.Items = append(kept.Items, admit.Read(page.Items[i].Object, forms))
		}
		kept.ResourceVersion = page.GetResourceVersion()
		if o.Continue = page.GetContinue(); o.Continue == "" {
			return kept, nil
		}
	}
}

func put(index *admit.Index, o any) {
	if c, ok := o.(*admit.Connection); ok {
		index.Put(c)
	}
}

// remove what was deleted, also where the watch missed how.
func remove(index *admit.Index, o any) {
	key, err := cache.DeletionHandlingObjectToName(o)
	if err != nil {
		return
	}
	index.Remove(types.NamespacedName{Namespace: key.Namespace, Name: key.Name})
}
