package state

import (
	"cmp"
	"crypto/x509"
	"maps"
	"slices"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
)

// WantedIssuer is the issuer that shall sign the leaves: the user's, else the private CA
// of the rotation that is asked for, or the one after it when its time is nearly up.
func (s State) WantedIssuer() v1alpha1.IssuerReference {
	if ref := s.Cluster.Spec.TLS.IssuerRef; ref != nil {
		return *ref
	}
	id, number := s.Cluster.Spec.TLS.CA.RotationID, s.newestCA()
	if s.spent(s.Names.NumberedCA(id, number)) {
		number++
	}
	return certs.PrivateIssuer(s.Names.NumberedCA(id, number))
}

// newestCA is the number of the last private CA that there is of the rotation that is
// asked for, or that a certificate is asked of.
func (s State) newestCA() int {
	newest := 1
	for _, name := range s.signers() {
		if number, ok := s.Names.NumberOfCA(s.Cluster.Spec.TLS.CA.RotationID, name); ok {
			newest = max(newest, number)
		}
	}
	return newest
}

// spent says that the time of a private CA is nearly up, and that no rotation is under
// way: one after the other.
func (s State) spent(ca string) bool {
	another := func(name string) bool { return name != ca }
	at, known := s.SpentAt(ca)
	return known && !s.Now.Before(at) && !slices.ContainsFunc(s.signers(), another)
}

// signers are the names of the private CAs that there are, and of the issuers that
// certificates are asked of.
func (s State) signers() []string {
	names := s.PrivateCAs()
	for name, certificate := range s.Certificates {
		if !certificate.Spec.IsCA || name == s.Names.Intermediate() {
			names = append(names, certificate.Spec.IssuerRef.Name)
		}
	}
	return names
}

// SpentAt is when another CA has to take the place of a private one; false when that
// has no certificate yet.
func (s State) SpentAt(ca string) (time.Time, bool) {
	certificates := s.PrivateCA(ca).CAs()
	if len(certificates) == 0 {
		return time.Time{}, false
	}
	return certs.SpentAt(certificates[0], s.Cluster.Spec.TLS), true
}

// SigningIssuer is the issuer that the leaves are of, or will be when the next of them
// is issued. It is another than the wanted one until the first Certificate names that.
// A Certificate that was never issued binds nobody.
func (s State) SigningIssuer() v1alpha1.IssuerReference {
	wanted := s.WantedIssuer()
	signing := wanted
	for _, owner := range s.CertificateOwners() {
		name := s.Names.Certificate(owner)
		certificate := s.Certificates[name]
		if certificate == nil {
			continue
		}
		named := issuerOf(certificate.Spec.IssuerRef.Name, certificate.Spec.IssuerRef.Kind, certificate.Spec.IssuerRef.Group)
		if named == wanted {
			return wanted
		}
		if signing == wanted && s.Secrets[name] != nil {
			signing = named
		}
	}
	return signing
}

// CertificateOwners are the probe and the expected pods: whoever has a certificate.
func (s State) CertificateOwners() []string {
	return append([]string{s.Names.Probe()}, s.Names.Pods(s.Replicas())...)
}

// IssuedBy is the issuer that an owner's stored certificate came from, as
// cert-manager noted; false when there is none.
func (s State) IssuedBy(owner string) (v1alpha1.IssuerReference, bool) {
	return s.issuerIn(s.Names.Certificate(owner))
}

// IntermediateBy is the issuer that the intermediate CA came from; false when there is
// none.
func (s State) IntermediateBy() (v1alpha1.IssuerReference, bool) {
	return s.issuerIn(s.Names.Intermediate())
}

// issuerIn is the issuer that the certificate in a Secret came from.
func (s State) issuerIn(name string) (v1alpha1.IssuerReference, bool) {
	secret := s.Secrets[name]
	if secret == nil || secret.Annotations[certmanager.IssuerNameAnnotationKey] == "" {
		return v1alpha1.IssuerReference{}, false
	}
	return issuerOf(secret.Annotations[certmanager.IssuerNameAnnotationKey],
		secret.Annotations[certmanager.IssuerKindAnnotationKey],
		secret.Annotations[certmanager.IssuerGroupAnnotationKey]), true
}

// issuerOf has the defaults that cert-manager has.
func issuerOf(name, kind, group string) v1alpha1.IssuerReference {
	return v1alpha1.IssuerReference{
		Name: name, Kind: cmp.Or(kind, certmanager.IssuerKind), Group: cmp.Or(group, certmanager.SchemeGroupVersion.Group),
	}
}

// PrivateCAs are the names of the private CAs of ours that there are, sorted.
func (s State) PrivateCAs() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(s.Certificates)) {
		if s.Certificates[name].Spec.IsCA && name != s.Names.Intermediate() {
			names = append(names, name)
		}
	}
	return names
}

// CAOf is the CA that an issuer signs with, as far as it is known. That of a private
// CA is in its Secret; an issuer of the user's shows its CA only in what it has signed.
func (s State) CAOf(issuer v1alpha1.IssuerReference) certs.Trust {
	if certificate := s.Certificates[issuer.Name]; certificate != nil && certificate.Spec.IsCA && issuer == certs.PrivateIssuer(issuer.Name) {
		return s.PrivateCA(issuer.Name)
	}
	var leaves, above []*x509.Certificate
	for _, owner := range append(s.CertificateOwners(), s.Names.Canary()) {
		if by, ok := s.IssuedBy(owner); !ok || by != issuer {
			continue
		}
		if leaf, ok := s.StoredCertificate(owner); ok {
			leaves = append(leaves, leaf.X509)
			above = append(above, leaf.Above...)
		}
	}
	return certs.Trust{}.With(above...).Union(s.Trust()).NeededBy(leaves)
}

// PrivateCA is the certificate of a private CA; empty when it has none yet.
func (s State) PrivateCA(name string) certs.Trust {
	secret := s.Secrets[name]
	if secret == nil {
		return certs.Trust{}
	}
	trust, err := certs.ParseTrust(secret.Data[corev1.TLSCertKey])
	if err != nil {
		return certs.Trust{}
	}
	return trust
}

// Node is the probe's verdict on the node in a pod, or nil when it has none.
func (s State) Node(pod string) *v1alpha1.NodeStatus {
	if s.Cluster.Status.Mesh == nil {
		return nil
	}
	nodes := s.Cluster.Status.Mesh.Nodes
	for i := range nodes {
		if nodes[i].Pod == pod {
			return &nodes[i]
		}
	}
	return nil
}

// Running are the expected pods that run, or may be started at any time.
func (s State) Running() []string {
	started := int32(0)
	if s.StatefulSet != nil && s.StatefulSet.Spec.Replicas != nil {
		started = *s.StatefulSet.Spec.Replicas
	}
	var running []string
	for ordinal, pod := range s.Names.Pods(s.Replicas()) {
		if int32(ordinal) < started || s.Pod(pod) != nil {
			running = append(running, pod)
		}
	}
	return running
}

// ServesBelow says that a node was seen to serve a certificate that a CA has signed.
func (s State) ServesBelow(pod string, ca certs.Certificate) bool {
	node := s.Node(pod)
	return node != nil && node.CertificateAuthority == certs.Identity(ca.X509)
}

// ServesStored says that a node was seen to serve the certificate that is stored for
// it.
func (s State) ServesStored(pod string) bool {
	leaf, ok := s.StoredCertificate(pod)
	node := s.Node(pod)
	return ok && node != nil && node.CertificateSerial == certs.Serial(leaf.X509)
}
