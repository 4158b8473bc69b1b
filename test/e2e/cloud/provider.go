package cloud

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	xpv1 "github.com/crossplane/crossplane-runtime/v2/apis/common/v1"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// pollInterval of providers, unless a Cloud has another. Failures are tried
	// again sooner, or the tests would wait for them.
	pollInterval = 2 * time.Second

	minRetry = 50 * time.Millisecond
)

// An external is a client of the cloud for one kind. The Cloud is locked while
// it is called.
type external interface {
	observe(m *managedResource) (observation, error)
	create(m *managedResource) error
	update(m *managedResource) error
	remove(m *managedResource) error
}

type observation struct {
	exists, upToDate bool
	at               map[string]any
}

// kinds of a provider: the namespaced one and the cluster-scoped one.
type kinds struct {
	kind                string
	namespaced, cluster schema.GroupVersion
	client              func(*Cloud, client.Client) external
}

func gv(group, version string) schema.GroupVersion {
	return schema.GroupVersion{Group: group, Version: version}
}

// providers by name, as package controlplane names them.
var providers = map[string][]kinds{
	"provider-aws": {
		{"Role", gv("iam.aws.m.upbound.io", "v1beta1"), gv("iam.aws.upbound.io", "v1beta1"), func(c *Cloud, _ client.Client) external { return roles{c} }},
		{"Policy", gv("iam.aws.m.upbound.io", "v1beta1"), gv("iam.aws.upbound.io", "v1beta1"), func(c *Cloud, _ client.Client) external { return policies{c} }},
		{"RolePolicyAttachment", gv("iam.aws.m.upbound.io", "v1beta1"), gv("iam.aws.upbound.io", "v1beta1"), func(c *Cloud, _ client.Client) external { return attachments{c} }},
		{"PodIdentityAssociation", gv("eks.aws.m.upbound.io", "v1beta1"), gv("eks.aws.upbound.io", "v1beta1"), func(c *Cloud, _ client.Client) external { return associations{c} }},
	},
	"provider-azure": {
		{"UserAssignedIdentity", gv("managedidentity.azure.m.upbound.io", "v1beta1"), gv("managedidentity.azure.upbound.io", "v1beta1"), func(c *Cloud, _ client.Client) external { return identities{c} }},
		{"FederatedIdentityCredential", gv("managedidentity.azure.m.upbound.io", "v1beta1"), gv("managedidentity.azure.upbound.io", "v1beta1"), func(c *Cloud, _ client.Client) external { return credentials{c} }},
	},
	"provider-gcp": {
		{"ServiceAccountIAMMember", gv("cloudplatform.gcp.m.upbound.io", "v1beta1"), gv("cloudplatform.gcp.upbound.io", "v1beta2"), func(c *Cloud, _ client.Client) external { return members{c} }},
	},
	"provider-kubernetes": {
		{"Object", gv("kubernetes.m.crossplane.io", "v1alpha1"), gv("kubernetes.crossplane.io", "v1alpha2"), func(_ *Cloud, k client.Client) external { return objects{k} }},
	},
}

// Run the controllers of providers, for a cluster that has their
// CustomResourceDefinitions, until the context is done or the returned function is called.
func (c *Cloud) Run(ctx context.Context, cfg *rest.Config, names ...string) (stop func() error, err error) {
	// What providers log of a cluster that is disturbed or stopped says nothing.
	ctrl.SetLogger(logr.Discard())
	ctx, cancel := context.WithCancel(ctx)
	running := sync.WaitGroup{}
	var mu sync.Mutex
	var errs []error
	stop = func() error {
		cancel()
		running.Wait()
		return errors.Join(errs...)
	}
	kube, err := client.New(cfg, client.Options{})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("cannot make client: %w", err)
	}
	for _, name := range names {
		for _, k := range providers[name] {
			for _, m := range []struct {
				gv   schema.GroupVersion
				obj  client.Object
				list runtime.Object
			}{
				{k.namespaced, &namespaced{}, &list[namespaced, *namespaced]{}},
				{k.cluster, &clusterScoped{}, &list[clusterScoped, *clusterScoped]{}},
			} {
				mgr, err := c.controller(cfg, m.gv.WithKind(k.kind), m.obj, m.list, k.client(c, kube))
				if err != nil {
					return nil, errors.Join(fmt.Errorf("cannot run %s: %w", name, err), stop())
				}
				running.Go(func() {
					if err := mgr.Start(ctx); err != nil {
						mu.Lock()
						defer mu.Unlock()
						errs = append(errs, fmt.Errorf("%s: %w", name, err))
					}
				})
			}
		}
	}
	return stop, nil
}

