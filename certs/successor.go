package certs

import (
	"crypto/x509"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// minRenewBefore is the least that cert-manager takes.
const minRenewBefore = 5 * time.Minute

// SuccessorDue is when another CA has to take the place of a private one: when a
// certificate that it signs then would outlive it, and when a third of its life is left
// at the latest. Never before half of it is over, whatever the spec asks for: the
// successor of each new CA would be due at once.
func SuccessorDue(ca *x509.Certificate, spec v1alpha1.TLSSpec) time.Time {
	life := ca.NotAfter.Sub(ca.NotBefore)
	return ca.NotAfter.Add(-min(max(LongestSigned(spec), life/3), life/2))
}

// LongestSigned is how long the longest-lived certificate lives that the issuer signs.
func LongestSigned(spec v1alpha1.TLSSpec) time.Duration {
	longest := ParseDuration(spec.Certificate.Duration)
	if spec.Delivery == v1alpha1.DeliveryPodCertificate {
		longest = max(longest, intermediateLifetime(spec).Duration)
	}
	return longest
}

// lastResort is how long before its end cert-manager renews a private CA, with its key,
// so that what it signed stays good.
func lastResort(spec v1alpha1.TLSSpec) metav1.Duration {
	return metav1.Duration{Duration: max(ParseDuration(spec.CA.Duration)/10, minRenewBefore)}
}
