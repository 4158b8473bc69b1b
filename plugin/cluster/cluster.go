// Package cluster reads ServiceConnections as whoever runs the plugin may, and
// says in a sentence why it can't.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/serviceconnections/function-service-connections/fn/claim"
)

// ServiceConnections are what teams write, whether as a composite resource or as
// a claim of one: both packages give them the same name.
var ServiceConnections = schema.GroupVersionResource{Group: "serviceconnections.io", Version: "v1alpha1", Resource: "serviceconnections"}

// unconfigured is the address that cli-runtime takes where no kubeconfig names
// one, and where hardly ever anything listens.
const unconfigured = "http://localhost:8080"

// A Cluster that a kubeconfig leads to.
type Cluster struct {
	Client dynamic.Interface

	// Namespace of the kubeconfig's context, or of --namespace.
	Namespace string
}

// Connect to the cluster of the supplied flags. Nothing is asked of it yet.
func Connect(flags genericclioptions.RESTClientGetter) (*Cluster, error) {
	namespace, _, err := flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, Explain("read the kubeconfig", err)
	}
	config, err := flags.ToRESTConfig()
	if err != nil {
		return nil, Explain("read the kubeconfig", err)
	}
	if config.Host == unconfigured {
		return nil, Explain("connect to the cluster", clientcmd.ErrEmptyConfig)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, Explain("connect to the cluster", err)
	}
	return &Cluster{Client: client, Namespace: namespace}, nil
}

// ServiceConnection of that name in the cluster's namespace.
func (c *Cluster) ServiceConnection(ctx context.Context, name string) (*unstructured.Unstructured, error) {
	sc, err := c.Client.Resource(ServiceConnections).Namespace(c.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, Explain(fmt.Sprintf("read ServiceConnection %q in namespace %q", name, c.Namespace), err)
	}
	return sc, nil
}

// Workload of a service, in a namespace.
func (c *Cluster) Workload(ctx context.Context, namespace string, w claim.Workload) (map[string]any, error) {
	// The kinds of workloads have regular plurals.
	resource, _ := meta.UnsafeGuessKindToResource(schema.FromAPIVersionAndKind(w.APIVersion, w.Kind))
	o, err := c.Client.Resource(resource).Namespace(namespace).Get(ctx, w.Name, metav1.GetOptions{})
	if err != nil {
		return nil, Explain(fmt.Sprintf("read %s %q in namespace %q", w.Kind, w.Name, namespace), err)
	}
	return o.Object, nil
}

// Explain an error that came while doing something, such as "read
// ServiceConnection "shop"", in one sentence that says what to do. It returns nil
// for nil, and wraps the error.
func Explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	var next string
	var noAnswer *net.OpError
	var noServer *url.Error
	var unknownHost *net.DNSError
	switch {
	case clientcmd.IsEmptyConfig(err):
		return fmt.Errorf("cannot %s: no cluster is configured; name a kubeconfig with --kubeconfig or in KUBECONFIG", doing)
	case apierrors.IsUnauthorized(err):
		next = "log in to the cluster again"
	case apierrors.IsForbidden(err):
		next = "ask whoever administers the cluster for the role view in that namespace"
	case isKindMissing(err):
		return fmt.Errorf("cannot %s: the cluster has no such kind; install package/configuration or package/configuration-claims, or choose another cluster with --context", doing)
	case apierrors.IsNotFound(err):
		next = "see kubectl get serviceconnections -A for what there is"
	case errors.As(err, &unknownHost), errors.As(err, &noAnswer), errors.As(err, &noServer):
		next = "check that the cluster runs, or choose another with --context"
	default:
		return fmt.Errorf("cannot %s: %w", doing, err)
	}
	return fmt.Errorf("cannot %s: %w; %s", doing, err, next)
}

// isKindMissing tells a kind that the API server doesn't know from an object that
// isn't there: of the former, it names no object.
func isKindMissing(err error) bool {
	if meta.IsNoMatchError(err) {
		return true
	}
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return details == nil || details.Name == ""
}
