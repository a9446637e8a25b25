package rotation

import (
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// CAStep is what the CA's rotation needs in this pass. While nothing rotates, that is
// what the cluster needs anyway.
type CAStep struct {
	Step
	// Issuer of the leaves.
	Issuer v1alpha1.IssuerReference
	// CAs are the names of the private CAs that are needed.
	CAs []string
	// Canary is the issuer of the canary; nil when none is needed.
	Canary *v1alpha1.IssuerReference
	// Trust of the nodes.
	Trust certs.Trust
}

// NextCA takes the nodes from the issuer that signs to the one that the spec asks for.
// Each phase begins when every node was observed to have come through the one before.
func NextCA(s state.State) CAStep {
	r := newCA(s)
	step := CAStep{
		Step: next(v1alpha1.RotatingCA,
			condition{v1alpha1.RotationIssuingCanary, r.canaryNotIssued},
			condition{v1alpha1.RotationWideningTrust, r.canaryNotAccepted},
			// There is no way back from here but another rotation.
			condition{v1alpha1.RotationReissuing, r.certificatesNotServed},
			condition{v1alpha1.RotationShrinkingTrust, r.trustNotShrunk},
			condition{v1alpha1.RotationProvingRefusal, r.formerNotRefused},
		),
		Issuer: r.signing, CAs: r.neededCAs(), Canary: r.canary(), Trust: r.trust,
	}
	if step.Phase == v1alpha1.RotationReissuing {
		step.Issuer = r.wanted
	}
	return step
}

// ca is the rotation of the CA as it is observed.
type ca struct {
	state.State
	wanted, signing v1alpha1.IssuerReference
	// wantedCA is what the wanted issuer signs with, as far as it is known.
	wantedCA certs.Trust
	// served: every certificate is of the wanted CA. If not, awaited is the first that is
	// not, where somebody is about to change that.
	served  bool
	awaited string
	// trust that the nodes shall have.
	trust certs.Trust
}

func newCA(s state.State) ca {
	r := ca{State: s, wanted: Wanted(s), signing: Signing(s)}
	r.wantedCA = s.CAOf(r.wanted)
	r.trust = r.widened()
	if r.switched() {
		if r.served, r.awaited = r.allServed(); r.served {
			r.trust = r.wantedCA
		}
	}
	return r
}

// switched reports whether the leaves are of the wanted issuer, or will be when the next
// of them is issued.
func (r ca) switched() bool { return r.signing == r.wanted }

// shrunk reports whether the nodes were given the wanted CA alone, and nothing is about
// to change that.
func (r ca) shrunk() bool {
	return !r.wantedCA.Empty() && r.Trust().Contains(r.wantedCA) && r.wantedCA.Contains(r.Trust().Union(r.trust))
}

// isNew reports whether no node was ever observed: a CA that is issued twice meanwhile is
// no rotation.
func (r ca) isNew() bool {
	return r.Trust().Empty() || r.Cluster.Status.Mesh == nil && len(r.formers()) == 0
}

// widened is all that is trusted, the wanted CA, the one that signs meanwhile, which may be
// another than before, and the known CAs that a stored or a served certificate rests on: the
// trust bundle may have been deleted.
func (r ca) widened() certs.Trust {
	var stored []*x509.Certificate
	for _, owner := range r.CertificateOwners() {
		if leaf, ok := r.StoredCertificate(owner); ok {
			stored = append(stored, leaf.X509)
		}
	}
	if intermediate, ok := r.Intermediate(); ok {
		stored = append(stored, intermediate.X509)
	}
	known := r.KnownCAs()
	return r.Trust().Union(r.wantedCA).Union(r.CAOf(r.signing)).Union(known.IssuersOf(stored)).With(r.serving(known)...)
}

// serving are those of some CAs that a running node was seen to serve a certificate of.
func (r ca) serving(known certs.Trust) []*x509.Certificate {
	return slices.DeleteFunc(known.CAs(), func(ca *x509.Certificate) bool {
		below := func(pod string) bool { return r.ServesBelow(pod, certs.Certificate{X509: ca}) }
		return !slices.ContainsFunc(r.Running(), below)
	})
}

// neededCAs are the wanted private CA, and those that nodes may rest on or still trust.
func (r ca) neededCAs() []string {
	var needed []string
	if r.Cluster.Spec.TLS.IssuerRef == nil {
		needed = append(needed, r.wanted.Name)
	}
	formers := r.formers()
	for _, name := range r.PrivateCAs() {
		inUse := !r.switched() || certs.PrivateIssuer(name) == r.wanted || slices.Contains(formers, name)
		if inUse && !slices.Contains(needed, name) {
			needed = append(needed, name)
		}
	}
	return needed
}

// formers are the private CAs that have signed before the wanted one, and that not every
// node was seen to refuse.
func (r ca) formers() []string {
	return slices.DeleteFunc(r.PrivateCAs(), func(name string) bool {
		return certs.PrivateIssuer(name) == r.wanted ||
			r.PrivateCA(name).Empty() || // It never signed anything, or cannot any more.
			r.shrunk() && r.notRefused(name) == ""
	})
}

// canary is the issuer of the certificate that the probe shows to every node: the one
// that they shall come to accept, and then one that they shall come to refuse.
func (r ca) canary() *v1alpha1.IssuerReference {
	if !r.switched() {
		return &r.wanted
	}
	for _, former := range r.formers() {
		issuer := certs.PrivateIssuer(former)
		return &issuer
	}
	return nil
}

func (r ca) canaryNotIssued() string {
	canary := r.Names.Canary()
	by, known := r.IssuedBy(canary)
	_, stored := r.StoredCertificate(canary)
	if r.switched() || stored && known && by == r.wanted {
		return ""
	}
	return r.notIssued(r.Names.Certificate(canary))
}

func (r ca) canaryNotAccepted() string {
	if r.switched() {
		return ""
	}
	canary, _ := r.StoredCertificate(r.Names.Canary())
	signer := r.wantedCA.IssuingCA(canary.X509)
	if signer == nil || !r.Trust().Contains(certs.Trust{}.With(signer)) {
		return fmt.Sprintf("the trust bundle to have the CA of %s %s", r.wanted.Kind, r.wanted.Name)
	}
	for _, pod := range r.Running() {
		if !tried(r.Node(pod), certs.Identity(signer), v1alpha1.CanaryAccepted) {
			return fmt.Sprintf("%s to accept the new CA", pod)
		}
	}
	return ""
}

func (r ca) certificatesNotServed() string {
	switch {
	case !r.switched():
		return "the certificates to be reissued by the new CA, which every node accepts"
	case r.shrunk() || r.isNew():
		return ""
	}
	return r.awaited
}

func (r ca) trustNotShrunk() string {
	if !r.served || r.shrunk() || r.isNew() {
		return ""
	}
	return "the trust bundle to have no CA but the one that signs all certificates"
}

func (r ca) formerNotRefused() string {
	for _, former := range r.formers() {
		if r.shrunk() {
			return r.notRefused(former)
		}
	}
	return ""
}

// notRefused is the first node that was not seen to refuse a private CA.
func (r ca) notRefused(former string) string {
	for _, pod := range r.Running() {
		node := r.Node(pod)
		if !slices.ContainsFunc(r.PrivateCA(former).Identities(), func(ca string) bool { return tried(node, ca, v1alpha1.CanaryRefused) }) {
			return fmt.Sprintf("%s to refuse the old CA", pod)
		}
	}
	return ""
}

// tried reports whether a node was shown a certificate of a CA, with that result.
func tried(node *v1alpha1.NodeStatus, ca string, result v1alpha1.CanaryResult) bool {
	return node != nil && node.Canary != nil && *node.Canary == v1alpha1.CanaryStatus{CertificateAuthority: ca, Result: result}
}
