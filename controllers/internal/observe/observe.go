// Package observe reads the state that a pass decides on: from the caches of the watches,
// and live only what no cache may hold.
package observe

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"sync"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// Observer reads the state of a cluster.
type Observer struct {
	// Cached reads what is watched.
	Cached client.Client
	// Secrets reads the names and versions of all Secrets, once WatchSecrets was called.
	Secrets client.Reader
	// WatchSecrets starts to watch them, if they are not watched yet.
	WatchSecrets func() error
	// Live reads the Secrets of users, whose contents no cache may hold.
	Live client.Reader
	// Domain of the Kubernetes cluster's DNS.
	Domain string
	// PodIdentity is what gives each pod its own certificate.
	PodIdentity state.PodIdentity
	// Served is what not every Kubernetes has.
	Served Served
	// ClusterWide: what is in no namespace may be read.
	ClusterWide bool
	// MaySign: the manager may answer PodCertificateRequests.
	MaySign bool

	Clock clock.PassiveClock

	// Heartbeats of the probes.
	Heartbeats Heartbeats

	cookies sync.Map // of types.NamespacedName, a cluster's, to readCookie
}

// owned are the kinds that a cluster owns, each with its list.
var owned = []struct {
	Object client.Object
	List   client.ObjectList
}{
	{&appsv1.Deployment{}, &appsv1.DeploymentList{}},
	{&appsv1.StatefulSet{}, &appsv1.StatefulSetList{}},
	{&certmanager.Certificate{}, &certmanager.CertificateList{}},
	{&certmanager.Issuer{}, &certmanager.IssuerList{}},
	{&corev1.ConfigMap{}, &corev1.ConfigMapList{}},
	{&corev1.Secret{}, &corev1.SecretList{}},
	{&corev1.ServiceAccount{}, &corev1.ServiceAccountList{}},
	{&corev1.Service{}, &corev1.ServiceList{}},
	{&networkingv1.NetworkPolicy{}, &networkingv1.NetworkPolicyList{}},
	{&policyv1.PodDisruptionBudget{}, &policyv1.PodDisruptionBudgetList{}},
	{&rbacv1.RoleBinding{}, &rbacv1.RoleBindingList{}},
	{&rbacv1.Role{}, &rbacv1.RoleList{}},
}

// OwnedKinds are empty objects of the kinds that a cluster owns.
func OwnedKinds() []client.Object {
	kinds := make([]client.Object, 0, len(owned))
	for _, kind := range owned {
		kinds = append(kinds, kind.Object.DeepCopyObject().(client.Object))
	}
	return kinds
}

// Observe reads everything that a decision about the cluster may depend on.
func (o *Observer) Observe(ctx context.Context, cluster *v1alpha1.ErlangCluster) (state.State, error) {
	observed := state.State{
		Cluster:      cluster,
		Names:        naming.Of(cluster, o.Domain),
		Now:          o.Clock.Now(),
		Certificates: map[string]*certmanager.Certificate{},
		Requests:     map[string]*certmanager.CertificateRequest{},
		Issued:       map[string]*certmanager.CertificateRequest{},
		Secrets:      map[string]*corev1.Secret{},
		LostMachines: map[string]state.LostMachine{},

		PodCertificatesServed: o.Served.PodCertificates,
		MaySign:               o.MaySign,
	}
	for _, read := range []func(context.Context, *state.State) error{
		o.owned, o.domain, o.requests, o.pods, o.machines, o.heartbeat, o.cookie, o.userCookie, o.issuer, o.admission, o.causes,
	} {
		if err := read(ctx, &observed); err != nil {
			return state.State{}, err
		}
	}
	return observed, nil
}

// owned lists what has the cluster's labels, and keeps what belongs to it: what it
// controls, and the Secrets that cert-manager created for its Certificates.
func (o *Observer) owned(ctx context.Context, observed *state.State) error {
	for _, kind := range owned {
		list := kind.List.DeepCopyObject().(client.ObjectList)
		// What is kept is copied, because it gets its kind.
		if err := o.Cached.List(ctx, list, client.InNamespace(observed.Names.Namespace),
			client.MatchingLabels{plan.LabelCluster: observed.Names.Cluster}, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("list %T: %w", list, err)
		}
		if err := meta.EachListItem(list, func(item runtime.Object) error {
			return o.keep(observed, item.DeepCopyObject().(state.Object))
		}); err != nil {
			return err
		}
	}
	return nil
}

