package certs

import (
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// Bounds of the lifetime of a certificate that a kubelet requests, set by the API server.
const (
	MinPodCertificateLifetime = time.Hour
	MaxPodCertificateLifetime = 91 * 24 * time.Hour
)

// minRenewBefore is the minimum that cert-manager accepts.
const minRenewBefore = 5 * time.Minute

// ParseDuration parses a duration that has passed the CRD's validation. It returns 0 for
// an empty one.
func ParseDuration(d v1alpha1.Duration) time.Duration {
	parsed, err := time.ParseDuration(string(d))
	if err != nil {
		return 0
	}
	return parsed
}

// PodCertificateLifetime returns the lifetime of a certificate that a kubelet requests.
func PodCertificateLifetime(spec v1alpha1.TLSSpec) time.Duration {
	return min(max(ParseDuration(spec.Certificate.Duration), MinPodCertificateLifetime), MaxPodCertificateLifetime)
}

// IntermediateLifetime returns the lifetime of the intermediate CA that signs the
// certificates that kubelets request: three times theirs, because cert-manager renews it
// after two thirds of its lifetime, when a certificate that it signs can still live for
// all of its own. It is at most half of the private CA's, which is what that has left
// when it is replaced.
func IntermediateLifetime(spec v1alpha1.TLSSpec) time.Duration {
	lifetime := 3 * PodCertificateLifetime(spec)
	if ca := ParseDuration(spec.CA.Duration); spec.IssuerRef == nil && ca > 0 {
		lifetime = min(lifetime, ca/2)
	}
	return lifetime
}

// LongestIssued returns the longest lifetime of the certificates that the issuer signs.
func LongestIssued(spec v1alpha1.TLSSpec) time.Duration {
	longest := ParseDuration(spec.Certificate.Duration)
	if spec.Delivery == v1alpha1.DeliveryPodCertificate {
		longest = max(longest, IntermediateLifetime(spec))
	}
	return longest
}

// RenewBefore returns how long before its expiry a certificate of a node is renewed: a third
// of its duration unless the spec says otherwise.
func RenewBefore(lifetime v1alpha1.CertificateLifetime) time.Duration {
	if lifetime.RenewBefore == "" {
		return max(ParseDuration(lifetime.Duration)/3, minRenewBefore).Truncate(time.Second)
	}
	return ParseDuration(lifetime.RenewBefore)
}

// CARenewBefore returns how long before its expiry cert-manager renews a private CA with
// the same key, in case a rotation has not replaced it long before.
func CARenewBefore(spec v1alpha1.TLSSpec) time.Duration {
	return max(ParseDuration(spec.CA.Duration)/10, minRenewBefore)
}
