package controllers

import (
	"context"
	"fmt"
	"sync"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/apply"
	"github.com/erlang-operator/erlang-operator/controllers/internal/observe"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
)

// Fields of an ErlangCluster that are read without decoding it: those of the indices, by which
// the clusters that refer to an object are found, and the signer's.
const (
	cookieSecretField = "spec.cookie.secretKeyRef.name"
	issuerField       = "spec.tls.issuerRef.name"
	deliveryField     = "spec.tls.delivery"
)

// SetupWithManager registers the watches.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	// The manager's own cache has labelled Secrets only. This one has the names and versions
	// of all of them, from when the first cluster has a secretKeyRef.
	secrets, err := cache.New(mgr.GetConfig(), cache.Options{
		Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), DefaultTransform: trim, DefaultNamespaces: r.Scope.namespaces(),
	})
	if err != nil {
		return fmt.Errorf("create the cache of Secrets: %w", err)
	}
	if err := mgr.Add(secrets); err != nil {
		return err
	}
	r.observer = &observe.Observer{
		Cached: r.Client, Secrets: secrets, Live: mgr.GetAPIReader(), Domain: r.Operator.Domain, Clock: clock.RealClock{},
		PodIdentity: r.Operator.PodIdentity, Served: r.Scope.Served,
		ClusterWide: r.Scope.clusterWide(), MaySign: r.Scope.MaySign,
	}
	r.applier = &apply.Applier{Client: r.Client, Live: mgr.GetAPIReader(), Recorder: r.Recorder}

	if err := indexReferences(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	build := ctrl.NewControllerManagedBy(mgr).For(v1alpha1.NewUnstructured(), builder.WithPredicates(except(isReport))).
		Watches(v1alpha1.NewUnstructured(), onReport()).
		WithOptions(controller.Options{RateLimiter: retries()})
	for _, kind := range append(observe.OwnedKinds(), &corev1.Pod{}, &certmanager.CertificateRequest{}) {
		build.Watches(kind, onOwned())
	}
	for _, kind := range r.Scope.admissionKinds(r.Operator.PodIdentity) {
		build.Watches(kind, handler.EnqueueRequestsFromMapFunc(r.all))
	}
	for _, kind := range r.Scope.issuers() {
		build.Watches(kind, handler.EnqueueRequestsFromMapFunc(r.referrers(issuerField)))
	}
	if r.Scope.clusterWide() {
		build.Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(r.onMachine), builder.WithPredicates(readinessChanges()))
	}
	build.Watches(&coordinationv1.Lease{}, onHeartbeat(r.observer)).WatchesRawSource(source.Func(onSilence(r.observer)))
	watching, err := build.Build(reconcile.Func(r.Reconcile))
	if err != nil {
		return err
	}
	r.observer.WatchSecrets = sync.OnceValue(func() error {
		return watching.Watch(source.Kind[client.Object](secrets, observe.SecretMetadata(),
			handler.TypedEnqueueRequestsFromMapFunc(r.referrers(cookieSecretField))))
	})
	return nil
}

// indexReferences indexes clusters by what they refer to.
func indexReferences(ctx context.Context, indexer client.FieldIndexer) error {
	for _, field := range []string{cookieSecretField, issuerField} {
		if err := indexer.IndexField(ctx, v1alpha1.NewUnstructured(), field, func(object client.Object) []string {
			name := v1alpha1.StringField(object.(*unstructured.Unstructured), field)
			if name == "" {
				return nil
			}
			return []string{name}
		}); err != nil {
			return fmt.Errorf("index %s: %w", field, err)
		}
	}
	return nil
}

// byLabel is the cluster that an object belongs to.
func byLabel(_ context.Context, object client.Object) []reconcile.Request {
	name := object.GetLabels()[plan.LabelCluster]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: name}}}
}

// referrers are the clusters that refer to an object by name: those of its namespace, or
// of all namespaces if the object has none.
func (r *Reconciler) referrers(field string) handler.MapFunc {
	return func(ctx context.Context, object client.Object) []reconcile.Request {
		return r.clusters(ctx, client.InNamespace(object.GetNamespace()), client.MatchingFields{field: object.GetName()})
	}
}

func (r *Reconciler) all(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.clusters(ctx)
}

func (r *Reconciler) clusters(ctx context.Context, options ...client.ListOption) []reconcile.Request {
	list := v1alpha1.NewUnstructuredList()
	if err := r.Client.List(ctx, list, options...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Failed to list ErlangClusters")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for _, cluster := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&cluster)})
	}
	return requests
}
