package certs

import (
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// Bounds of the lifetime of a certificate that a kubelet asks for (API server's own).
const (
	MinPodCertificateLifetime = time.Hour
	MaxPodCertificateLifetime = 91 * 24 * time.Hour
)

// minRenewBefore is the least that cert-manager takes.
const minRenewBefore = 5 * time.Minute

// ParseDuration of a duration that the CRD's validation has let through.
func ParseDuration(d v1alpha1.Duration) time.Duration {
	parsed, err := time.ParseDuration(string(d))
	if err != nil {
		return 0
	}
	return parsed
}

// PodCertificateLifetime is how long a certificate that a kubelet asks for shall
// live.
func PodCertificateLifetime(spec v1alpha1.TLSSpec) time.Duration {
	return min(max(ParseDuration(spec.Certificate.Duration), MinPodCertificateLifetime), MaxPodCertificateLifetime)
}

// IntermediateLifetime is that of the CA that signs what kubelets ask for. cert-manager
// renews it after two thirds of its time, so that with three times the life of what it
// signs there is always enough left. It is not longer than what a private CA has left
// when another one takes its place.
func IntermediateLifetime(spec v1alpha1.TLSSpec) time.Duration {
	lifetime := 3 * PodCertificateLifetime(spec)
	if ca := ParseDuration(spec.CA.Duration); spec.IssuerRef == nil && ca > 0 {
		lifetime = min(lifetime, ca/2)
	}
	return lifetime
}

// LongestIssued is how long the longest-lived certificate lives that the issuer signs.
func LongestIssued(spec v1alpha1.TLSSpec) time.Duration {
	longest := ParseDuration(spec.Certificate.Duration)
	if spec.Delivery == v1alpha1.DeliveryPodCertificate {
		longest = max(longest, IntermediateLifetime(spec))
	}
	return longest
}

// CARenewBefore is how long before its end cert-manager renews a private CA, with its key,
// so that what it signed stays good.
func CARenewBefore(spec v1alpha1.TLSSpec) time.Duration {
	return max(ParseDuration(spec.CA.Duration)/10, minRenewBefore)
}
