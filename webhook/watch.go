package webhook

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"

	"github.com/serviceconnections/function-service-connections/fn/admit"
	"github.com/serviceconnections/function-service-connections/fn/workload"
	"github.com/serviceconnections/function-service-connections/follow"
)

var resource = schema.GroupVersionResource{Group: "serviceconnections.io", Version: "v1alpha1", Resource: "serviceconnections"}

// newWatch of all ServiceConnections, which keeps the index as they are. Of each it
// keeps only what pods need, so that thousands fit in memory.
func newWatch(client dynamic.Interface, index *admit.Index, forms workload.Forms) cache.Controller {
	return follow.All(follow.Options[*admit.Connection]{
		Client: client, Resource: resource, Store: index,
		Read: func(object map[string]any) *admit.Connection { return admit.Read(object, forms) },
	})
}
