package plan

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// A rotation is what follows, for the certificates, from the issuer that the spec asks
// for and the one that signs. It takes the nodes from the one to the other, each step
// when the one before it was observed at every node:
//
//  1. Trust widens: the nodes come to trust the new CA beside the old.
//  2. Every node accepts the canary, a certificate of the new CA: the leaves change
//     their issuer. There is no way back but another change of the spec.
//  3. Every node serves its certificate of the new CA: trust shrinks.
//  4. Every node refuses the canary, by now a certificate of the old CA: that goes.
//
// While nothing changes, it is all of what there is.
type rotation struct {
	// signing is the issuer of the leaves.
	signing v1alpha1.IssuerReference
	// cas are the names of the private CAs that are needed.
	cas []string
	// canary is the issuer of the canary; nil when nothing is to be found out.
	canary *v1alpha1.IssuerReference
	// trust of the nodes.
	trust certs.Trust
	// waits is what the next step waits for; empty when for nothing.
	waits string
}

func rotationOf(s state.State) rotation {
	wanted, signing := s.WantedIssuer(), s.SigningIssuer()
	r := rotation{signing: signing, trust: widened(s, wanted)}
	if s.Cluster.Spec.TLS.IssuerRef == nil {
		r.cas = append(r.cas, wanted.Name)
	}
	if signing != wanted {
		r.keep(s.PrivateCAs()...)
		r.canary = &wanted
		if r.waits = untilAccepted(s, wanted); r.waits == "" {
			r.signing, r.waits = wanted, "every node accepts the new CA: the certificates are reissued"
		}
		return r
	}

	ca := s.CAOf(wanted)
	served, waits := allServe(s, wanted, ca)
	if served {
		r.trust, waits = ca, "every node serves a certificate of the new CA: trust in the old one ends"
	}
	// The nodes were given this CA alone, and that stays so.
	alone := !ca.Empty() && s.Trust().Covers(ca) && ca.Covers(s.Trust().Union(r.trust))
	if !alone && !s.Trust().Empty() {
		r.waits = waits
	}
	for _, former := range s.PrivateCAs() {
		switch {
		case certs.PrivateIssuer(former) == wanted:
			r.keep(former)
			continue
		case s.PrivateCA(former).Empty():
			continue // It never signed anything, or cannot any more.
		}
		waits := untilRefused(s, former)
		if alone && waits == "" {
			continue
		}
		r.keep(former)
		if r.canary == nil {
			issuer := certs.PrivateIssuer(former)
			r.canary = &issuer
		}
		if alone && r.waits == "" {
			r.waits = waits
		}
	}
	return r
}

func (r *rotation) keep(cas ...string) {
	for _, ca := range cas {
		if !slices.Contains(r.cas, ca) {
			r.cas = append(r.cas, ca)
		}
	}
}

// widened is all that is trusted, and all that is about to need it.
func widened(s state.State, wanted v1alpha1.IssuerReference) certs.Trust {
	var leaves, above []*x509.Certificate
	for _, owner := range s.CertificateOwners() {
		if leaf, ok := s.StoredCertificate(owner); ok {
			leaves = append(leaves, leaf.X509)
			above = append(above, leaf.Above...)
		}
	}
	if intermediate, ok := s.Intermediate(); ok {
		leaves = append(leaves, intermediate.X509)
		above = append(above, intermediate.Above...)
	}
	return s.Trust().Union(s.CAOf(wanted)).Union(certs.Trust{}.With(above...).NeededBy(leaves))
}

// untilIssued is that cert-manager has a certificate to issue, and what it says of that.
func untilIssued(s state.State, name string, issuer v1alpha1.IssuerReference) string {
	text := fmt.Sprintf("waiting for cert-manager to issue certificate %s by %s %s", name, issuer.Kind, issuer.Name)
	if issuance, awaited := s.Issuance(name); awaited && issuance.Failed {
		text += fmt.Sprintf(", which failed at %s: %s", issuance.Since.UTC().Format(time.RFC3339), issuance.Said)
	} else if awaited {
		text += fmt.Sprintf(", since %s: %s", issuance.Since.UTC().Format(time.RFC3339), issuance.Said)
	}
	return text
}

