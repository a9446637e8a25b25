package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	clustermetrics "github.com/erlang-operator/erlang-operator/controllers/internal/metrics"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// Settings of the manager.
type Settings = plan.Operator

// PodIdentity is what gives each pod its own certificate.
type PodIdentity = state.PodIdentity

// The values of a PodIdentity.
const (
	ByPolicy  = state.ByPolicy
	ByWebhook = state.ByWebhook
)

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

// SetupWithManager adds the controllers, the webhook and the metrics to a manager. The signer
// runs where this Kubernetes has PodCertificateRequests, and allows it.
func SetupWithManager(ctx context.Context, mgr ctrl.Manager, settings Settings, scope Scope) error {
	if err := requireCertManager(mgr.GetRESTMapper()); err != nil {
		return err
	}
	if err := addReadiness(ctx, mgr, settings.PodIdentity, scope); err != nil {
		return err
	}
	reconciler := &Reconciler{
		Client: mgr.GetClient(), Recorder: mgr.GetEventRecorder("erlang-operator"), Operator: settings,
		Scope: scope,
	}
	if err := reconciler.SetupWithManager(ctx, mgr); err != nil {
		return fmt.Errorf("set up the controller: %w", err)
	}
	collector := clustermetrics.Collector{Reader: mgr.GetClient(), Heartbeat: reconciler.observer.Heartbeats.Last}
	if err := metrics.Registry.Register(collector); err != nil {
		return fmt.Errorf("register the metrics: %w", err)
	}
	if settings.PodIdentity == state.ByWebhook {
		if err := serveIdentityWebhook(mgr); err != nil {
			return fmt.Errorf("set up the webhook: %w", err)
		}
	}
	if !scope.signs() {
		return nil
	}
	signer := &Signer{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Domain: settings.Domain, Clock: clock.RealClock{}}
	if err := signer.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("set up the signer: %w", err)
	}
	return nil
}

// longestRetryInterval is how long it takes at most until what has failed is tried again. By
// default that grows to a quarter of an hour, in which nobody looks whether the probe has
// fallen silent, and a kubelet's request has expired.
const longestRetryInterval = 30 * time.Second

func retries() workqueue.TypedRateLimiter[ctrl.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[ctrl.Request](5*time.Millisecond, longestRetryInterval)
}

// requireCertManager fails at once where otherwise a cache would never sync.
func requireCertManager(mapper meta.RESTMapper) error {
	certificate := certmanager.SchemeGroupVersion.WithKind(certmanager.CertificateKind).GroupKind()
	_, err := mapper.RESTMapping(certificate, certmanager.SchemeGroupVersion.Version)
	if meta.IsNoMatchError(err) {
		return errors.New("this Kubernetes cluster has no cert-manager (no kind Certificate in cert-manager.io/v1): install cert-manager, and this pod starts with its next restart")
	}
	if err != nil {
		return fmt.Errorf("discover cert-manager: %w", err)
	}
	return nil
}