// domain keeps the names that the nodes of the cluster were given, whatever the manager's
// flag is now: node names are identities, which applications store. The names of the
// cluster's own Certificates tell, where all of them agree.
func (o *Observer) domain(_ context.Context, observed *state.State) error {
	recorded := map[string]bool{}
	for _, certificate := range observed.Certificates {
		for _, host := range certificate.Spec.DNSNames {
			if domain, ok := observed.Names.ClusterDomainOf(host); ok {
				recorded[domain] = true
			}
		}
	}
	observed.ConfiguredDomain = o.Domain
	for domain := range recorded {
		if len(recorded) == 1 {
			observed.Names = naming.Of(observed.Cluster, domain)
		}
	}
	return nil
}

func (o *Observer) keep(observed *state.State, object state.Object) error {
	gvk, err := apiutil.GVKForObject(object, o.Cached.Scheme())
	if err != nil {
		return fmt.Errorf("kind of %T: %w", object, err)
	}
	object.GetObjectKind().SetGroupVersionKind(gvk)
	controlled := metav1.IsControlledBy(object, observed.Cluster)
	if controlled {
		observed.Owned = append(observed.Owned, object)
	}
	switch object := object.(type) {
	case *corev1.Secret:
		if plan.Owns(observed.Cluster, observed.Certificates, object) {
			observed.Secrets[object.Name] = object
		}
	case *certmanager.Certificate:
		if controlled {
			observed.Certificates[object.Name] = object
		}
	case *appsv1.StatefulSet:
		if controlled && object.Name == observed.Names.StatefulSet() {
			observed.StatefulSet = object
		}
	case *corev1.ConfigMap:
		if controlled && object.Name == observed.Names.Distribution() {
			observed.Distribution = object
		}
	}
	return nil
}

// requests reads the CertificateRequests of the cluster's Certificates: of each Certificate
// the latest, and the latest that was issued. Labels, which anybody may set, only narrow
// the list.
func (o *Observer) requests(ctx context.Context, observed *state.State) error {
	var requests certmanager.CertificateRequestList
	if err := o.Cached.List(ctx, &requests, client.InNamespace(observed.Names.Namespace),
		client.MatchingLabels{plan.LabelCluster: observed.Names.Cluster}); err != nil {
		return fmt.Errorf("list CertificateRequests: %w", err)
	}
	for i := range requests.Items {
		request := &requests.Items[i]
		certificate := observed.Certificates[request.Annotations[certmanager.CertificateNameKey]]
		if certificate == nil || !metav1.IsControlledBy(request, certificate) {
			continue
		}
		keepLatest(observed.Requests, certificate.Name, request)
		if len(request.Status.Certificate) > 0 {
			keepLatest(observed.Issued, certificate.Name, request)
		}
	}
	return nil
}

func keepLatest(latest map[string]*certmanager.CertificateRequest, name string, request *certmanager.CertificateRequest) {
	if before := latest[name]; before == nil || comesAfter(request, before) {
		latest[name] = request
	}
}

// comesAfter compares two CertificateRequests of a Certificate. Within a second, as when the
// issuer was changed at once, their revisions tell.
func comesAfter(a, b *certmanager.CertificateRequest) bool {
	revision := func(request *certmanager.CertificateRequest) int {
		number, err := strconv.Atoi(request.Annotations[certmanager.CertificateRequestRevisionAnnotationKey])
		if err != nil {
			return 0
		}
		return number
	}
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(revision(a), revision(b))) > 0
}

func (o *Observer) pods(ctx context.Context, observed *state.State) error {
	var err error
	if observed.Pods, err = o.podsOf(ctx, observed.Names, plan.ComponentNode); err != nil {
		return err
	}
	observed.ProbePods, err = o.podsOf(ctx, observed.Names, plan.ComponentProbe)
	return err
}

func (o *Observer) podsOf(ctx context.Context, names naming.Names, component string) ([]corev1.Pod, error) {
	var pods corev1.PodList
	if err := o.Cached.List(ctx, &pods, client.InNamespace(names.Namespace),
		client.MatchingLabels(plan.Selector(names.Cluster, component))); err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	return pods.Items, nil
}
