package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/observe"
)

// syncTimeout is less than a kubelet waits for an answer by default: a second.
const syncTimeout = 500 * time.Millisecond

// cachesSynced fails until the manager has read all that it watches, as long as a
// permission is missing for instance.
func cachesSynced(caches cache.Cache) healthz.Checker {
	return func(request *http.Request) error {
		ctx, cancel := context.WithTimeout(request.Context(), syncTimeout)
		defer cancel()
		if !caches.WaitForCacheSync(ctx) {
			return errors.New("the caches are not synced")
		}
		return nil
	}
}

// addReadiness has the manager be ready when its caches are synced. These begin with the
// manager, and not with its controllers: they would be synced while there is nothing in them.
func addReadiness(ctx context.Context, mgr ctrl.Manager, by PodIdentity, scope Scope) error {
	for _, kind := range watched(by, scope) {
		if _, err := mgr.GetCache().GetInformer(ctx, kind); err != nil {
			return fmt.Errorf("watch %T: %w", kind, err)
		}
	}
	return mgr.AddReadyzCheck("caches", cachesSynced(mgr.GetCache()))
}

// watched are the kinds that the manager watches.
func watched(by PodIdentity, scope Scope) []client.Object {
	kinds := append(observe.OwnedKinds(), v1alpha1.NewUnstructured(), &corev1.Pod{}, &coordinationv1.Lease{}, &certmanager.CertificateRequest{})
	kinds = append(kinds, scope.issuers()...)
	kinds = append(kinds, scope.admissionKinds(by)...)
	if scope.clusterWide() {
		kinds = append(kinds, &corev1.Node{})
	}
	if scope.signs() {
		kinds = append(kinds, &certificatesv1.PodCertificateRequest{})
	}
	return kinds
}
