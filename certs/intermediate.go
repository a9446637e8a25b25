package certs

import (
	"crypto/x509"
	"slices"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// SignerName is the name by which a pod's volume asks for the certificate of its
// node, and the manager's ClusterRole lets it sign.
const SignerName = v1alpha1.Group + "/member"

// ValidateIntermediate says what is wrong with a certificate as that of a CA that signs
// the nodes' certificates, at a time and under a trust; nil when nothing is.
func (l Certificate) ValidateIntermediate(trust Trust, now time.Time) *Fault {
	if fault := checkValidity(l.X509, now); fault != nil {
		return fault
	}
	if certificate := l.X509; !certificate.IsCA || certificate.KeyUsage != 0 && certificate.KeyUsage&x509.KeyUsageCertSign == 0 {
		return &Fault{v1alpha1.ReasonIssuerGivesNoCA, "is not that of a CA, though that was asked for"}
	}
	chains, fault := l.chains(trust, now)
	if fault != nil {
		return fault
	}
	if !slices.ContainsFunc(chains, pathLenAllowsLeaf) {
		return &Fault{v1alpha1.ReasonIssuerGivesNoCA,
			"is that of a CA which may not sign: the path length of a CA above it leaves no room for one below"}
	}
	return nil
}

// pathLenAllowsLeaf says that the path lengths of a chain allow a certificate below it.
func pathLenAllowsLeaf(chain []*x509.Certificate) bool {
	for below, ca := range chain {
		if ca.MaxPathLen >= 0 && ca.MaxPathLen < below {
			return false
		}
	}
	return true
}

// Chain is what comes with a leaf that this CA signs: its own certificate and those
// above it, without roots, which the other side has.
func (l Certificate) Chain() []*x509.Certificate {
	var chain []*x509.Certificate
	for _, ca := range append([]*x509.Certificate{l.X509}, l.Issuers...) {
		if ca.CheckSignatureFrom(ca) != nil && !slices.ContainsFunc(chain, ca.Equal) {
			chain = append(chain, ca)
		}
	}
	return chain
}
