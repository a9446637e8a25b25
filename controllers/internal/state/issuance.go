package state

import (
	"fmt"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// Issuance is the progress of cert-manager in issuing a Certificate.
type Issuance struct {
	// Failed: it was denied or did not succeed, and is retried later.
	Failed bool
	// Since when it is in progress, or when it failed.
	Since time.Time
	// Detail is the cause, or what it waits for, as far as that is known. It is short enough for an event.
	Detail string
}

// Issuance of a Certificate; false when none is in progress.
func (s State) Issuance(name string) (Issuance, bool) {
	certificate := s.Certificates[name]
	if certificate == nil {
		return Issuance{}, false
	}
	if since := certificate.DeletionTimestamp; since != nil && s.Secrets[name] == nil {
		return Issuance{Since: since.Time, Detail: deletion(certificate)}, true
	}
	for _, condition := range certificate.Status.Conditions {
		if condition.Type != certmanager.CertificateConditionIssuing {
			continue
		}
		since := certificate.CreationTimestamp.Time
		if condition.LastTransitionTime != nil {
			since = condition.LastTransitionTime.Time
		}
		if condition.Status == certmanagermeta.ConditionTrue {
			return Issuance{Since: s.begun(certificate, condition.Reason, since), Detail: s.issuanceProgress(certificate, since)}, true
		}
		// Whatever its reason: that of a denial is the approver's own.
		return Issuance{Failed: true, Since: since, Detail: quoted(condition.Message)}, true
	}
	if s.Secrets[name] != nil {
		return Issuance{}, false
	}
	return Issuance{Since: s.missingSince(certificate), Detail: "cert-manager has not started issuing it: check that it is running"}, true
}

// begun is when an issuance began whose condition Issuing has that reason and time. The time of one that
// the operator has begun is shortly after the failure, however much later that was: when it was due, or, if
// the cluster was suspended then or the manager away, when cert-manager made its request. One that began
// before the failure has a time of its own.
func (s State) begun(certificate *certmanager.Certificate, reason string, since time.Time) time.Time {
	if reason != IssuingRetried || certificate.Status.LastFailureTime == nil || since.Before(certificate.Status.LastFailureTime.Time) {
		return since
	}
	begun := s.NextRetry(certificate).At
	if request := s.Requests[certificate.Name]; request != nil && request.CreationTimestamp.After(begun) {
		begun = request.CreationTimestamp.Time
	}
	return begun
}

// missingSince is since when a Certificate without a Secret has been without it: since it
// was created, or is not ready. If cert-manager has not noticed that the Secret is gone, it
// is since the cluster's credentials are not ready.
func (s State) missingSince(certificate *certmanager.Certificate) time.Time {
	since := certificate.CreationTimestamp.Time
	for _, condition := range certificate.Status.Conditions {
		switch {
		case condition.Type != certmanager.CertificateConditionReady:
		case condition.Status == certmanagermeta.ConditionTrue:
			return s.credentialsMissingSince()
		case condition.LastTransitionTime != nil && condition.LastTransitionTime.After(since):
			since = condition.LastTransitionTime.Time
		}
	}
	return since
}

func (s State) credentialsMissingSince() time.Time {
	ready := meta.FindStatusCondition(s.Cluster.Status.Conditions, v1alpha1.ConditionCredentialsReady)
	if ready == nil || ready.Status == metav1.ConditionTrue {
		return s.Now.Truncate(time.Second)
	}
	return ready.LastTransitionTime.Time
}

// issuanceProgress is what the issuance of a Certificate, since then, waits for.
func (s State) issuanceProgress(certificate *certmanager.Certificate, since time.Time) string {
	request := s.Requests[certificate.Name]
	if request == nil {
		return s.notStored("cert-manager has made no CertificateRequest yet")
	}
	condition := func(wanted certmanager.CertificateRequestConditionType) *certmanager.CertificateRequestCondition {
		for i := range request.Status.Conditions {
			if request.Status.Conditions[i].Type == wanted {
				return &request.Status.Conditions[i]
			}
		}
		return nil
	}
	ready := condition(certmanager.CertificateRequestConditionReady)
	answered := ready != nil && ready.Status == certmanagermeta.ConditionTrue
	switch {
	case answered && request.CreationTimestamp.Time.Before(since): // It is of the issuance before.
		return s.notStored("cert-manager has made no new CertificateRequest yet")
	case answered:
		return s.notStored(fmt.Sprintf("CertificateRequest %s is answered, and cert-manager has not stored the certificate", request.Name))
	case ready != nil && ready.Message != "":
		return fmt.Sprintf("CertificateRequest %s: %s", request.Name, quoted(ready.Message))
	case condition(certmanager.CertificateRequestConditionApproved) == nil:
		return fmt.Sprintf("CertificateRequest %s is not approved: an approver must approve it", request.Name)
	default:
		ref := certificate.Spec.IssuerRef
		return fmt.Sprintf("no controller has processed CertificateRequest %s: check that the controller of %s.%s is running", request.Name, ref.Kind, ref.Group)
	}
}
