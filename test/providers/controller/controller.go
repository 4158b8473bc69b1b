// Package controller runs upjet's controllers as the providers' own main functions
// and generated code do (provider-aws v2.5.0, cmd/provider/*/zz_main.go and
// internal/controller/*/*/*/zz_controller.go; provider-azure v2.6.0 the same): async,
// with management policies, and each controller once its
// CustomResourceDefinition is there.
package controller

import (
	"context"
	"fmt"
	"time"

	xpcontroller "github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/feature"
	"github.com/crossplane/crossplane-runtime/v2/pkg/gate"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/ratelimiter"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/customresourcesgate"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	xpresource "github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	"github.com/crossplane/upjet/v2/pkg/config"
	tjcontroller "github.com/crossplane/upjet/v2/pkg/controller"
	"github.com/crossplane/upjet/v2/pkg/controller/handler"
	"github.com/crossplane/upjet/v2/pkg/metrics"
	"github.com/crossplane/upjet/v2/pkg/terraform"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// A Provider is what differs from one to the next.
type Provider struct {
	// Scheme has the Go types of its kinds.
	Scheme runtime.SchemeBuilder

	Kinds []Kind
	Setup terraform.SetupFn
}

// A Kind of managed resource.
type Kind struct {
	schema.GroupVersionKind

	Object   client.Object
	Resource *config.Resource
}

// Options are all that the tests' providers have shorter than the real ones.
type Options struct {
	// PollInterval at which what is up to date is read again: 10 minutes.
	PollInterval time.Duration

	// CreationGrace for which what was created and isn't found is waited for: 30
	// seconds.
	CreationGrace time.Duration

	// MinRetry and MaxRetry of what has failed: 1 second, and 1 minute.
	MinRetry, MaxRetry time.Duration
}

// reconcileRate is the default of the providers' --max-reconcile-rate.
const reconcileRate = 100

// Run a provider's controllers until the context is done.
func Run(ctx context.Context, cfg *rest.Config, p Provider, o Options, log logging.Logger) error {
	mgr, err := newManager(cfg, p)
	if err != nil {
		return err
	}
	g := new(gate.Gate[schema.GroupVersionKind])
	options := tjcontroller.Options{
		Options: xpcontroller.Options{
			Logger:                  log,
			GlobalRateLimiter:       ratelimiter.NewGlobal(reconcileRate),
			PollInterval:            o.PollInterval,
			MaxConcurrentReconciles: reconcileRate,
			Features:                &feature.Flags{},
			Gate:                    g,
		},
		OperationTrackerStore: tjcontroller.NewOperationStore(log),
		SetupFn:               p.Setup,
		// The real ones' is 5 % of the interval as well.
		PollJitter: o.PollInterval / 20,
	}
	options.Features.Enable(feature.EnableBetaManagementPolicies)
	if err := customresourcesgate.Setup(mgr, options.Options); err != nil {
		return fmt.Errorf("cannot watch CustomResourceDefinitions: %w", err)
	}
	for _, k := range p.Kinds {
		g.Register(func() {
			if err := setup(mgr, k, options, o); err != nil {
				log.Info("cannot set up reconciler", "gvk", k.String(), "error", err)
			}
		}, k.GroupVersionKind)
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("cannot run controllers: %w", err)
	}
	return nil
}

func newManager(cfg *rest.Config, p Provider) (ctrl.Manager, error) {
	s := runtime.NewScheme()
	for _, add := range append(runtime.SchemeBuilder{corev1.AddToScheme, apiextensionsv1.AddToScheme}, p.Scheme...) {
		if err := add(s); err != nil {
			return nil, fmt.Errorf("cannot build scheme: %w", err)
		}
	}
	mgr, err := ctrl.NewManager(ratelimiter.LimitRESTConfig(cfg, reconcileRate), ctrl.Options{
		Scheme: s,
		// ProviderConfigs are read at each reconcile, from the cache.
		Client:                 client.Options{Cache: &client.CacheOptions{Unstructured: true}},
		Metrics:                metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress: "0",
	})
	if err != nil {
		return nil, fmt.Errorf("cannot make manager: %w", err)
	}
	return mgr, nil
}

// setup the controller of a kind.
func setup(mgr ctrl.Manager, k Kind, o tjcontroller.Options, pace Options) error {
	name := managed.ControllerName(k.String())
	var initializers managed.InitializerChain
	for _, i := range k.Resource.InitializerFns {
		initializers = append(initializers, i(mgr.GetClient()))
	}
	if !k.Resource.ExternalName.DisableNameInitializer {
		initializers = append(initializers, managed.NewNameAsExternalName(mgr.GetClient()))
	}
	events := handler.NewEventHandler(
		handler.WithLogger(o.Logger.WithValues("gvk", k.GroupVersionKind)),
		handler.WithDefaultRateLimiter(workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](pace.MinRetry, pace.MaxRetry)),
	)
	r := managed.NewReconciler(mgr, xpresource.ManagedKind(k.GroupVersionKind),
		managed.WithExternalConnecter(connector(mgr, k, o, events)),
		managed.WithLogger(o.Logger.WithValues("controller", name)),
		managed.WithRecorder(event.NewAPIRecorder(mgr.GetEventRecorderFor(name))), //nolint:staticcheck // As the generated code has it.
		managed.WithFinalizer(tjcontroller.NewOperationTrackerFinalizer(o.OperationTrackerStore, xpresource.NewAPIFinalizer(mgr.GetClient(), managed.FinalizerName))),
		managed.WithTimeout(3*time.Minute),
		managed.WithInitializers(initializers),
		managed.WithPollInterval(o.PollInterval),
		managed.WithPollJitterHook(o.PollJitter),
		managed.WithManagementPolicies(),
		managed.WithCreationGracePeriod(pace.CreationGrace),
	)
	c := o.ForControllerRuntime()
	c.RateLimiter = workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](pace.MinRetry, pace.MaxRetry)
	err := ctrl.NewControllerManagedBy(mgr).
		Named(name).
		WithOptions(controller.Options{MaxConcurrentReconciles: c.MaxConcurrentReconciles, RateLimiter: c.RateLimiter, RecoverPanic: c.RecoverPanic}).
		WithEventFilter(xpresource.DesiredStateChanged()).
		Watches(k.Object, events).
		Complete(ratelimiter.NewReconciler(name, r, o.GlobalRateLimiter))
	if err != nil {
		return fmt.Errorf("cannot make controller: %w", err)
	}
	return nil
}

