package certs

import (
	"crypto/x509"
	"time"

	"github.com/erlang-operator/erlang-operator/certs/memo"
)

// To parse a certificate and to verify its signature is most of the work of a decision, and
// the same certificates are looked at again and again. So what was found is remembered. A key
// is the SHA-256 of all that a result depends on but the time, never a name or a version, so
// nothing counts as verified that was not. A result that depends on the time is used only while
// no certificate in question begins or ceases to be valid.

// maxRemembered is the longest text that is remembered, so that large contents do not fill
// the memory: a chain has some 3 kB.
const maxRemembered = 16 << 10

var (
	parsed    memo.Memo[[]*x509.Certificate]
	signed    memo.Memo[bool]
	validated memo.Memo[validation]
)

// isSignedBy reports whether a certificate has a valid signature of a CA. It is no matter of time.
func isSignedBy(certificate, ca *x509.Certificate) bool {
	key := memo.KeyOf(certificate.Raw, ca.Raw)
	is, known := signed.Get(key)
	if !known {
		is = certificate.CheckSignatureFrom(ca) == nil
		signed.Put(key, is)
	}
	return is
}

// A validation has the chains of a certificate that are valid between two instants, at neither
// of which some certificate has begun or ceased to be.
type validation struct {
	chains        [][]*x509.Certificate
	after, before time.Time
}

func (v validation) holdsAt(now time.Time) bool { return now.After(v.after) && now.Before(v.before) }

// validationAt is one at a time, of chains that are made of these certificates.
func validationAt(now time.Time, chains [][]*x509.Certificate, certificates []*x509.Certificate) validation {
	v := validation{chains: chains, after: time.Time{}, before: certificates[0].NotAfter}
	for _, certificate := range certificates {
		for _, boundary := range []time.Time{certificate.NotBefore, certificate.NotAfter} {
			if !boundary.After(now) && boundary.After(v.after) {
				v.after = boundary
			}
			if !boundary.Before(now) && boundary.Before(v.before) {
				v.before = boundary
			}
		}
	}
	return v
}
