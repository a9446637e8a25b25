package status

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
)

// servingTimeout is how long a node may serve another certificate than the stored one.
// A kubelet takes up to some 90 s to update the file, and the probe makes the node read
// it with the next sweep.
const servingTimeout = 5 * time.Minute

// stored are the certificates of the expected pods as they are in the Secrets, and
// since when.
func (p pass) stored() []v1alpha1.StoredCertificate {
	var all []v1alpha1.StoredCertificate
	for _, pod := range p.Names.Pods(p.Replicas()) {
		certificate, ok := p.StoredCertificate(pod)
		if !ok {
			continue
		}
		stored := v1alpha1.StoredCertificate{
			Pod: pod, CertificateSerial: certs.Serial(certificate.X509),
			CertificateNotAfter: metav1.NewTime(certificate.X509.NotAfter),
			StoredSince:         metav1.NewTime(p.Now.Truncate(time.Second)),
		}
		same := func(before v1alpha1.StoredCertificate) bool {
			return before.Pod == pod && before.CertificateSerial == stored.CertificateSerial
		}
		if before := slices.IndexFunc(p.Cluster.Status.StoredCertificates, same); before >= 0 {
			stored.StoredSince = p.Cluster.Status.StoredCertificates[before].StoredSince
		}
		all = append(all, stored)
	}
	return all
}

// unserved reports whether a node was observed to serve another certificate than the
// stored one.
func (p pass) unserved(stored v1alpha1.StoredCertificate) bool {
	node := p.Node(stored.Pod)
	return node != nil && node.CertificateSerial != "" && node.CertificateSerial != stored.CertificateSerial
}

// notServed is the first node that serves another certificate than the stored one:
// pending at first, and a fault after servingTimeout.
func (p pass) notServed() (assessment, bool) {
	var waiting *assessment
	for _, stored := range p.storedCertificates {
		if !p.unserved(stored) {
			continue
		}
		if p.Now.Sub(stored.StoredSince.Time) > servingTimeout {
			return isFalse(v1alpha1.ReasonCertificateNotServed, fmt.Sprintf(
				"Pod %s does not serve the certificate that has been in Secret %s since %s, but another one. See the troubleshooting guide, CertificateNotServed; restarting the pod fixes it.",
				stored.Pod, p.Names.Certificate(stored.Pod), stored.StoredSince.UTC().Format(time.RFC3339))), true
		}
		if waiting == nil {
			f := pending(v1alpha1.ReasonCertificateNotServed, fmt.Sprintf(
				"Waiting until pod %s serves the certificate that was issued to it last.", stored.Pod))
			waiting = &f
		}
	}
	if waiting == nil {
		return assessment{}, false
	}
	return *waiting, true
}
