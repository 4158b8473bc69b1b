package webhook

import (
	"context"

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

// newWatch of all ServiceConnections, which keeps the index as they are. Of each it
// keeps only what pods need, so that thousands fit in memory.
func newWatch(client dynamic.Interface, index *admit.Index, forms workload.Forms) cache.Controller {
	all := client.Resource(resource)
	_, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				return all.List(ctx, o)
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
