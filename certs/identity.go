package certs

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// PrivateIssuer is the issuer of the private CA of that name.
func PrivateIssuer(ca string) v1alpha1.IssuerReference {
	return v1alpha1.IssuerReference{Name: ca, Kind: certmanager.IssuerKind, Group: certmanager.SchemeGroupVersion.Group}
}

// Identity returns the name of a CA in a status: the first 8 bytes of the SHA-256 of
// its public key. A renewed CA keeps its key, and so its identity.
func Identity(ca *x509.Certificate) string {
	digest := sha256.Sum256(ca.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(digest[:8])
}

// maxSerial is the most digits of a serial number that the API accepts. RFC 5280 allows 40,
// and nothing keeps somebody from storing a certificate that has more.
const maxSerial = 64

// Serial returns the serial number of a certificate as in a status, in hexadecimal: of one
// that is too long, the beginning.
func Serial(certificate *x509.Certificate) string {
	serial := certificate.SerialNumber.Text(16)
	return serial[:min(len(serial), maxSerial)]
}

// IssuingCA returns the CA that signed the certificate, from the issuers stored with it
// or from the trust bundle, or nil.
func (l Certificate) IssuingCA(trust Trust) *x509.Certificate {
	return Trust{}.With(l.Issuers...).Union(trust).IssuingCA(l.X509)
}

// HasRoot reports whether the issuers stored with the certificate and the trust bundle
// make its chain complete, up to a self-signed CA.
func (l Certificate) HasRoot(trust Trust) bool {
	above := Trust{}.With(l.Issuers...).Union(trust).IssuersOf([]*x509.Certificate{l.X509})
	return slices.ContainsFunc(above.cas, func(ca *x509.Certificate) bool { return isSignedBy(ca, ca) })
}

// Identities returns the identities of all CAs of the trust bundle.
func (t Trust) Identities() []string {
	identities := make([]string, 0, len(t.cas))
	for _, ca := range t.cas {
		identities = append(identities, Identity(ca))
	}
	return identities
}
