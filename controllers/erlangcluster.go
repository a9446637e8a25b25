// Package controllers makes true what ErlangClusters ask for. It never speaks to a
// node: what is so in the mesh it reads from the status that the probe writes.
package controllers

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/apply"
	"github.com/erlang-operator/erlang-operator/controllers/internal/observe"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/status"
)

// FieldOwner is the manager's name in server-side apply.
const FieldOwner = "erlang-operator"

// refusedAgain is how long after a refusal the same is tried again. Nothing that is
// watched tells when a foreign object, or a missing permission, is out of the way.
const refusedAgain = 30 * time.Second

// Reconciler makes one ErlangCluster at a time what its spec asks for.
type Reconciler struct {
	Client   client.Client
	Recorder events.EventRecorder
	Operator plan.Operator
	// PodCertificates: this Kubernetes has PodCertificateRequests, and a Signer runs.
	PodCertificates bool

	observer *observe.Observer
	applier  *apply.Applier
}

// +kubebuilder:rbac:groups=erlang-operator.dev,resources=erlangclusters,verbs=get;list;watch
// +kubebuilder:rbac:groups=erlang-operator.dev,resources=erlangclusters/status,verbs=patch
// +kubebuilder:rbac:groups=erlang-operator.dev,resources=erlangclusters/finalizers,verbs=update
// +kubebuilder:rbac:groups=apps,resources=statefulsets;deployments,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups="",resources=configmaps;services;serviceaccounts,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;patch;delete
// +kubebuilder:rbac:groups="",resources=pods/status,verbs=patch
// +kubebuilder:rbac:groups=cert-manager.io,resources=certificates;issuers,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=cert-manager.io,resources=certificaterequests;clusterissuers,verbs=get;list;watch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=roles;rolebindings,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingadmissionpolicies;mutatingadmissionpolicybindings,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// reconcile observes, plans, applies and reports. Only plan decides, only apply
// writes objects, only report speaks. Everything made carries an owner reference,
// so a cluster that goes needs nothing done.
func (r *Reconciler) reconcile(ctx context.Context, cluster *v1alpha1.ErlangCluster) (ctrl.Result, error) {
	if !cluster.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	observed, err := r.observer.Observe(ctx, cluster)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observe: %w", err)
	}
	cookie, err := drawCookie()
	if err != nil {
		return ctrl.Result{}, err
	}
	intended := plan.Make(observed, r.Operator, cookie)
	failure := r.applier.Apply(ctx, intended, observed)
	outcome := status.Outcome{Err: failure, Refused: apply.Refused(failure), Foreign: apply.Foreign(failure)}

	told := status.Describe(observed, intended, outcome)
	if err := r.tell(ctx, cluster, told); err != nil {
		return ctrl.Result{}, fmt.Errorf("report: %w", err)
	}
	if outcome.Refused {
		return ctrl.Result{RequeueAfter: refusedAgain}, nil
	}
	return ctrl.Result{RequeueAfter: told.Again}, failure
}

// Reconcile hands on the cluster that a request names. One that is gone is forgotten, and a
// pass that fails because it has gone meanwhile ends without a word: what that could
// not find went with the cluster.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	cluster := &v1alpha1.ErlangCluster{}
	err := r.Client.Get(ctx, request.NamespacedName, cluster)
	if apierrors.IsNotFound(err) {
		r.observer.Forget(request.NamespacedName)
		r.applier.Forget(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("look for the cluster: %w", err)
	}
	result, err := r.reconcile(ctx, cluster)
	if err != nil && r.gone(ctx, cluster) {
		return ctrl.Result{}, nil
	}
	return result, err
}

// gone says that a cluster was deleted since it was seen.
func (r *Reconciler) gone(ctx context.Context, cluster *v1alpha1.ErlangCluster) bool {
	now := &v1alpha1.ErlangCluster{}
	err := r.observer.Live.Get(ctx, client.ObjectKeyFromObject(cluster), now)
	return apierrors.IsNotFound(err) || err == nil && (now.UID != cluster.UID || now.DeletionTimestamp != nil)
}

// tell writes what is new: the joined pods first, since they are not looked at
// again once the status says that all is well.
func (r *Reconciler) tell(ctx context.Context, cluster *v1alpha1.ErlangCluster, told status.Report) error {
	for _, pod := range told.Joined {
		if err := r.setJoined(ctx, pod); err != nil {
			return err
		}
	}
	if !told.Changed {
		return nil
	}
	status, err := cluster.ApplyStatus(&told.Status)
	if err != nil {
		return err
	}
	if err := r.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(status), client.ForceOwnership); err != nil {
		return fmt.Errorf("apply status: %w", err)
	}
	for _, event := range told.Events {
		r.Recorder.Eventf(cluster, nil, event.Type, event.Reason, "Reconcile", "%s", event.Message)
		log.FromContext(ctx).Info("Reported", "reason", event.Reason, "message", event.Message)
	}
	return nil
}

// setJoined opens a pod's readiness gate.
func (r *Reconciler) setJoined(ctx context.Context, pod *corev1.Pod) error {
	configuration := applycore.Pod(pod.Name, pod.Namespace).WithUID(pod.UID).
		WithStatus(applycore.PodStatus().WithConditions(applycore.PodCondition().
			WithType(v1alpha1.ReadinessGate).
			WithStatus(corev1.ConditionTrue).
			WithReason("Joined").
			WithMessage("The node was verified, and linked to the others.")))
	err := r.Client.Status().Apply(ctx, configuration, client.ForceOwnership)
	// Pods come and go: one that went needs nothing any more.
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("open the readiness gate of pod %s: %w", pod.Name, err)
	}
	return nil
}

// drawCookie makes a cookie that nobody can guess.
func drawCookie() (string, error) {
	cookie := make([]byte, naming.GeneratedCookieLength)
	for i := range cookie {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(naming.CookieAlphabet))))
		if err != nil {
			return "", fmt.Errorf("draw a cookie: %w", err)
		}
		cookie[i] = naming.CookieAlphabet[n.Int64()]
	}
	return string(cookie), nil
}
