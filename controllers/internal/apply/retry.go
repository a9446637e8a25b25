package apply

import (
	"context"
	"fmt"

	applycertmanager "github.com/cert-manager/cert-manager/pkg/client/applyconfigurations/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

func (a *Applier) retryAll(ctx context.Context, certificates []*applycertmanager.CertificateApplyConfiguration, observed state.State, rejected *rejections) error {
	for _, certificate := range certificates {
		if err := rejected.keep("status of a Certificate", a.retry(ctx, observed, certificate)); err != nil {
			return err
		}
	}
	return nil
}

// retry begins another issuance of a Certificate, once for each failure.
func (a *Applier) retry(ctx context.Context, observed state.State, certificate *applycertmanager.CertificateApplyConfiguration) error {
	name := *certificate.GetName()
	err := a.Client.Status().Apply(ctx, certificate, client.ForceOwnership)
	if IsGone(err) {
		return nil // cert-manager issues it already, or it is another one. Its watch has this decided anew.
	}
	if err != nil {
		return fmt.Errorf("retry Certificate %s: %w", name, err)
	}
	issuance, _ := observed.Issuance(name)
	a.Recorder.Eventf(observed.Cluster, nil, corev1.EventTypeNormal, v1alpha1.ReasonCertificateRetried, "Retry",
		"cert-manager could not issue certificate %s, and tries again now: %s.", name, issuance.Detail)
	log.FromContext(ctx).Info("Issuance of a certificate retried", "certificate", name, "failure", issuance.Detail)
	return nil
}
