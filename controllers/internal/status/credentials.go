package status

import (
	"fmt"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/rotation"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// credentials: the cookie, the trust bundle, and every certificate, stored and served.
func (p pass) credentials() assessment {
	if p.Cookie() == nil && !p.createsCookie() {
		return pending(v1alpha1.ReasonProgressing, "There is no cookie. If this persists, see the condition Stalled.")
	}
	if ca := rotation.Wanted(p.State); p.Cluster.Spec.TLS.IssuerRef == nil && p.Trust().Empty() && p.PrivateCA(ca.Name).Empty() {
		return p.notIssued(ca.Name)
	}
	for _, check := range []func() (assessment, bool){p.badCertificate, p.badIntermediate, p.servedExpired} {
		if a, bad := check(); bad {
			return a
		}
	}
	if p.usesPodCertificates() {
		return isTrue(v1alpha1.ReasonCertificatesIssued,
			"The cookie, the trust bundle, the intermediate CA and the probe's certificate are valid; the nodes' certificates are known as far as they are served.")
	}
	return isTrue(v1alpha1.ReasonCertificatesIssued, "The cookie, the trust bundle and every certificate are valid.")
}

// createsCookie reports whether this pass has created the cookie, so that the next one finds it.
func (p pass) createsCookie() bool { return len(p.plan.Create) > 0 && p.outcome.Err == nil }

// badCertificate is the first stored certificate that is missing or invalid.
func (p pass) badCertificate() (assessment, bool) {
	for _, owner := range p.storedOwners() {
		name := p.Names.Certificate(owner)
		certificate, ok := p.StoredCertificate(owner)
		if !ok {
			return p.notIssued(name), true
		}
		if p.Trust().Empty() {
			return pending(v1alpha1.ReasonCertificatesPending, "The trust bundle has not been created yet."), true
		}
		host := p.Names.Host(owner)
		if owner == p.Names.Probe() {
			host = p.Names.ProbeHost()
		}
		if fault := certificate.Validate(host, p.Trust(), p.Now); fault != nil {
			return isFalse(fault.Reason, fmt.Sprintf(
				"The certificate in Secret %s %s. See `kubectl describe certificate %s`.", name, fault.Detail, name)), true
		}
	}
	return assessment{}, false
}

// storedOwners are those whose certificates are in Secrets.
func (p pass) storedOwners() []string {
	if p.usesPodCertificates() {
		return []string{p.Names.Probe()}
	}
	return append(p.Names.Pods(p.Replicas()), p.Names.Probe())
}

// servedExpired is the first served certificate that has expired. Existing links are
// not affected by that, and no new one can be made.
func (p pass) servedExpired() (assessment, bool) {
	for _, e := range p.nodeExpiries() {
		if p.Now.After(e.notAfter) {
			return isFalse(v1alpha1.ReasonCertificateExpired, fmt.Sprintf("%s %s. %s", e.subject, p.ends(e), e.explanation)), true
		}
	}
	return assessment{}, false
}

// usesPodCertificates reports whether the nodes' certificates are delivered by the
// kubelets, and therefore observed only where they are served.
func (p pass) usesPodCertificates() bool {
	return p.Cluster.Spec.TLS.Delivery == v1alpha1.DeliveryPodCertificate
}

// badIntermediate is what is wrong with the CA that signs for the kubelets.
func (p pass) badIntermediate() (assessment, bool) {
	if !p.usesPodCertificates() {
		return assessment{}, false
	}
	name := p.Names.Intermediate()
	ca, ok := p.Intermediate()
	if !ok {
		return p.notIssued(name), true
	}
	if fault := ca.ValidateIntermediate(p.Trust(), p.Now); fault != nil {
		return isFalse(fault.Reason, fmt.Sprintf(
			"The certificate of the intermediate CA in Secret %s %s. See `kubectl describe certificate %s`.", name, fault.Detail, name)), true
	}
	return assessment{}, false
}

// issuingTimeout is how long the issuance of a certificate may take before that is
// reported as a fault.
const issuingTimeout = 5 * time.Minute

// notIssuedYet is why a certificate could not be issued. After the first failure nobody has to do
// anything if it is retried at once: cert-manager fails now and then.
func (p pass) notIssuedYet(name string, issuance state.Issuance) assessment {
	next, retried := plan.RetryOf(p.State, name)
	when := "It retries with increasing delays."
	if retried {
		when = fmt.Sprintf("It is to try again at %s.", next.At.UTC().Format(time.RFC3339))
	}
	message := fmt.Sprintf("cert-manager could not issue certificate %s: %s. %s See `kubectl describe certificate %s`%s.",
		name, issuance.Detail, when, name, p.atOnce(name))
	if retried && next.Failures == 1 {
		return pending(v1alpha1.ReasonCertificatesPending, message)
	}
	return isFalse(v1alpha1.ReasonCertificateRefused, message)
}

// atOnce is how a person has a certificate that is missing issued at once: the operator makes its
// Certificate again. Not that of a CA, on which others depend.
func (p pass) atOnce(name string) string {
	if p.Cluster.Spec.Suspend || p.Certificates[name].Spec.IsCA {
		return ""
	}
	return fmt.Sprintf(", or have it tried again at once by `kubectl delete certificate %s`: it is made again", name)
}

// notIssued is why a certificate is missing, according to cert-manager.
func (p pass) notIssued(name string) assessment {
	issuance, waiting := p.Issuance(name)
	since := issuance.Since.UTC().Format(time.RFC3339)
	switch {
	case !waiting && p.Certificates[name] == nil:
		return pending(v1alpha1.ReasonCertificatesPending, fmt.Sprintf("Certificate %s has not been created yet.", name))
	case !waiting:
		return pending(v1alpha1.ReasonCertificatesPending, fmt.Sprintf("The certificate in Secret %s cannot be read yet.", name))
	case issuance.Failed:
		return p.notIssuedYet(name, issuance)
	case p.Now.Sub(issuance.Since) > issuingTimeout:
		return isFalse(v1alpha1.ReasonCertificateOverdue, fmt.Sprintf(
			"Certificate %s has not been issued for more than %s, since %s: %s. See `kubectl describe certificate %s`.", name, issuingTimeout, since, issuance.Detail, name))
	}
	return pending(v1alpha1.ReasonCertificatesPending, fmt.Sprintf("Waiting for cert-manager to issue certificate %s, since %s: %s.", name, since, issuance.Detail))
}
