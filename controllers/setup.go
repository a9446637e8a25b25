package controllers

import (
	"context"
	"fmt"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/apply"
	"github.com/erlang-operator/erlang-operator/controllers/internal/metrics"
	"github.com/erlang-operator/erlang-operator/controllers/internal/observe"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
)

// Settings of the manager.
type Settings = plan.Operator

// Metrics of all ErlangClusters that a reader returns.
func Metrics(reader client.Reader) prometheus.Collector { return metrics.Collector{Reader: reader} }

// AddToScheme adds every kind that the manager reads or writes.
func AddToScheme(scheme *runtime.Scheme) error {
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, certmanager.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	return nil
}

// CacheOptions cache what has a cluster's label, without private keys, and the kubelets'
// requests to our signer, where Kubernetes has them.
func CacheOptions(podCertificatesServed bool) (cache.Options, error) {
	labelled, err := labels.NewRequirement(plan.LabelCluster, selection.Exists, nil)
	if err != nil {
		return cache.Options{}, err
	}
	ours := cache.ByObject{Label: labels.NewSelector().Add(*labelled)}
	policy := cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", observe.AdmissionPolicy)}
	options := cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:                                 ours,
			&certmanager.CertificateRequest{}:             {Label: ours.Label, Transform: withoutCertificates},
			&admissionv1.MutatingAdmissionPolicy{}:        policy,
			&admissionv1.MutatingAdmissionPolicyBinding{}: policy,
		},
	}
	if podCertificatesServed {
		options.ByObject[&certificatesv1.PodCertificateRequest{}] = cache.ByObject{
			Field: fields.OneTermEqualSelector("spec.signerName", certs.SignerName)}
	}
	for _, kind := range observe.OwnedKinds() {
		switch kind.(type) {
		case *certmanager.Issuer:
			// Users' issuers are read too.
		case *corev1.Secret:
			options.ByObject[kind] = cache.ByObject{Label: ours.Label, Transform: withoutKeys}
		default:
			options.ByObject[kind] = ours
		}
	}
	return options, nil
}

// withoutCertificates drops the contents of CertificateRequests: only their conditions
// are read.
func withoutCertificates(object any) (any, error) {
	if request, ok := object.(*certmanager.CertificateRequest); ok {
		request.ManagedFields = nil
		request.Spec.Request, request.Status.Certificate, request.Status.CA = nil, nil, nil
	}
	return object, nil
}

// withoutKeys drops the private keys from Secrets before they are cached: no decision
// depends on them.
func withoutKeys(object any) (any, error) {
	secret, ok := object.(*corev1.Secret)
	if !ok {
		return object, nil
	}
	secret.ManagedFields = nil
	kept := map[string][]byte{}
	for _, key := range []string{corev1.TLSCertKey, naming.AuthorityKey, naming.CookieKey, naming.PreviousCookieKey} {
		if value, ok := secret.Data[key]; ok {
			kept[key] = value
		}
	}
	secret.Data = kept
	return secret, nil
}

// Index fields, by which the clusters that refer to an object are found.
const (
	cookieSecretField = "spec.cookie.secretKeyRef.name"
	issuerField       = "spec.tls.issuerRef.name"
)

// SetupWithManager registers the watches.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	// The manager's own cache has labelled Secrets only. This one has all of them, without
	// their contents.
	secrets, err := cache.New(mgr.GetConfig(), cache.Options{
		Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), DefaultTransform: cache.TransformStripManagedFields(),
	})
	if err != nil {
		return fmt.Errorf("create the cache of Secrets: %w", err)
	}
	if err := mgr.Add(secrets); err != nil {
		return err
	}
	r.observer = &observe.Observer{
		Cached: r.Client, Secrets: secrets, Live: mgr.GetAPIReader(), Domain: r.Operator.Domain, Clock: clock.RealClock{},
		PodCertificatesServed: r.PodCertificatesServed,
	}
	r.applier = &apply.Applier{Client: r.Client, Live: mgr.GetAPIReader()}

	index := func(field string, of func(*v1alpha1.ErlangCluster) string) error {
		return mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.ErlangCluster{}, field, func(object client.Object) []string {
			if name := of(object.(*v1alpha1.ErlangCluster)); name != "" {
				return []string{name}
			}
			return nil
		})
	}
	if err := index(cookieSecretField, func(cluster *v1alpha1.ErlangCluster) string {
		if ref := cluster.Spec.Cookie.SecretKeyRef; ref != nil {
			return ref.Name
		}
		return ""
	}); err != nil {
		return fmt.Errorf("index %s: %w", cookieSecretField, err)
	}
	if err := index(issuerField, func(cluster *v1alpha1.ErlangCluster) string {
		if ref := cluster.Spec.TLS.IssuerRef; ref != nil {
			return ref.Name
		}
		return ""
	}); err != nil {
		return fmt.Errorf("index %s: %w", issuerField, err)
	}

	controller := ctrl.NewControllerManagedBy(mgr).For(&v1alpha1.ErlangCluster{})
	for _, kind := range append(observe.OwnedKinds(), &corev1.Pod{}, &certmanager.CertificateRequest{}) {
		controller.Watches(kind, handler.EnqueueRequestsFromMapFunc(byLabel))
	}
	return controller.
		WatchesRawSource(source.Kind[client.Object](secrets, observe.SecretMetadata(),
			handler.TypedEnqueueRequestsFromMapFunc(r.referrers(cookieSecretField)))).
		Watches(&certmanager.Issuer{}, handler.EnqueueRequestsFromMapFunc(r.referrers(issuerField))).
		Watches(&certmanager.ClusterIssuer{}, handler.EnqueueRequestsFromMapFunc(r.referrers(issuerField))).
		Watches(&admissionv1.MutatingAdmissionPolicy{}, handler.EnqueueRequestsFromMapFunc(r.all)).
		Watches(&admissionv1.MutatingAdmissionPolicyBinding{}, handler.EnqueueRequestsFromMapFunc(r.all)).
		Complete(reconcile.Func(r.Reconcile))
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
	var list v1alpha1.ErlangClusterList
	if err := r.Client.List(ctx, &list, options...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Failed to list ErlangClusters")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for _, cluster := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&cluster)})
	}
	return requests
}
