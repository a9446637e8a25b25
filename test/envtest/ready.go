package envtest

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
)

// becomeReady reports a mesh without faults until the cluster is Ready: again and again, because
// cert-manager issues a CA or a certificate twice now and then. Then the cluster is Ready once its nodes
// were seen to serve the latest.
func (p *probe) becomeReady(t *testing.T, pods []*corev1.Pod) {
	t.Helper()
	eventually(t, "the cluster is Ready", func(ctx context.Context) error {
		mesh, err := servedMesh(ctx, p.namespace, pods)
		if err != nil {
			return err
		}
		if err := p.apply(ctx, mesh); err != nil {
			return err
		}
		if _, err := findCondition(ctx, p.namespace, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonMeshVerified); err != nil {
			return err
		}
		got, err := kstatusOf(ctx, p.namespace)
		if err == nil && got != kstatus.CurrentStatus {
			err = fmt.Errorf("kstatus is %s", got)
		}
		return err
	})
}

// servedMesh is what the probe reports of a mesh without faults whose nodes serve the certificates that
// are stored.
func servedMesh(ctx context.Context, namespace string, pods []*corev1.Pod) (*v1alpha1.MeshStatus, error) {
	cluster, err := read(ctx, clusterIn(namespace))
	if err != nil {
		return nil, err
	}
	mesh := wholeMesh(namespace, pods)
	mesh.ObservedGeneration = cluster.Generation
	for i := range mesh.Nodes {
		node := &mesh.Nodes[i]
		leaf, err := storedCertificate(ctx, namespace, node.Pod+"-tls")
		if err != nil {
			return nil, err
		}
		node.CertificateSerial = certs.Serial(leaf.X509)
		node.CertificateAuthority = certs.Identity(leaf.IssuingCA(certs.Trust{}))
		node.CertificateNotAfter = &metav1.Time{Time: leaf.X509.NotAfter}
	}
	return mesh, nil
}
