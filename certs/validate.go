package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/memo"
)

// Certificate is a stored certificate with its issuers.
type Certificate struct {
	// X509 is the certificate itself, the first one in tls.crt.
	X509 *x509.Certificate
	// Issuers are the other certificates in tls.crt, and those in ca.crt: intermediates
	// and roots.
	Issuers []*x509.Certificate
}

// ParseCertificate parses tls.crt of a certificate's Secret, and ca.crt, which may be
// empty.
func ParseCertificate(tlsCrt, caCrt []byte) (Certificate, error) {
	chain, err := parseChain(tlsCrt)
	if err != nil {
		return Certificate{}, fmt.Errorf("read tls.crt: %w", err)
	}
	leaf := Certificate{X509: chain[0], Issuers: slices.Clip(chain[1:])}
	if len(caCrt) > 0 {
		cas, err := parseChain(caCrt)
		if err != nil {
			return Certificate{}, fmt.Errorf("read ca.crt: %w", err)
		}
		leaf.Issuers = append(leaf.Issuers, cas...)
	}
	return leaf, nil
}

// A Fault is the reason why a certificate cannot be used.
type Fault struct {
	// Reason is one of the API's reasons.
	Reason string
	// Detail continues a sentence that begins with the certificate's name.
	Detail string
}

// Validate returns why the certificate cannot be that of a node on a host, at a time and
// with a trust bundle, or nil.
func (l Certificate) Validate(host string, trust Trust, now time.Time) *Fault {
	if fault := checkValidity(l.X509, now); fault != nil {
		return fault
	}
	switch certificate := l.X509; {
	case certificate.VerifyHostname(host) != nil:
		return &Fault{v1alpha1.ReasonCertificateNameMismatch,
			fmt.Sprintf("has no DNS SAN %s", host)}
	case !allowsServerAndClientAuth(certificate):
		return &Fault{v1alpha1.ReasonCertificateUnusable,
			"lacks the extended key usages serverAuth and clientAuth, both of which a node needs"}
	case certificate.KeyUsage != 0 && certificate.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return &Fault{v1alpha1.ReasonCertificateUnusable,
			"lacks the key usage digitalSignature, without which TLS 1.3 cannot sign with it"}
	}
	_, fault := l.validation(trust, now)
	return fault
}

// checkValidity returns a fault if the time is outside the certificate's validity
// period.
func checkValidity(certificate *x509.Certificate, now time.Time) *Fault {
	switch {
	case now.After(certificate.NotAfter):
		return &Fault{v1alpha1.ReasonCertificateExpired,
			fmt.Sprintf("expired at %s", certificate.NotAfter.UTC().Format(time.RFC3339))}
	case now.Before(certificate.NotBefore):
		return &Fault{v1alpha1.ReasonCertificateNotYetValid,
			fmt.Sprintf("is not valid before %s", certificate.NotBefore.UTC().Format(time.RFC3339))}
	}
	return nil
}

// validation returns what the chains from the certificate to a CA of the trust bundle are good for.
func (l Certificate) validation(trust Trust, now time.Time) (validation, *Fault) {
	key := l.keyWith(trust)
	if known, ok := validated.Get(key); ok && known.holdsAt(now) {
		return known, nil
	}
	chains, err := l.X509.Verify(x509.VerifyOptions{
		Roots:         trust.Pool(),
		Intermediates: Trust{}.With(l.Issuers...).Pool(),
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return validation{}, untrusted(l.X509, err)
	}
	found := validationAt(now, chains, slices.Concat([]*x509.Certificate{l.X509}, l.Issuers, trust.cas))
	validated.Put(key, found)
	return found, nil
}

// ValidUntil is until when nothing changes in what the certificate is good for with a trust bundle: it,
// an issuer or a CA of the bundle begins or ceases to be valid then. Of one that no chain leads from,
// it is its own end.
func (l Certificate) ValidUntil(trust Trust, now time.Time) time.Time {
	if found, fault := l.validation(trust, now); fault == nil {
		return found.before
	}
	return l.X509.NotAfter
}

// keyWith is the key of the validation with a CA of a trust bundle.
func (l Certificate) keyWith(trust Trust) memo.Key {
	return memo.KeyOf(l.X509.Raw, rawOf(l.Issuers), rawOf(trust.cas))
}

// rawOf has one certificate after the other, each of which begins with its length.
func rawOf(certificates []*x509.Certificate) (all []byte) {
	for _, certificate := range certificates {
		all = append(all, certificate.Raw...)
	}
	return all
}

// untrusted returns the fault for an error of the chain's verification: an issuer has
// expired, or is not in the trust bundle.
func untrusted(certificate *x509.Certificate, err error) *Fault {
	if invalid := (x509.CertificateInvalidError{}); errors.As(err, &invalid) && invalid.Reason == x509.Expired && !invalid.Cert.Equal(certificate) {
		return &Fault{v1alpha1.ReasonCertificateExpired, fmt.Sprintf("depends on the CA %q, which is valid only from %s to %s",
			invalid.Cert.Subject, invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339))}
	}
	return &Fault{v1alpha1.ReasonCertificateUntrusted, fmt.Sprintf("is not signed by a CA of the trust bundle: %v", err)}
}

// allowsServerAndClientAuth reports whether both sides of a connection can use the
// certificate. A certificate without extended key usages allows all.
func allowsServerAndClientAuth(certificate *x509.Certificate) bool {
	usages := certificate.ExtKeyUsage
	if len(usages) == 0 || slices.Contains(usages, x509.ExtKeyUsageAny) {
		return true
	}
	return slices.Contains(usages, x509.ExtKeyUsageServerAuth) && slices.Contains(usages, x509.ExtKeyUsageClientAuth)
}
