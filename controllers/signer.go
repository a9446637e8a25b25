package controllers

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/podcert"
)

// Signer signs the certificates that kubelets request for nodes of clusters with
// tls.delivery PodCertificate. When a machine restarts, its kubelet requests those of all
// its pods at once, so each costs one write, and nothing else once the CA's key is cached.
type Signer struct {
	Client client.Client
	// Live reads the CA's key, which no cache holds, and what the caches lack.
	Live client.Reader
	// Domain of the Kubernetes cluster's DNS.
	Domain string
	Clock  clock.PassiveClock

	authorities sync.Map // of types.NamespacedName, the cluster's, to authority
}

// pendingRetryInterval is how long until a request that waits is decided again. A kubelet
// that restarts a node waits for the certificate.
const pendingRetryInterval = 2 * time.Second

// +kubebuilder:rbac:groups=certificates.k8s.io,resources=podcertificaterequests,verbs=get;list;watch
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=podcertificaterequests/status,verbs=update;patch
// +kubebuilder:rbac:roleName=erlang-operator-manager-cluster,groups=certificates.k8s.io,resources=signers,resourceNames=erlang-operator.dev/member,verbs=sign

// Reconcile looks up the pod and its owners, decides, and writes the result once.
func (s *Signer) Reconcile(ctx context.Context, request *certificatesv1.PodCertificateRequest) (ctrl.Result, error) {
	if !podcert.IsOpen(request) {
		return ctrl.Result{}, nil
	}
	found, err := s.lookUp(ctx, request)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("look up pod %s: %w", request.Spec.PodName, err)
	}
	decision := podcert.Decide(request, found)
	logger := log.FromContext(ctx).WithValues("pod", request.Spec.PodName)
	answer := request.DeepCopy()
	switch {
	case decision.Denied != nil:
		logger.Info("Denied certificate", "reason", decision.Denied.Reason, "message", decision.Denied.Message)
		answer.Status.Conditions = []metav1.Condition{*decision.Denied}
	case decision.Grant != nil:
		status, err := s.issue(ctx, found, decision.Grant)
		if err != nil {
			return ctrl.Result{}, fmt.Errorf("sign the certificate of pod %s: %w", request.Spec.PodName, err)
		}
		answer.Status = status
	default:
		logger.V(1).Info("Waiting to sign certificate", "cause", decision.Wait)
		return ctrl.Result{RequeueAfter: pendingRetryInterval}, nil
	}
	answer.Status.Conditions[0].LastTransitionTime = metav1.NewTime(found.Now)
	err = s.Client.Status().Update(ctx, answer)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return ctrl.Result{}, nil // deleted, or decided meanwhile: the watch reports which
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("update the request of pod %s: %w", request.Spec.PodName, err)
	}
	return ctrl.Result{}, nil
}

// lookUp follows the request to its pod, and the owners up to the ErlangCluster.
func (s *Signer) lookUp(ctx context.Context, request *certificatesv1.PodCertificateRequest) (podcert.Subject, error) {
	found := podcert.Subject{Now: s.Clock.Now(), Domain: s.Domain}
	at := func(name string) types.NamespacedName {
		return types.NamespacedName{Namespace: request.Namespace, Name: name}
	}
	pod := &corev1.Pod{}
	ok, err := s.find(ctx, at(request.Spec.PodName), request.Spec.PodUID, pod)
	if err != nil || !ok {
		return found, err
	}
	found.Pod = pod
	owner := metav1.GetControllerOf(pod)
	if owner == nil || owner.Kind != "StatefulSet" {
		return found, nil
	}
	set := &appsv1.StatefulSet{}
	if ok, err = s.find(ctx, at(owner.Name), owner.UID, set); err != nil || !ok {
		return found, err
	}
	found.StatefulSet = &metav1.PartialObjectMetadata{ObjectMeta: set.ObjectMeta}
	if owner = v1alpha1.ControllerOf(set); owner == nil {
		return found, nil
	}
	cluster, err := getCluster(ctx, s.Client, at(owner.Name))
	if undecodable := (*v1alpha1.DecodeError)(nil); errors.As(err, &undecodable) {
		return found, nil // as long as its spec is unknown, the request waits
	}
	if err != nil {
		return found, client.IgnoreNotFound(err)
	}
	found.Cluster = cluster
	if found.Domain, err = s.domainOf(ctx, cluster); err != nil {
		return found, err
	}
	return found, s.lookUpCA(ctx, &found)
}

