package status

import (
	"fmt"
	"slices"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// waitsFor is what the plan waits for with that reason, in parentheses.
func (p pass) waitsFor(reason string) string {
	for _, hold := range p.plan.Holds {
		if hold.Reason == reason {
			return " (" + hold.Message + ")"
		}
	}
	return ""
}

// renewalOfNode explains why a node still has a certificate that should have been renewed.
func (p pass) renewalOfNode(pod string) string {
	const follows = " After that no node can connect to it."
	if p.usesPodCertificates() {
		return fmt.Sprintf("Its kubelet should have renewed it: see `kubectl describe pod %s` and `kubectl get podcertificaterequests`.", pod) + follows
	}
	unserved := func(stored v1alpha1.StoredCertificate) bool { return stored.Pod == pod && p.unserved(stored) }
	if slices.ContainsFunc(p.storedCertificates, unserved) {
		return "A newer one is stored, and the node does not serve it: see the troubleshooting guide, CertificateNotServed." + follows
	}
	return p.renewalOf(p.Names.Certificate(pod)) + follows
}

// renewalOf is the state of the renewal of a Certificate, according to cert-manager.
func (p pass) renewalOf(name string) string {
	issuance, waiting := p.Issuance(name)
	switch {
	case !waiting:
		return fmt.Sprintf("It should have been renewed, and cert-manager has not started to: check that it is running, and see `kubectl describe certificate %s`.", name)
	case issuance.Failed:
		return fmt.Sprintf("cert-manager could not renew it: %s. Fix the issuer; see `kubectl describe certificate %s`.", issuance.Detail, name)
	default:
		return fmt.Sprintf("cert-manager has been waiting for another one since %s: %s. See `kubectl describe certificate %s`.",
			issuance.Since.UTC().Format(time.RFC3339), issuance.Detail, name)
	}
}