// connector of a kind, by the plugin that its resource of Terraform is made with.
func connector(mgr ctrl.Manager, k Kind, o tjcontroller.Options, events *handler.EventHandler) managed.ExternalConnecter {
	callbacks := tjcontroller.NewAPICallbacks(mgr, xpresource.ManagedKind(k.GroupVersionKind), tjcontroller.WithEventHandler(events), tjcontroller.WithStatusUpdates(false))
	recorder := metrics.NewMetricRecorder(k.GroupVersionKind, mgr, o.PollInterval)
	if k.Resource.TerraformPluginFrameworkResource != nil {
		return tjcontroller.NewTerraformPluginFrameworkAsyncConnector(mgr.GetClient(), o.OperationTrackerStore, o.SetupFn, k.Resource,
			tjcontroller.WithTerraformPluginFrameworkAsyncLogger(o.Logger),
			tjcontroller.WithTerraformPluginFrameworkAsyncConnectorEventHandler(events),
			tjcontroller.WithTerraformPluginFrameworkAsyncCallbackProvider(callbacks),
			tjcontroller.WithTerraformPluginFrameworkAsyncMetricRecorder(recorder),
			tjcontroller.WithTerraformPluginFrameworkAsyncManagementPolicies(true))
	}
	return tjcontroller.NewTerraformPluginSDKAsyncConnector(mgr.GetClient(), o.OperationTrackerStore, o.SetupFn, k.Resource,
		tjcontroller.WithTerraformPluginSDKAsyncLogger(o.Logger),
		tjcontroller.WithTerraformPluginSDKAsyncConnectorEventHandler(events),
		tjcontroller.WithTerraformPluginSDKAsyncCallbackProvider(callbacks),
		tjcontroller.WithTerraformPluginSDKAsyncMetricRecorder(recorder),
		tjcontroller.WithTerraformPluginSDKAsyncManagementPolicies(true))
}
