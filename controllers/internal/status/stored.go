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
// A kubelet takes some 90 s at most to bring the file, and the probe has the node look
// at it with the next sweep.
const servingTimeout = 5 * time.Minute

// stored are the certificates of the expected pods as they are in the Secrets, and
// since when.
func (v view) stored() []v1alpha1.StoredCertificate {
	var members []v1alpha1.StoredCertificate
	for _, pod := range v.Names.Pods(v.Replicas()) {
		leaf, ok := v.StoredCertificate(pod)
		if !ok {
			continue
		}
		member := v1alpha1.StoredCertificate{
			Pod: pod, CertificateSerial: certs.Serial(leaf.X509),
			CertificateNotAfter: metav1.NewTime(leaf.X509.NotAfter),
			StoredSince:         metav1.NewTime(v.Now.Truncate(time.Second)),
		}
		same := func(before v1alpha1.StoredCertificate) bool {
			return before.Pod == pod && before.CertificateSerial == member.CertificateSerial
		}
		if before := slices.IndexFunc(v.Cluster.Status.StoredCertificates, same); before >= 0 {
			member.StoredSince = v.Cluster.Status.StoredCertificates[before].StoredSince
		}
		members = append(members, member)
	}
	return members
}

// unserved says that a member was seen to serve another certificate than its own of
// now.
func (v view) unserved(member v1alpha1.StoredCertificate) bool {
	node := v.Node(member.Pod)
	return node != nil && node.CertificateSerial != "" && node.CertificateSerial != member.CertificateSerial
}

// notServed is the first member that serves another certificate than the stored one:
// under way at first, and a fault when it has had its time.
func (v view) notServed() (finding, bool) {
	var waiting *finding
	for _, member := range v.members {
		if !v.unserved(member) {
			continue
		}
		if v.Now.Sub(member.StoredSince.Time) > servingTimeout {
			return bad(v1alpha1.ReasonCertificateNotServed, fmt.Sprintf(
				"Pod %s does not serve the certificate that has been in Secret %s since %s, but another one. See the troubleshooting guide, CertificateNotServed; restarting the pod mends it.",
				member.Pod, v.Names.Certificate(member.Pod), member.StoredSince.UTC().Format(time.RFC3339))), true
		}
		if waiting == nil {
			f := underway(v1alpha1.ReasonCertificateNotServed, fmt.Sprintf(
				"Waiting until pod %s serves the certificate that was issued to it last.", member.Pod))
			waiting = &f
		}
	}
	if waiting == nil {
		return finding{}, false
	}
	return *waiting, true
}
