package status

import (
	"fmt"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// shortLived warns of an issuer that gives a much shorter lifetime than was requested.
func (p pass) shortLived() (assessment, bool) {
	for _, owner := range p.storedOwners() {
		name := p.Names.Certificate(owner)
		certificate, ok := p.StoredCertificate(owner)
		requested, settled := p.requestedLifetime(name)
		if ok && settled && lifeOf(certificate) < requested/2 {
			return isTrue(v1alpha1.ReasonCertificateShortLived, fmt.Sprintf(
				"The certificate in Secret %s is valid for %s, although %s was requested: the issuer limits it. It is renewed in time, but more often, and an outage of the issuer matters sooner. Configure the issuer for tls.certificate.duration, or lower that.",
				name, lifeOf(certificate).Round(time.Minute), requested)), true
		}
	}
	return assessment{}, false
}

// requestedLifetime of a Certificate; settled reports whether cert-manager has processed
// that request.
func (p pass) requestedLifetime(name string) (requested time.Duration, settled bool) {
	certificate := p.Certificates[name]
	if certificate == nil || certificate.Spec.Duration == nil {
		return 0, false
	}
	for _, condition := range certificate.Status.Conditions {
		if condition.Type == certmanager.CertificateConditionReady && condition.Status == certmanagermeta.ConditionTrue {
			settled = condition.ObservedGeneration == certificate.Generation
		}
	}
	return certificate.Spec.Duration.Duration, settled
}
