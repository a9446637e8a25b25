package state

import (
	"fmt"
	"strings"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
)

// Issuance is what cert-manager makes of a Certificate, while there is something to
// make.
type Issuance struct {
	// Failed: it was refused, or came to nothing, and is tried again later.
	Failed bool
	// Since when it is awaited, or when it failed.
	Since time.Time
	// Said is the cause, or what it waits for, as far as anybody tells.
	Said string
}

// Issuance of a Certificate; false when nothing is awaited of it.
func (s State) Issuance(name string) (Issuance, bool) {
	certificate := s.Certificates[name]
	if certificate == nil {
		return Issuance{}, false
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
			return Issuance{Since: since, Said: s.awaits(certificate)}, true
		}
		// Whatever its reason: that of a denial is the approver's own.
		return Issuance{Failed: true, Since: since, Said: trimmed(condition.Message)}, true
	}
	if s.Secrets[name] != nil {
		return Issuance{}, false
	}
	return Issuance{Since: certificate.CreationTimestamp.Time, Said: "cert-manager has not taken it up: see whether it runs"}, true
}

// awaits is what the issuance of a Certificate waits for.
func (s State) awaits(certificate *certmanager.Certificate) string {
	request := s.Requests[certificate.Name]
	if request == nil {
		return "cert-manager has made no CertificateRequest yet"
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
	switch {
	case ready != nil && ready.Message != "":
		return fmt.Sprintf("CertificateRequest %s: %s", request.Name, trimmed(ready.Message))
	case condition(certmanager.CertificateRequestConditionApproved) == nil:
		return fmt.Sprintf("CertificateRequest %s is not approved: an approver has to", request.Name)
	default:
		ref := certificate.Spec.IssuerRef
		return fmt.Sprintf("no controller has taken up CertificateRequest %s: see whether that of %s.%s runs", request.Name, ref.Kind, ref.Group)
	}
}

// trimmed is a message of somebody else's as a part of a sentence.
func trimmed(message string) string { return strings.TrimRight(message, ". ") }
