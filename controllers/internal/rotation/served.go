package rotation

import (
	"fmt"
	"slices"
	"time"
)

// allServed reports whether every certificate is of the wanted CA, as stored, and as
// served where a node runs. If not, awaited names the first that cert-manager or a node
// is about to change.
func (r ca) allServed() (served bool, awaited string) {
	served = !r.wantedCA.Empty()
	for _, owner := range r.CertificateOwners() {
		of, awaited := r.isServed(owner)
		if awaited != "" {
			return false, awaited
		}
		served = served && of
	}
	return served, ""
}

// isServed reports the same of one owner.
func (r ca) isServed(owner string) (served bool, awaited string) {
	runs := slices.Contains(r.Running(), owner)
	leaf, stored := r.StoredCertificate(owner)
	by, _ := r.IssuedBy(owner)
	switch {
	case !stored && !runs && owner != r.Names.Probe():
		return true, "" // What is issued to it will be of that CA.
	case runs && r.RequestedByKubelet(owner):
		return true, r.notServedBelow(owner)
	case !stored || by != r.wanted:
		return false, r.notIssued(r.Names.Certificate(owner))
	case r.wantedCA.IssuingCA(leaf.X509) == nil:
		return false, "" // The issuer has another CA by now: so will the certificate, when it is renewed.
	case runs && !r.ServesStored(owner):
		return false, fmt.Sprintf("%s to serve its certificate of the new CA", owner)
	}
	return true, ""
}

// notServedBelow is what is missing until a node whose kubelet requests its certificate
// serves one by an intermediate CA below the wanted CA. Nobody can hurry a kubelet.
func (r ca) notServedBelow(pod string) string {
	intermediate, ok := r.Intermediate()
	switch by, _ := r.IntermediateBy(); {
	case !ok || by != r.wanted || r.wantedCA.IssuingCA(intermediate.X509) == nil:
		return r.notIssued(r.Names.Intermediate())
	case !r.ServesBelow(pod, intermediate):
		return fmt.Sprintf("%s to serve a certificate of the new CA: the kubelet requests one after two thirds of the life of the present one, or when the pod is deleted", pod)
	}
	return ""
}

// notIssued is that cert-manager has a certificate to issue, and what it reports of that.
func (r ca) notIssued(name string) string {
	text := fmt.Sprintf("cert-manager to issue certificate %s by %s %s", name, r.wanted.Kind, r.wanted.Name)
	issuance, awaited := r.Issuance(name)
	switch since := issuance.Since.UTC().Format(time.RFC3339); {
	case !awaited:
		return text
	case issuance.Failed:
		return fmt.Sprintf("%s, which failed at %s: %s", text, since, issuance.Detail)
	default:
		return fmt.Sprintf("%s, since %s: %s", text, since, issuance.Detail)
	}
}
