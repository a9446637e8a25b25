package certs

import (
	"crypto/x509"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// SuccessorDue returns when a new CA has to replace a private CA: when a certificate
// signed at that time would outlive it, and at the latest when a third of its lifetime
// is left. It is never in the first half of the lifetime, whatever the spec requests,
// because a new CA would have to be replaced immediately.
func SuccessorDue(ca *x509.Certificate, spec v1alpha1.TLSSpec) time.Time {
	life := ca.NotAfter.Sub(ca.NotBefore)
	return ca.NotAfter.Add(-min(max(LongestIssued(spec), life/3), life/2))
}
