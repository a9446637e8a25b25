package probe

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// Run proves a cluster until the context ends.
func Run(ctx context.Context, config *rest.Config, options Options) error {
	options, err := options.withDefaults()
	if err != nil {
		return err
	}
	scheme, err := newScheme()
	if err != nil {
		return err
	}
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                 scheme,
		MapperProvider:         newMapper,
		LeaderElection:         false,
		Cache:                  cacheOf(options.Namespace, options.Cluster),
		Client:                 client.Options{Cache: &client.CacheOptions{Unstructured: true}},
		Metrics:                metricsserver.Options{BindAddress: options.MetricsAddr},
		HealthProbeBindAddress: options.HealthAddr,
		WebhookServer:          webhook.NewServer(webhook.Options{Port: -1}),
	})
	if err != nil {
		return fmt.Errorf("set up the probe: %w", err)
	}
	if err := addController(manager, config, options); err != nil {
		return fmt.Errorf("set up the probe: %w", err)
	}
	return manager.Start(ctx)
}

// cacheOf caches the objects of one name: a Role that names what may be read allows to
// list and watch by that name only.
func cacheOf(namespace, name string) cache.Options {
	return cache.Options{
		DefaultNamespaces:           map[string]cache.Config{namespace: {}},
		DefaultFieldSelector:        fields.OneTermEqualSelector("metadata.name", name),
		DefaultTransform:            cache.TransformStripManagedFields(),
		ReaderFailOnMissingInformer: true,
	}
}

// addController has the manager reconcile the cluster whenever its spec or one of the
// credentials changes.
func addController(manager ctrl.Manager, config *rest.Config, options Options) error {
	lock, err := newLock(manager, config, options)
	if err != nil {
		return err
	}
	if err := manager.Add(lock); err != nil {
		return err
	}
	reconciler := newReconciler(manager.GetClient(), options, lock)
	if err := manager.Add(reconciler); err != nil {
		return err
	}
	build := ctrl.NewControllerManagedBy(manager).
		Named("probe").
		For(v1alpha1.NewUnstructured(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: 1,
			SkipNameValidation:      ptr.To(true), // A program may prove several clusters.
			NewQueue:                newQueue,
		})
	for _, events := range []chan event.GenericEvent{lock.acquired, reconciler.woken} {
		build.WatchesRawSource(source.Channel(events, &handler.EnqueueRequestForObject{}))
	}
	names := naming.Of(&v1alpha1.ErlangCluster{}, options.Domain)
	names.Cluster, names.Namespace = options.Cluster, options.Namespace
	request := reconcile.Request{NamespacedName: client.ObjectKey{Namespace: options.Namespace, Name: options.Cluster}}
	if err := watchCredentials(manager, config, build, names, request, &reconciler.reader); err != nil {
		return err
	}
	if options.Resolve == nil {
		if reconciler.reader.endpoints, err = watchEndpoints(manager, config, build, names, request); err != nil {
			return err
		}
	}
	if err := manager.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := manager.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	decoder := decoder{reader: manager.GetClient()}
	return build.Complete(reconcile.Func(func(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
		cluster, err := decoder.get(ctx, request.NamespacedName)
		if apierrors.IsNotFound(err) {
			reconciler.forget()
		}
		if cluster == nil || err != nil {
			return reconcile.Result{}, client.IgnoreNotFound(err)
		}
		return reconciler.Reconcile(ctx, cluster)
	}))
}

// watchCredentials gives each credential a cache of its own, because a cache is restricted
// to one name.
func watchCredentials(manager ctrl.Manager, config *rest.Config, build *builder.Builder, names naming.Names, request reconcile.Request, reader *reader) error {
	enqueue := handler.TypedEnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{request}
	})
	for _, watched := range []struct {
		object client.Object
		name   string
		reader *client.Reader
	}{
		{&corev1.Secret{}, names.CookieSecret(), &reader.cookie},
		{&corev1.Secret{}, names.Certificate(names.Probe()), &reader.certificate},
		{&corev1.Secret{}, names.Certificate(names.Canary()), &reader.canary},
		{&corev1.ConfigMap{}, names.Distribution(), &reader.distribution},
	} {
		options := cacheOf(names.Namespace, watched.name)
		options.Scheme, options.Mapper, options.HTTPClient = manager.GetScheme(), manager.GetRESTMapper(), manager.GetHTTPClient()
		objects, err := cache.New(config, options)
		if err != nil {
			return err
		}
		if err := manager.Add(objects); err != nil {
			return err
		}
		*watched.reader = objects
		build.WatchesRawSource(source.Kind(objects, watched.object, enqueue))
	}
	return nil
}
