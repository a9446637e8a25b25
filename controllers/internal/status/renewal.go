package status

import (
	"fmt"
	"slices"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// held is what the plan waits for, as the end of a sentence.
func (v view) held(reason string) string {
	for _, hold := range v.plan.Holds {
		if hold.Reason == reason {
			return " (" + hold.Message + ")"
		}
	}
	return ""
}

// memberStory is what became of the renewal of a member's certificate.
func (v view) memberStory(pod string) string {
	const follows = " After that no node can connect to it."
	if v.asked() {
		return fmt.Sprintf("Its kubelet should have renewed it: see `kubectl describe pod %s` and `kubectl get podcertificaterequests`.", pod) + follows
	}
	unserved := func(member v1alpha1.StoredCertificate) bool { return member.Pod == pod && v.unserved(member) }
	if slices.ContainsFunc(v.members, unserved) {
		return "A newer one is stored, and the node does not serve it: see the troubleshooting guide, CertificateNotServed." + follows
	}
	return v.renewalStory(v.Names.Certificate(pod)) + follows
}

// renewalStory is what cert-manager says of a Certificate that should have been renewed.
func (v view) renewalStory(name string) string {
	issuance, awaited := v.Issuance(name)
	switch {
	case !awaited:
		return fmt.Sprintf("It should have been renewed, and cert-manager has not begun to: see whether it runs, and `kubectl describe certificate %s`.", name)
	case issuance.Failed:
		return fmt.Sprintf("cert-manager could not have it renewed: %s. Mend the issuer; see `kubectl describe certificate %s`.", issuance.Said, name)
	default:
		return fmt.Sprintf("cert-manager has been waiting for another one since %s: %s. See `kubectl describe certificate %s`.",
			issuance.Since.UTC().Format(time.RFC3339), issuance.Said, name)
	}
}
