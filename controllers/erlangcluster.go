// Package controllers reconciles ErlangClusters. It never connects to a node: the state
// of the mesh it reads from the status that the probe writes.
package controllers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"sync"
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
const FieldOwner = apply.FieldOwner

// rejectedRetryInterval is how long after a rejection the same is tried again. No watch
// reports that an object of another owner, or a missing permission, is out of the way.
const rejectedRetryInterval = 30 * time.Second

// conflictRetryInterval is how long the caches are given for what has changed meanwhile.
// Their watches usually report it before.
const conflictRetryInterval = time.Second

// Reconciler reconciles ErlangClusters.
type Reconciler struct {
	Client   client.Client
	Recorder events.EventRecorder
	Operator plan.Operator
	Scope    Scope

	observer *observe.Observer
	applier  *apply.Applier
	written  sync.Map // of types.NamespacedName, a cluster's, to written
}

// What is in a namespace is in the role erlang-operator-manager, of which the installation for
// some namespaces makes Roles. What is in none is in erlang-operator-manager-cluster.
//
// +kubebuilder:rbac:groups=erlang-operator.dev,resources=erlangclusters,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=erlang-operator.dev,resources=erlangclusters/status,verbs=patch
// +kubebuilder:rbac:groups=erlang-operator.dev,resources=erlangclusters/finalizers,verbs=update
// +kubebuilder:rbac:groups=apps,resources=statefulsets;deployments,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups="",resources=configmaps;services;serviceaccounts,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;patch;delete
// +kubebuilder:rbac:groups="",resources=pods/status,verbs=patch
// +kubebuilder:rbac:roleName=erlang-operator-manager-cluster,groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=get;list;watch;create;update
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=list;watch
// +kubebuilder:rbac:groups=cert-manager.io,resources=certificates;issuers,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=cert-manager.io,resources=certificates/status,verbs=patch
// +kubebuilder:rbac:groups=cert-manager.io,resources=certificaterequests,verbs=get;list;watch
// +kubebuilder:rbac:roleName=erlang-operator-manager-cluster,groups=cert-manager.io,resources=clusterissuers,verbs=get;list;watch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=roles;rolebindings,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:roleName=erlang-operator-manager-cluster,groups=admissionregistration.k8s.io,resources=mutatingadmissionpolicies;mutatingadmissionpolicybindings;mutatingwebhookconfigurations,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=list;create;patch
// +kubebuilder:rbac:groups="",resources=resourcequotas,verbs=list

// Of Leases only those of probes are read, and updated to release them from a silent one. What it
// grants to probes, each for one Lease, the manager must be allowed itself: to create and to update.

// Reconcile reconciles the cluster that a request names. A pass that fails because the
// cluster was deleted meanwhile is no error: what it could not find was deleted with it.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	cluster, err := getCluster(ctx, r.Client, request.NamespacedName)
	if apierrors.IsNotFound(err) {
		r.observer.Forget(request.NamespacedName)
		r.applier.Forget(request.NamespacedName)
		r.written.Delete(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	if undecodable := (*v1alpha1.DecodeError)(nil); errors.As(err, &undecodable) {
		return ctrl.Result{}, r.write(ctx, cluster, status.Undecodable(cluster, r.observer.Clock.Now(), err))
	}
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("get ErlangCluster: %w", err)
	}
	result, err := r.reconcile(ctx, cluster)
	if err != nil && r.isDeleted(ctx, cluster) {
		return ctrl.Result{}, nil
	}
	return result, err
}

// reconcile observes, plans, applies and reports. Only plan decides, and only apply
// writes objects. Everything it creates has an owner reference, so a cluster that is
// being deleted needs nothing done but to be reported.
func (r *Reconciler) reconcile(ctx context.Context, cluster *v1alpha1.ErlangCluster) (ctrl.Result, error) {
	r.catchUp(cluster)
	if !cluster.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, r.write(ctx, cluster, status.Terminating(cluster, r.observer.Clock.Now()))
	}
	observed, err := r.observer.Observe(ctx, cluster)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observe: %w", err)
	}
	cookie, err := generateCookie()
	if err != nil {
		return ctrl.Result{}, err
	}
	planned := plan.Make(observed, r.Operator, cookie)
	failure := r.applier.Apply(ctx, planned, observed)
	outcome := status.Outcome{Err: failure, Rejected: apply.IsRejected(failure), Contests: r.applier.Contests(observed), Ahead: r.applier.IsAhead(observed)}
	for _, conflict := range apply.NameConflicts(failure) {
		outcome.Conflicts = append(outcome.Conflicts, conflict.Resource())
	}
	report := status.Compute(observed, planned, outcome)
	if err := r.write(ctx, cluster, report); err != nil {
		return ctrl.Result{}, fmt.Errorf("report: %w", err)
	}
	switch {
	case outcome.Rejected:
		return ctrl.Result{RequeueAfter: rejectedRetryInterval}, nil
	case apierrors.IsConflict(failure):
		// Something changed after it was observed. It is observed again.
		return ctrl.Result{RequeueAfter: conflictRetryInterval}, nil
	case failure != nil:
		return ctrl.Result{}, failure
	}
	return ctrl.Result{RequeueAfter: report.RequeueAfter}, nil
}