// untilAccepted is what keeps the leaves from changing to another issuer.
func untilAccepted(s state.State, wanted v1alpha1.IssuerReference) string {
	canary, ok := s.StoredCertificate(s.Names.Canary())
	if by, known := s.IssuedBy(s.Names.Canary()); !ok || !known || by != wanted {
		return untilIssued(s, s.Names.Certificate(s.Names.Canary()), wanted)
	}
	signer := s.Trust().Signer(canary.X509)
	if signer == nil {
		return fmt.Sprintf("waiting until the trust bundle has the CA of %s %s", wanted.Kind, wanted.Name)
	}
	for _, pod := range s.Running() {
		if !tried(s.Node(pod), certs.Identity(signer), v1alpha1.CanaryAccepted) {
			return fmt.Sprintf("waiting until %s accepts the new CA", pod)
		}
	}
	return ""
}

// allServe says that every certificate is of that CA, as stored, and as served where a
// node runs. Where cert-manager or a node is about to do its part, it says whose.
func allServe(s state.State, wanted v1alpha1.IssuerReference, ca certs.Trust) (served bool, waits string) {
	served = !ca.Empty()
	running := s.Running()
	for _, owner := range s.CertificateOwners() {
		runs := slices.Contains(running, owner)
		leaf, stored := s.StoredCertificate(owner)
		if !stored && !runs && owner != s.Names.Probe() {
			continue // What is issued to it will be of that CA.
		}
		if runs && asked(s, owner) {
			if waits := untilServedBelow(s, owner, wanted, ca); waits != "" {
				return false, waits
			}
			continue
		}
		by, _ := s.IssuedBy(owner)
		switch {
		case !stored || by != wanted:
			return false, untilIssued(s, s.Names.Certificate(owner), wanted)
		case ca.Signer(leaf.X509) == nil:
			// The issuer has another CA by now: so will the certificate, when it is renewed.
			served = false
		case runs && !s.ServesStored(owner):
			return false, fmt.Sprintf("waiting until %s serves its certificate of the new CA", owner)
		}
	}
	return served, ""
}

// untilServedBelow is what is missing until a node whose kubelet asks for its
// certificate has one by an intermediate CA below that CA. Nobody can hurry a kubelet.
func untilServedBelow(s state.State, pod string, wanted v1alpha1.IssuerReference, ca certs.Trust) string {
	intermediate, ok := s.Intermediate()
	switch by, _ := s.IntermediateBy(); {
	case !ok || by != wanted || ca.Signer(intermediate.X509) == nil:
		return untilIssued(s, s.Names.Intermediate(), wanted)
	case !s.ServesBelow(pod, intermediate):
		return fmt.Sprintf("waiting until %s serves a certificate of the new CA: its kubelet asks for one after two thirds of the life of the one that it has, or when the pod is deleted", pod)
	}
	return ""
}

// untilRefused is what keeps a private CA that has had its time.
func untilRefused(s state.State, former string) string {
	for _, pod := range s.Running() {
		node := s.Node(pod)
		if !slices.ContainsFunc(s.PrivateCA(former).Identities(), func(ca string) bool { return tried(node, ca, v1alpha1.CanaryRefused) }) {
			return fmt.Sprintf("waiting until %s refuses the old CA", pod)
		}
	}
	return ""
}

// tried says that a node was shown a certificate of a CA, and what came of it.
func tried(node *v1alpha1.NodeStatus, ca string, result v1alpha1.CanaryResult) bool {
	return node != nil && node.Canary != nil && *node.Canary == v1alpha1.CanaryStatus{CertificateAuthority: ca, Result: result}
}
