package certs

import (
	"crypto/x509"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// SuccessorDue is when another CA has to take the place of a private one: when a
// certificate that it signs then would outlive it, and when a third of its life is left
// at the latest. Never before half of it is over, whatever the spec asks for: the
// successor of each new CA would be due at once.
func SuccessorDue(ca *x509.Certificate, spec v1alpha1.TLSSpec) time.Time {
	life := ca.NotAfter.Sub(ca.NotBefore)
	return ca.NotAfter.Add(-min(max(LongestIssued(spec), life/3), life/2))
}
