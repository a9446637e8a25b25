package state

import (
	"cmp"
	"crypto/x509"
	"maps"
	"slices"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
)

// CertificateOwners are the probe and the expected pods: whoever has a certificate.
func (s State) CertificateOwners() []string {
	return append([]string{s.Names.Probe()}, s.Names.Pods(s.Replicas())...)
}

// NamedIssuer is the issuer that an owner's Certificate names; false when there is no
// Certificate.
func (s State) NamedIssuer(owner string) (v1alpha1.IssuerReference, bool) {
	return s.IssuerNamedBy(s.Names.Certificate(owner))
}

// IssuerNamedBy is the issuer that a Certificate names; false when there is none of that name.
func (s State) IssuerNamedBy(name string) (v1alpha1.IssuerReference, bool) {
	certificate := s.Certificates[name]
	if certificate == nil {
		return v1alpha1.IssuerReference{}, false
	}
	return issuerNamed(certificate.Spec.IssuerRef), true
}

// Controls reports whether the cluster controls an issuer.
func (s State) Controls(issuer v1alpha1.IssuerReference) bool {
	return issuer == certs.PrivateIssuer(issuer.Name) && slices.ContainsFunc(s.Owned, func(object Object) bool {
		return object.GetObjectKind().GroupVersionKind().Kind == certmanager.IssuerKind && object.GetName() == issuer.Name
	})
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

func issuerNamed(ref certmanagermeta.IssuerReference) v1alpha1.IssuerReference {
	return issuerOf(ref.Name, ref.Kind, ref.Group)
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

// CAOf is the CA that an issuer signs with, as far as it is known. That of a private CA is
// in its Secret. An issuer of the user's shows its CA in the CertificateRequests of what it
// has issued, whose status only issuers write. The Secrets of the leaves do not count, for
// whoever can write one of them could have any CA trusted.
func (s State) CAOf(issuer v1alpha1.IssuerReference) certs.Trust {
	if certificate := s.Certificates[issuer.Name]; certificate != nil && certificate.Spec.IsCA && issuer == certs.PrivateIssuer(issuer.Name) {
		return s.PrivateCA(issuer.Name)
	}
	var leaves, issuers []*x509.Certificate
	for name := range s.Certificates {
		issued, known := s.issued(name, issuer)
		by, _ := s.issuerIn(name)
		switch stored, ok := s.Stored(name); {
		case known:
			leaves = append(leaves, issued.X509)
			issuers = append(issuers, issued.Issuers...)
		case ok && by == issuer:
			// Its CertificateRequest was deleted: the CA counts if the nodes trust it already.
			leaves = append(leaves, stored.X509)
		}
	}
	return certs.Trust{}.With(issuers...).Union(s.Trust()).IssuersOf(leaves)
}

// issued is what an issuer has issued last for a Certificate, as its CertificateRequest
// has it; false when that issuer has issued nothing, or the request is gone.
func (s State) issued(name string, issuer v1alpha1.IssuerReference) (certs.Certificate, bool) {
	request := s.Issued[name]
	if request == nil || issuerNamed(request.Spec.IssuerRef) != issuer {
		return certs.Certificate{}, false
	}
	certificate, err := certs.ParseCertificate(request.Status.Certificate, request.Status.CA)
	return certificate, err == nil
}

// KnownCAs are the private CAs, and those of the issuers that Certificates name.
func (s State) KnownCAs() certs.Trust {
	issuers := map[v1alpha1.IssuerReference]bool{}
	for name, certificate := range s.Certificates {
		if certificate.Spec.IsCA && name != s.Names.Intermediate() {
			issuers[certs.PrivateIssuer(name)] = true
		} else {
			issuers[issuerNamed(certificate.Spec.IssuerRef)] = true
		}
	}
	known := certs.Trust{}
	for issuer := range issuers {
		known = known.Union(s.CAOf(issuer))
	}
	return known
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

// ServesBelow reports whether a node was observed to serve a certificate signed by a CA.
func (s State) ServesBelow(pod string, ca certs.Certificate) bool {
	node := s.Node(pod)
	return node != nil && node.CertificateAuthority == certs.Identity(ca.X509)
}

// ServesStored reports whether a node was observed to serve the certificate stored for
// it.
func (s State) ServesStored(pod string) bool {
	leaf, ok := s.StoredCertificate(pod)
	node := s.Node(pod)
	return ok && node != nil && node.CertificateSerial == certs.Serial(leaf.X509)
}
