package status

import (
	"fmt"
	"slices"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// An expiry is when a certificate ends, and from when on that is reported.
type expiry struct {
	// subject is what expires, as the beginning of a sentence.
	subject  string
	notAfter time.Time
	// warnAt and urgentAt are when the two warnings begin.
	warnAt, urgentAt time.Time
	// reason and urgentReason of the two warnings.
	reason, urgentReason string
	// explanation has the state of the renewal, the consequence, and the remedy.
	explanation string
}

// warnings for a certificate of that life, which is due for renewal so long before its
// end: one when three tenths of its life are left, one when a tenth is. A certificate
// that is renewed late on purpose causes none before its renewal is overdue.
func warnings(notAfter time.Time, life, due time.Duration) (warnAt, urgentAt time.Time) {
	slack := max(due/10, min(servingTimeout, due/2))
	return notAfter.Add(-min(life*3/10, due-slack)), notAfter.Add(-min(life/10, due/3))
}

// expiries are all that warnings are derived from.
func (p pass) expiries() []expiry {
	return slices.Concat(p.nodeExpiries(), p.authorityExpiries(), p.probeExpiry(), p.intermediateExpiry())
}

// nodeExpiries are those of the nodes' certificates: as served, and where the probe has
// not seen it, as stored.
func (p pass) nodeExpiries() []expiry {
	var all []expiry
	for _, pod := range p.Names.Pods(p.Replicas()) {
		certificate, stored := p.StoredCertificate(pod)
		switch node := p.Node(pod); {
		case node != nil && node.CertificateNotAfter != nil:
			all = append(all, p.certificateExpiry("The certificate that pod "+pod+" serves", node.CertificateNotAfter.Time, certificate, p.renewalOfNode(pod)))
		case stored:
			all = append(all, p.certificateExpiry("The certificate of pod "+pod, certificate.X509.NotAfter, certificate, p.renewalOfNode(pod)))
		}
	}
	return all
}

// certificateExpiry is that of a node's or the probe's certificate. The lifetime of the
// stored one, if there is one, is taken as that of the served one.
func (p pass) certificateExpiry(subject string, notAfter time.Time, stored certs.Certificate, explanation string) expiry {
	spec := p.Cluster.Spec.TLS.Certificate
	life := certs.ParseDuration(spec.Duration)
	if p.usesPodCertificates() {
		life = certs.PodCertificateLifetime(p.Cluster.Spec.TLS)
	}
	if stored.X509 != nil {
		life = lifeOf(stored)
	}
	// The default of cert-manager and of the kubelet is to renew after two thirds.
	due := certs.RenewBefore(spec)
	if p.usesPodCertificates() || due >= life {
		due = life / 3
	}
	e := expiry{subject: subject, notAfter: notAfter, explanation: explanation,
		reason: v1alpha1.ReasonCertificateExpiring, urgentReason: v1alpha1.ReasonCertificateExpiryImminent}
	e.warnAt, e.urgentAt = warnings(notAfter, life, due)
	return e
}

func (p pass) probeExpiry() []expiry {
	probe := p.Names.Probe()
	certificate, ok := p.StoredCertificate(probe)
	if !ok {
		return nil
	}
	explanation := p.renewalOf(p.Names.Certificate(probe)) + " After that the probe cannot verify any node."
	return []expiry{p.certificateExpiry("The certificate of the probe", certificate.X509.NotAfter, certificate, explanation)}
}

func (p pass) intermediateExpiry() []expiry {
	name := p.Names.Intermediate()
	ca, ok := p.Intermediate()
	if !ok || !p.usesPodCertificates() {
		return nil
	}
	e := expiry{subject: "The intermediate CA " + name, notAfter: ca.X509.NotAfter,
		reason: v1alpha1.ReasonCAExpiring, urgentReason: v1alpha1.ReasonCAExpiryImminent,
		explanation: p.renewalOf(name) + " After that no kubelet is given a certificate."}
	e.warnAt, e.urgentAt = warnings(e.notAfter, lifeOf(ca), lifeOf(ca)/3)
	return []expiry{e}
}

// authorityExpiries are those of the CAs that the nodes trust.
func (p pass) authorityExpiries() []expiry {
	var all []expiry
	for _, ca := range p.trusted() {
		life := ca.NotAfter.Sub(ca.NotBefore)
		e := expiry{notAfter: ca.NotAfter, reason: v1alpha1.ReasonCAExpiring, urgentReason: v1alpha1.ReasonCAExpiryImminent}
		if name, ours := p.privateCAOf(certs.Identity(ca)); ours {
			e.subject = "The private CA " + name
			e.explanation = "Another one should have replaced it" + p.waitsFor(v1alpha1.ReasonRotatingCA) + ". After that no node can connect to another. Fix what the rotation waits for; see the troubleshooting guide, RotatingCA."
			e.warnAt, e.urgentAt = warnings(e.notAfter, life, e.notAfter.Sub(certs.SuccessorDue(ca, p.Cluster.Spec.TLS)))
		} else {
			// When a CA that is not ours will be renewed is not known. It must not end
			// before what it signs.
			signed := certs.LongestIssued(p.Cluster.Spec.TLS)
			e.subject = fmt.Sprintf("The CA %q, which the nodes trust,", state.Shortened(ca.Subject.String(), 128))
			e.explanation = "Certificates that it signs now would outlive it, and after that no node can connect to another. Create an issuer with another CA and name it in tls.issuerRef: the nodes change to it without a restart."
			e.warnAt, e.urgentAt = e.notAfter.Add(-min(life*3/10, signed)), e.notAfter.Add(-min(life/10, signed/3))
		}
		all = append(all, e)
	}
	return all
}

// privateCAOf is the name of the private CA of that identity.
func (p pass) privateCAOf(identity string) (name string, ours bool) {
	for _, name := range p.PrivateCAs() {
		if slices.Contains(p.PrivateCA(name).Identities(), identity) {
			return name, true
		}
	}
	return "", false
}

func lifeOf(certificate certs.Certificate) time.Duration {
	return certificate.X509.NotAfter.Sub(certificate.X509.NotBefore)
}
