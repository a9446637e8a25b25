package certs

import (
	"crypto/x509"
	"slices"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// SignerName is the signer in the PodCertificateRequests of the nodes, for which the
// manager's ClusterRole allows it to sign.
const SignerName = v1alpha1.Group + "/member"

// ValidateIntermediate returns why the certificate cannot be that of a CA that signs the
// nodes' certificates, at a time and with a trust bundle, or nil.
func (l Certificate) ValidateIntermediate(trust Trust, now time.Time) *Fault {
	if fault := checkValidity(l.X509, now); fault != nil {
		return fault
	}
	if certificate := l.X509; !certificate.IsCA || certificate.KeyUsage != 0 && certificate.KeyUsage&x509.KeyUsageCertSign == 0 {
		return &Fault{v1alpha1.ReasonIssuerGivesNoCA, "is not a CA certificate, although one was requested"}
	}
	found, fault := l.validation(trust, now)
	if fault != nil {
		return fault
	}
	if !found.mayIssueLeaf {
		return &Fault{v1alpha1.ReasonIssuerGivesNoCA,
			"is a CA certificate that may not sign: the path length constraint of one of its issuers allows no certificate below it"}
	}
	return nil
}

// pathLenAllowsLeaf reports whether the path length constraints of a chain of CAs allow
// a leaf certificate below it.
func pathLenAllowsLeaf(chain []*x509.Certificate) bool {
	for below, ca := range chain {
		if ca.MaxPathLen >= 0 && ca.MaxPathLen < below {
			return false
		}
	}
	return true
}

// Chain returns the certificates to send with a leaf that this CA signed: the CA's own
// and those of its issuers, without roots, which the peer has in its trust bundle.
func (l Certificate) Chain() []*x509.Certificate {
	var chain []*x509.Certificate
	for _, ca := range append([]*x509.Certificate{l.X509}, l.Issuers...) {
		if !isSignedBy(ca, ca) && !slices.ContainsFunc(chain, ca.Equal) {
			chain = append(chain, ca)
		}
	}
	return chain
}