// controller of one kind. Each kind has a manager with a scheme of its own, in
// which the one Go type stands for that kind.
func (c *Cloud) controller(cfg *rest.Config, gvk schema.GroupVersionKind, obj client.Object, objs runtime.Object, e external) (ctrl.Manager, error) {
	s := runtime.NewScheme()
	s.AddKnownTypeWithName(gvk, obj)
	s.AddKnownTypeWithName(gvk.GroupVersion().WithKind(gvk.Kind+"List"), objs)
	metav1.AddToGroupVersion(s, gvk.GroupVersion())
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme:  s,
		Metrics: server.Options{BindAddress: "0"},
		Logger:  logr.Discard(),
		// Several clusters of one test have controllers of one name.
		Controller: config.Controller{SkipNameValidation: new(true)},
	})
	if err != nil {
		return nil, fmt.Errorf("cannot make manager: %w", err)
	}
	r := managed.NewReconciler(mgr, resource.ManagedKind(gvk),
		managed.WithTypedExternalConnector[resource.Managed](connector{cloud: c, external: e, kind: gvk.Kind}),
		managed.WithManagementPolicies(),
		managed.WithPollInterval(c.PollInterval),
		// The function gives external names, or the cloud does.
		managed.WithInitializers(),
		managed.WithCreationGracePeriod(0),
	)
	err = ctrl.NewControllerManagedBy(mgr).Named(gvk.Kind).For(obj).WithOptions(controller.Options{
		MaxConcurrentReconciles: 5,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](minRetry, c.PollInterval/2),
	}).Complete(r)
	if err != nil {
		return nil, fmt.Errorf("cannot make controller: %w", err)
	}
	return mgr, nil
}

// A connector connects to the cloud as it is: broken for some kinds, slow for
// others.
type connector struct {
	cloud    *Cloud
	external external
	kind     string
}

// Connect to the cloud.
func (c connector) Connect(context.Context, resource.Managed) (managed.ExternalClient, error) {
	return c, nil
}

// Disconnect from the cloud.
func (connector) Disconnect(context.Context) error { return nil }

// call the cloud about a managed resource.
func (c connector) call(mg resource.Managed, f func(*managedResource) error) error {
	r, ok := mg.(interface{ self() *managedResource })
	if !ok {
		return fmt.Errorf("cannot reconcile a %T", mg)
	}
	c.cloud.mu.Lock()
	defer c.cloud.mu.Unlock()
	if err := c.cloud.failed[c.kind]; err != nil {
		return err
	}
	return f(r.self())
}

// Observe whether the resource exists, and is as it should be.
func (c connector) Observe(_ context.Context, mg resource.Managed) (managed.ExternalObservation, error) {
	var o observation
	err := c.call(mg, func(m *managedResource) (err error) {
		if o, err = c.external.observe(m); err != nil || !o.exists {
			return err
		}
		m.Status.AtProvider = o.at
		if c.cloud.holds(m, c.kind) && m.GetCondition(xpv1.TypeReady).Reason != xpv1.ReasonAvailable {
			m.SetConditions(xpv1.Creating())
		} else {
			m.SetConditions(xpv1.Available())
		}
		return nil
	})
	return managed.ExternalObservation{ResourceExists: o.exists, ResourceUpToDate: o.upToDate}, err
}

// Create the resource.
func (c connector) Create(_ context.Context, mg resource.Managed) (managed.ExternalCreation, error) {
	return managed.ExternalCreation{}, c.call(mg, c.external.create)
}

// Update the resource.
func (c connector) Update(_ context.Context, mg resource.Managed) (managed.ExternalUpdate, error) {
	return managed.ExternalUpdate{}, c.call(mg, c.external.update)
}

// Delete the resource.
func (c connector) Delete(_ context.Context, mg resource.Managed) (managed.ExternalDelete, error) {
	return managed.ExternalDelete{}, c.call(mg, c.external.remove)
}
