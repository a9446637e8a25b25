package status

import (
	"fmt"
	"slices"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
)

// An expiry is when a certificate ends, and when that becomes worrying.
type expiry struct {
	// what ends, as the beginning of a sentence.
	what string
	at   time.Time
	// first and second warning.
	first, second time.Time
	// mild and grave are their reasons.
	mild, grave string
	// story tells what came of the renewal, what follows, and the remedy.
	story string
}

// warnings are for a certificate of that life, which should be replaced so long before
// its end: when three tenths of it are left, and when one is. A certificate
// that is replaced late on purpose is no cause for alarm before that is overdue.
func warnings(at time.Time, life, due time.Duration) (first, second time.Time) {
	slack := max(due/10, min(servingTimeout, due/2))
	return at.Add(-min(life*3/10, due-slack)), at.Add(-min(life/10, due/3))
}

// memberExpiries are those of the nodes' certificates: as served, and where the probe has
// not seen it, as stored.
func (v view) memberExpiries() []expiry {
	var all []expiry
	for _, pod := range v.Names.Pods(v.Replicas()) {
		leaf, stored := v.StoredCertificate(pod)
		switch node := v.Node(pod); {
		case node != nil && node.CertificateNotAfter != nil:
			all = append(all, v.leafExpiry("The certificate that pod "+pod+" serves", node.CertificateNotAfter.Time, leaf, v.memberStory(pod)))
		case stored:
			all = append(all, v.leafExpiry("The certificate of pod "+pod, leaf.X509.NotAfter, leaf, v.memberStory(pod)))
		}
	}
	return all
}

// leafExpiry is that of a leaf as it is served. The one that is stored, if any, tells how
// long its like lives.
func (v view) leafExpiry(what string, at time.Time, stored certs.Certificate, story string) expiry {
	spec := v.Cluster.Spec.TLS.Certificate
	life := certs.ParseDuration(spec.Duration)
	if v.asked() {
		life = certs.PodCertificateLifetime(v.Cluster.Spec.TLS)
	}
	if stored.X509 != nil {
		life = lifeOf(stored)
	}
	// cert-manager, like the kubelet, takes a third of a life for renewal where it is not
	// told better.
	due := certs.ParseDuration(spec.RenewBefore)
	if v.asked() || due >= life {
		due = life / 3
	}
	e := expiry{what: what, at: at, mild: v1alpha1.ReasonCertificateExpiring, grave: v1alpha1.ReasonCertificateExpiryImminent, story: story}
	e.first, e.second = warnings(at, life, due)
	return e
}

// expiries are all that there is to warn of.
func (v view) expiries() []expiry {
	all := append(v.memberExpiries(), v.authorityExpiries()...)
	probe := v.Names.Probe()
	if leaf, ok := v.StoredCertificate(probe); ok {
		e := v.leafExpiry("The certificate of the probe", leaf.X509.NotAfter, leaf,
			v.renewalStory(v.Names.Certificate(probe))+" After that the probe can prove nothing.")
		all = append(all, e)
	}
	if ca, ok := v.Intermediate(); ok && v.asked() {
		e := expiry{what: "The intermediate CA " + v.Names.Intermediate(), at: ca.X509.NotAfter,
			mild: v1alpha1.ReasonCAExpiring, grave: v1alpha1.ReasonCAExpiryImminent,
			story: v.renewalStory(v.Names.Intermediate()) + " After that no kubelet is given a certificate."}
		e.first, e.second = warnings(e.at, lifeOf(ca), lifeOf(ca)/3)
		all = append(all, e)
	}
	return all
}

// authorityExpiries are those of the CAs that the nodes trust.
func (v view) authorityExpiries() []expiry {
	var all []expiry
	for _, ca := range v.trusted() {
		life := ca.NotAfter.Sub(ca.NotBefore)
		e := expiry{at: ca.NotAfter, mild: v1alpha1.ReasonCAExpiring, grave: v1alpha1.ReasonCAExpiryImminent}
		if name, ours := v.privateCAOf(certs.Identity(ca)); ours {
			e.what = "The private CA " + name
			e.story = "Another one should have taken its place" + v.held(v1alpha1.ReasonRotatingCA) + ". After that no node can connect to another. Mend what holds it up; see the troubleshooting guide, RotatingCA."
			e.first, e.second = warnings(e.at, life, e.at.Sub(certs.SuccessorDue(ca, v.Cluster.Spec.TLS)))
		} else {
			// Nobody knows when somebody else's is renewed. It must not end before what it
			// signs.
			signed := certs.LongestSigned(v.Cluster.Spec.TLS)
			e.what = fmt.Sprintf("The CA %q, which the nodes trust,", shortened(ca.Subject.String(), 128))
			e.story = "Certificates that it signs now would outlive it, and after that no node can connect to another. Make an issuer with another CA and name it in tls.issuerRef: the nodes go over to it without a restart."
			e.first, e.second = e.at.Add(-min(life*3/10, signed)), e.at.Add(-min(life/10, signed/3))
		}
		all = append(all, e)
	}
	return all
}

// privateCAOf is the name of the private CA of that identity.
func (v view) privateCAOf(identity string) (name string, ours bool) {
	for _, name := range v.PrivateCAs() {
		if slices.Contains(v.PrivateCA(name).Identities(), identity) {
			return name, true
		}
	}
	return "", false
}

func lifeOf(leaf certs.Certificate) time.Duration {
	return leaf.X509.NotAfter.Sub(leaf.X509.NotBefore)
}