// domainOf is the DNS domain that the cluster was created with, which the Certificate of
// its probe names; else the manager's.
func (s *Signer) domainOf(ctx context.Context, cluster *v1alpha1.ErlangCluster) (string, error) {
	names, certificate := naming.Of(cluster, s.Domain), &certmanager.Certificate{}
	at := types.NamespacedName{Namespace: names.Namespace, Name: names.Certificate(names.Probe())}
	if err := s.Client.Get(ctx, at, certificate); client.IgnoreNotFound(err) != nil {
		return "", err
	}
	for _, host := range certificate.Spec.DNSNames {
		if domain, ok := names.ClusterDomainOf(host); ok && metav1.IsControlledBy(certificate, cluster) {
			return domain, nil
		}
	}
	return s.Domain, nil
}

// lookUpCA reads the intermediate CA and the trust bundle, without any key.
func (s *Signer) lookUpCA(ctx context.Context, found *podcert.Subject) error {
	names := naming.Of(found.Cluster, s.Domain)
	bundle := &corev1.ConfigMap{}
	if err := s.Client.Get(ctx, types.NamespacedName{Namespace: names.Namespace, Name: names.Distribution()}, bundle); err != nil {
		return client.IgnoreNotFound(err)
	}
	trust, err := certs.ParseTrust([]byte(bundle.Data[naming.TrustKey]))
	if err != nil {
		return err
	}
	found.Trust = trust
	secret := &corev1.Secret{}
	if err := s.Client.Get(ctx, types.NamespacedName{Namespace: names.Namespace, Name: names.Intermediate()}, secret); err != nil {
		return client.IgnoreNotFound(err)
	}
	if ca, err := certs.ParseCertificate(secret.Data[corev1.TLSCertKey], secret.Data[naming.AuthorityKey]); err == nil {
		found.Intermediate = &ca
	}
	return nil
}

// find reads an object from the cache, and live if the cache has none of that UID: the
// cache may be late, and has only what carries a cluster's label.
func (s *Signer) find(ctx context.Context, at types.NamespacedName, uid types.UID, object client.Object) (bool, error) {
	err := s.Client.Get(ctx, at, object)
	if err == nil && object.GetUID() == uid {
		return true, nil
	}
	if client.IgnoreNotFound(err) != nil {
		return false, err
	}
	err = s.Live.Get(ctx, at, object)
	return err == nil, client.IgnoreNotFound(err)
}

// issue signs a certificate, and returns it as the status of the request.
func (s *Signer) issue(ctx context.Context, found podcert.Subject, grant *podcert.Grant) (certificatesv1.PodCertificateRequestStatus, error) {
	none := certificatesv1.PodCertificateRequestStatus{}
	signer, err := s.authority(ctx, found)
	if err != nil {
		return none, err
	}
	der, err := x509.CreateCertificate(rand.Reader, grant.Template, signer.ca.X509, grant.Key, signer.key)
	if err != nil {
		return none, fmt.Errorf("sign: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return none, fmt.Errorf("parse the signed certificate: %w", err)
	}
	chain := append([]*x509.Certificate{leaf}, signer.ca.Chain()...)
	// A certificate that nodes would reject is not issued.
	if fault := (certs.Certificate{X509: leaf, Issuers: chain[1:]}).Validate(grant.Host, found.Trust, found.Now); fault != nil {
		return none, fmt.Errorf("the certificate %s (%s)", fault.Detail, fault.Reason)
	}
	var text strings.Builder
	for _, certificate := range chain {
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}); err != nil {
			return none, err
		}
	}
	at := func(t time.Time) *metav1.Time { return &metav1.Time{Time: t} }
	return certificatesv1.PodCertificateRequestStatus{
		Conditions: []metav1.Condition{{
			Type: certificatesv1.PodCertificateRequestConditionTypeIssued, Status: metav1.ConditionTrue,
			Reason: "Issued", Message: fmt.Sprintf("For %s, signed by the CA in Secret %s.", grant.Host, naming.Of(found.Cluster, s.Domain).Intermediate()),
		}},
		CertificateChain: text.String(),
		NotBefore:        at(leaf.NotBefore),
		BeginRefreshAt:   at(grant.BeginRefreshAt),
		NotAfter:         at(leaf.NotAfter),
	}, nil
}

// SetupWithManager registers the watches.
func (s *Signer) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("signer").
		For(&certificatesv1.PodCertificateRequest{}).
		WithOptions(controller.Options{RateLimiter: retries()}).
		Watches(v1alpha1.NewUnstructured(), handler.Funcs{UpdateFunc: s.forgetUnused, DeleteFunc: s.forget}).
		Complete(reconcile.AsReconciler(s.Client, s))
}
