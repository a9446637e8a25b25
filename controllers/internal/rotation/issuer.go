package rotation

import (
	"slices"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// Wanted is the issuer that shall sign the leaves: the user's, else the private CA of the
// rotation that the spec asks for, or its successor when that is due.
func Wanted(s state.State) v1alpha1.IssuerReference {
	if ref := s.Cluster.Spec.TLS.IssuerRef; ref != nil {
		return *ref
	}
	id, number := s.Cluster.Spec.TLS.CA.RotationID, newestCA(s)
	if due(s, s.Names.NumberedCA(id, number)) {
		number++
	}
	return certs.PrivateIssuer(s.Names.NumberedCA(id, number))
}

// newestCA is the number of the last private CA of the rotation that the spec asks for
// that exists, or that a Certificate names.
func newestCA(s state.State) int {
	newest := 1
	for _, name := range signers(s) {
		if number, ok := s.Names.NumberOfCA(s.Cluster.Spec.TLS.CA.RotationID, name); ok {
			newest = max(newest, number)
		}
	}
	return newest
}

// due reports whether a private CA needs a successor, and no other rotation is under way:
// one follows the other.
func due(s state.State, ca string) bool {
	another := func(name string) bool { return name != ca }
	at, known := SuccessorDue(s, ca)
	return Lost(s, ca) || known && !s.Now.Before(at) && !slices.ContainsFunc(signers(s), another)
}

// Lost reports whether the key of a private CA is gone: cert-manager has made another CA
// under its name, and a certificate rests on the one before, which the nodes would trust
// until all are renewed. Of a new cluster, nothing depends on the one before yet.
func Lost(s state.State, ca string) bool {
	if s.PrivateCA(ca).Empty() || s.Cluster.Status.Mesh == nil {
		return false
	}
	lost := false
	for _, owner := range s.CertificateOwners() {
		if named, exists := s.NamedIssuer(owner); exists && named != certs.PrivateIssuer(ca) {
			return false // It does not sign any more, or not yet.
		}
		by, _ := s.IssuedBy(owner)
		leaf, stored := s.StoredCertificate(owner)
		lost = lost || stored && by == certs.PrivateIssuer(ca) && isLost(s, ca, leaf)
	}
	by, _ := s.IntermediateBy()
	intermediate, stored := s.Intermediate()
	return lost || stored && by == certs.PrivateIssuer(ca) && isLost(s, ca, intermediate)
}

// isLost reports whether a certificate rests on a CA that the nodes trust, and that a
// private CA of that name is not any more.
func isLost(s state.State, ca string, certificate certs.Certificate) bool {
	return s.PrivateCA(ca).IssuingCA(certificate.X509) == nil && s.Trust().IssuingCA(certificate.X509) != nil
}

// SuccessorDue is when another CA has to take the place of a private one; false when that
// has no certificate yet.
func SuccessorDue(s state.State, ca string) (time.Time, bool) {
	certificates := s.PrivateCA(ca).CAs()
	if len(certificates) == 0 {
		return time.Time{}, false
	}
	return certs.SuccessorDue(certificates[0], s.Cluster.Spec.TLS), true
}

// signers are the names of the private CAs that exist, and of the issuers that the
// Certificates name.
func signers(s state.State) []string {
	names := s.PrivateCAs()
	for name, certificate := range s.Certificates {
		if !certificate.Spec.IsCA || name == s.Names.Intermediate() {
			names = append(names, certificate.Spec.IssuerRef.Name)
		}
	}
	return names
}

// Signing is the issuer that the leaves are of, or will be when the next of them is
// issued. It is another than the wanted one until the first Certificate names that.
// A Certificate that was never issued binds nobody.
func Signing(s state.State) v1alpha1.IssuerReference {
	wanted := Wanted(s)
	signing := wanted
	for _, owner := range s.CertificateOwners() {
		named, exists := s.NamedIssuer(owner)
		switch {
		case !exists:
		case named == wanted:
			return wanted
		case signing == wanted && s.Secrets[s.Names.Certificate(owner)] != nil:
			signing = named
		}
	}
	return signing
}
