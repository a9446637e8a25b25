package plan

import (
	"slices"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	applycertmanager "github.com/cert-manager/cert-manager/pkg/client/applyconfigurations/certmanager/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// retry has cert-manager issue again what failed at an issuer of the cluster's own. By itself it waits
// for an hour after the first failure, then for 2, 4 and up to 32 hours, even if the cause was a race of
// its own controllers (its issue 6331).
func retry(p *Plan, s state.State) {
	for _, configuration := range p.Apply {
		if *configuration.GetKind() != certmanager.CertificateKind {
			continue
		}
		next, retried := RetryOf(s, *configuration.GetName())
		switch {
		case !retried:
		case s.Now.Before(next.At):
			p.again(next.At)
		default:
			p.Retry = append(p.Retry, issuing(s, s.Certificates[*configuration.GetName()]))
		}
	}
}

// RetryOf is when a Certificate is issued again; false if that is left to cert-manager. An issuer of the
// user's may have quotas, and who denied a request would deny the next.
func RetryOf(s state.State, name string) (state.Retry, bool) {
	issuer, named := s.IssuerNamedBy(name)
	if !named || s.Cluster.Spec.Suspend || !failed(s, name) || !s.Controls(issuer) {
		return state.Retry{}, false
	}
	return s.NextRetry(s.Certificates[name]), true
}

// failureReasons are those of the condition Issuing when an issuer failed, or signed what cannot be used.
// After a denial the approver gives the reason.
var failureReasons = []string{certmanager.CertificateRequestReasonFailed, "InvalidCertificate"}

// failed reports whether the last issuance of a Certificate failed, and was not denied.
func failed(s state.State, name string) bool {
	certificate := s.Certificates[name]
	return certificate.DeletionTimestamp == nil && certificate.Status.LastFailureTime != nil && !denied(s.Requests[name]) &&
		slices.ContainsFunc(certificate.Status.Conditions, func(condition certmanager.CertificateCondition) bool {
			return condition.Type == certmanager.CertificateConditionIssuing &&
				condition.Status == certmanagermeta.ConditionFalse && slices.Contains(failureReasons, condition.Reason)
		})
}

func denied(request *certmanager.CertificateRequest) bool {
	return request != nil && slices.ContainsFunc(request.Status.Conditions, func(condition certmanager.CertificateRequestCondition) bool {
		return condition.Type == certmanager.CertificateRequestConditionDenied && condition.Status == certmanagermeta.ConditionTrue
	})
}

// issuing begins an issuance of a Certificate as it was observed, as `cmctl renew` does.
func issuing(s state.State, certificate *certmanager.Certificate) *applycertmanager.CertificateApplyConfiguration {
	return applycertmanager.Certificate(certificate.Name, certificate.Namespace).
		WithUID(certificate.UID).
		WithResourceVersion(certificate.ResourceVersion).
		WithStatus(applycertmanager.CertificateStatus().WithConditions(applycertmanager.CertificateCondition().
			WithType(certmanager.CertificateConditionIssuing).
			WithStatus(certmanagermeta.ConditionTrue).
			WithReason(state.IssuingRetried).
			WithMessage("erlang-operator has the Certificate issued again, because that failed.").
			WithObservedGeneration(certificate.Generation).
			WithLastTransitionTime(metav1.NewTime(s.RetriedFrom(certificate)))))
}
