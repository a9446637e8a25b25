package report

import (
	"fmt"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
)

// expiry is when the certificate that a pod serves expires, and when that becomes
// worrying.
type expiry struct {
	pod         string
	at, warning time.Time
}

// expiries are those of the members' certificates: as served, and where the probe has
// not seen it, as stored.
func (v view) expiries() []expiry {
	var all []expiry
	for _, pod := range v.Names.Pods(v.Replicas()) {
		leaf, stored := v.Leaf(pod)
		node := v.Node(pod)
		switch {
		case node != nil && node.CertificateNotAfter != nil:
			at := node.CertificateNotAfter.Time
			all = append(all, expiry{pod, at, at.Add(-v.margin(leaf))})
		case stored:
			at := leaf.Certificate.NotAfter
			all = append(all, expiry{pod, at, at.Add(-v.margin(leaf))})
		}
	}
	return all
}

// margin is how little time may be left without a warning: a third of what there is
// for renewal, so that it has failed for long, and a tenth of the lifetime at most,
// which an issuer may have made shorter than asked for.
func (v view) margin(leaf certs.Leaf) time.Duration {
	spec := v.Cluster.Spec.TLS.Certificate
	lifetime := certs.Length(spec.Duration)
	if leaf.Certificate != nil {
		lifetime = leaf.Certificate.NotAfter.Sub(leaf.Certificate.NotBefore)
	}
	return min(certs.Length(spec.RenewBefore)/3, lifetime/10)
}

// expiring warns of the first certificate that should have been renewed long ago.
func (v view) expiring() (finding, bool) {
	var first *expiry
	for _, e := range v.expiries() {
		if !v.Now.Before(e.warning) && (first == nil || e.at.Before(first.at)) {
			first = &e
		}
	}
	if first == nil {
		return finding{}, false
	}
	return good(v1alpha1.ReasonCertificateExpiring, fmt.Sprintf(
		"The certificate that pod %s serves expires at %s, and should have been renewed by now. After that no node can connect to it. See `kubectl describe certificate %s`.",
		first.pod, first.at.UTC().Format(time.RFC3339), v.Names.Certificate(first.pod))), true
}
