package status

import (
	"fmt"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// shortLived warns of an issuer that gives much less than was asked for.
func (v view) shortLived() (finding, bool) {
	owners := []string{v.Names.Probe()}
	if !v.asked() {
		owners = append(owners, v.Names.Pods(v.Replicas())...)
	}
	for _, owner := range owners {
		name := v.Names.Certificate(owner)
		leaf, ok := v.StoredCertificate(owner)
		asked, settled := v.settled(name)
		if ok && settled && lifeOf(leaf) < asked/2 {
			return good(v1alpha1.ReasonCertificateShortLived, fmt.Sprintf(
				"The certificate in Secret %s lives for %s, and %s was asked for: the issuer gives no more. It is renewed in time all the same, but more often, and an outage of the issuer is felt sooner. Let the issuer give what tls.certificate.duration asks for, or ask for less.",
				name, lifeOf(leaf).Round(time.Minute), asked)), true
		}
	}
	return finding{}, false
}

// settled is the life that was asked of cert-manager for a certificate, if that has looked
// at it since.
func (v view) settled(name string) (asked time.Duration, settled bool) {
	certificate := v.Certificates[name]
	if certificate == nil || certificate.Spec.Duration == nil {
		return 0, false
	}
	for _, condition := range certificate.Status.Conditions {
		if condition.Type == certmanager.CertificateConditionReady && condition.Status == certmanagermeta.ConditionTrue {
			settled = condition.ObservedGeneration == certificate.Generation
		}
	}
	return certificate.Spec.Duration.Duration, settled
}