// isDeleted reports whether a cluster was deleted since it was read from the cache.
func (r *Reconciler) isDeleted(ctx context.Context, cluster *v1alpha1.ErlangCluster) bool {
	now := v1alpha1.NewUnstructured()
	err := r.observer.Live.Get(ctx, client.ObjectKeyFromObject(cluster), now)
	return apierrors.IsNotFound(err) || err == nil && (now.GetUID() != cluster.UID || now.GetDeletionTimestamp() != nil)
}

// write writes what is new in a report: the readiness gates first, because they are not
// looked at again once the status is written. One that cannot be opened, because somebody's
// webhook refuses it, keeps neither the others closed nor the status as it was.
func (r *Reconciler) write(ctx context.Context, cluster *v1alpha1.ErlangCluster, report status.Report) error {
	failed := r.openReadinessGates(ctx, report.Joined)
	now := r.observer.Clock.Now()
	restores := r.applier.RestoresStatus(cluster, now)
	if restores {
		failed = append(failed, r.applier.TakeOverStatus(ctx, cluster, now))
	}
	if report.Changed || restores {
		failed = append(failed, r.writeStatus(ctx, cluster, report))
	}
	return errors.Join(failed...)
}

func (r *Reconciler) writeStatus(ctx context.Context, cluster *v1alpha1.ErlangCluster, report status.Report) error {
	configuration, err := cluster.ApplyStatus(&report.Status)
	if err != nil {
		return err
	}
	if err := r.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(configuration), client.ForceOwnership); err != nil {
		return fmt.Errorf("apply status: %w", err)
	}
	r.written.Store(client.ObjectKeyFromObject(cluster), written{cluster.UID, configuration.GetResourceVersion(), report.Status})
	for _, event := range report.Events {
		r.Recorder.Eventf(cluster, nil, event.Type, event.Reason, "Reconcile", "%s", event.Message)
		log.FromContext(ctx).Info("Status changed", "reason", event.Reason, "message", event.Message)
	}
	return nil
}

// gatesAtOnce is how many readiness gates are opened at a time.
const gatesAtOnce = 10

// openReadinessGates marks pods as joined, several at a time: nodes that become a mesh join together.
func (r *Reconciler) openReadinessGates(ctx context.Context, pods []*corev1.Pod) []error {
	failed, turns := make([]error, len(pods)), make(chan struct{}, gatesAtOnce)
	var group sync.WaitGroup
	for i, pod := range pods {
		turns <- struct{}{}
		group.Go(func() {
			defer func() { <-turns }()
			failed[i] = r.openReadinessGate(ctx, pod)
		})
	}
	group.Wait()
	return failed
}

// openReadinessGate marks a pod as joined.
func (r *Reconciler) openReadinessGate(ctx context.Context, pod *corev1.Pod) error {
	configuration := applycore.Pod(pod.Name, pod.Namespace).WithUID(pod.UID).
		WithStatus(applycore.PodStatus().WithConditions(applycore.PodCondition().
			WithType(v1alpha1.ReadinessGate).
			WithStatus(corev1.ConditionTrue).
			WithReason("Joined").
			WithMessage("The node was verified, and linked to the others.")))
	err := r.Client.Status().Apply(ctx, configuration, client.ForceOwnership)
	// A pod that no longer exists has no gate to open.
	if err != nil && !apply.IsGone(err) {
		return fmt.Errorf("open the readiness gate of pod %s: %w", pod.Name, err)
	}
	return nil
}

// generateCookie makes a random cookie.
func generateCookie() (string, error) {
	cookie := make([]byte, naming.GeneratedCookieLength)
	for i := range cookie {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(naming.CookieAlphabet))))
		if err != nil {
			return "", fmt.Errorf("generate cookie: %w", err)
		}
		cookie[i] = naming.CookieAlphabet[n.Int64()]
	}
	return string(cookie), nil
}
