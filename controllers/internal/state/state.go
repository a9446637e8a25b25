// Package state is what one pass of the reconciler observed: plain values, absence
// included. It reads nothing and decides nothing.
package state

import (
	"bytes"
	"slices"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// Object is any object of the API.
type Object interface {
	metav1.Object
	runtime.Object
}

// State is everything that a decision may depend on.
type State struct {
	Cluster *v1alpha1.ErlangCluster
	Names   naming.Names
	// ConfiguredDomain is the DNS domain of the Kubernetes cluster as the manager was
	// started with; Names have the one that the cluster was created with.
	ConfiguredDomain string
	Now              time.Time

	// Owned are all the objects that the cluster controls.
	Owned []Object

	// StatefulSet that runs the nodes; nil when there is none.
	StatefulSet *appsv1.StatefulSet
	// Pods are the member pods, in no order, whichever StatefulSet created them.
	Pods []corev1.Pod
	// ProbePods are those that the probe's Deployment has made.
	ProbePods []corev1.Pod
	// Certificates of ours, by name.
	Certificates map[string]*certmanager.Certificate
	// Requests are the latest CertificateRequests of these, by the names of the Certificates.
	Requests map[string]*certmanager.CertificateRequest
	// Issued are the latest of them that a certificate was issued for.
	Issued map[string]*certmanager.CertificateRequest
	// Secrets with our labels, by name; private keys are not among their data.
	Secrets map[string]*corev1.Secret
	// Distribution is the ConfigMap with the trust bundle; nil when there is none.
	Distribution *corev1.ConfigMap

	// HeartbeatObserved is when the manager first observed the probe's last heartbeat, by
	// the manager's clock, and ProbeHolder the probe's pod; empty when none was observed.
	HeartbeatObserved time.Time
	ProbeHolder       string
	// ForeignHolder is who has held the probe's Lease since then, and is no pod of the probe.
	ForeignHolder string
	// LeaseTaken: an object of somebody else has the name of the probe's Lease.
	LeaseTaken bool
	// SilentLease is the Lease that a silent probe holds; nil when there is none. One that others
	// hold is not released: they may change nodes, for all that is known.
	SilentLease *coordinationv1.Lease
	// LostMachines are those that the cluster's pods run on and that are not Ready, by name.
	LostMachines map[string]LostMachine

	// PodFailures are why pods that are missing could not be created, by their names.
	PodFailures map[string]string
	// NamesTaken are names of missing pods that pods without the labels have.
	NamesTaken []string
	// PodEvents are what was recorded of the TroubledPods and TroubledProbes, by their names,
	// the latest last.
	PodEvents map[string][]PodEvent
	// SecretQuota is a ResourceQuota that allows no more Secrets; empty when there is none,
	// or no certificate is waited for.
	SecretQuota string

	// CookieNameTaken: a Secret that is not the cluster's has the name of the cookie's.
	CookieNameTaken bool
	// UserCookie is what cookie.secretKeyRef names; nil when it is not set.
	UserCookie *UserCookie
	// Issuer is what tls.issuerRef names; nil when it is not set.
	Issuer *Issuer
	// Admission gives each pod its own certificate.
	Admission Admission
	// PodCertificatesServed: this Kubernetes has PodCertificateRequests.
	PodCertificatesServed bool
	// MaySign: the manager may answer them.
	MaySign bool
}

// UserCookie is the Secret that cookie.secretKeyRef names.
type UserCookie struct {
	Found    bool
	KeyFound bool
	Value    []byte
}

// Issuer is the issuer that tls.issuerRef names.
type Issuer struct {
	// KindKnown: this Kubernetes has such a kind in that group.
	KindKnown bool
	// Found: it exists. External issuers are not looked up, and taken to exist.
	Found bool
	// Refuses is why the issuer reports that it is not ready; empty when it is ready, or
	// has not reported.
	Refuses string
}

// Replicas is the number of nodes that the spec asks for.
func (s State) Replicas() int32 { return s.Cluster.Spec.DesiredReplicas() }

// Pod is the member pod of that name, or nil.
func (s State) Pod(name string) *corev1.Pod {
	for i := range s.Pods {
		if s.Pods[i].Name == name {
			return &s.Pods[i]
		}
	}
	return nil
}

// OwnPods are the member pods that run this cluster's nodes: its StatefulSet controls them,
// or nothing does, so that it would adopt them. Others are of a cluster that had its name.
func (s State) OwnPods() []corev1.Pod {
	return slices.DeleteFunc(slices.Clone(s.Pods), func(pod corev1.Pod) bool {
		controller := metav1.GetControllerOf(&pod)
		return controller != nil && (s.StatefulSet == nil || controller.UID != s.StatefulSet.UID)
	})
}

// Cookie is the cookie that the cluster runs with, or nil when it has none yet.
func (s State) Cookie() []byte {
	if secret := s.Secrets[s.Names.CookieSecret()]; secret != nil {
		return secret.Data[naming.CookieKey]
	}
	return nil
}

// WrittenCookie is the cookie as the manager wrote it; nil when it has not.
func (s State) WrittenCookie() []byte {
	if secret := s.Secrets[s.Names.CookieSecret()]; secret != nil {
		return secret.Data[naming.WrittenCookieKey]
	}
	return nil
}

// CookieEdited reports whether somebody other than the manager has changed the cookie, or
// removed it: nodes run with the one that was written, but for those that started since.
func (s State) CookieEdited() bool {
	return s.WrittenCookie() != nil && !bytes.Equal(s.Cookie(), s.WrittenCookie())
}

// FormerCookie is the cookie that some node may still run with while the nodes change to
// another one; nil while they do not.
func (s State) FormerCookie() []byte {
	if secret := s.Secrets[s.Names.CookieSecret()]; secret != nil {
		return secret.Data[naming.PreviousCookieKey]
	}
	return nil
}

// Node is the probe's verdict on the node in a pod that exists; nil when there is none. A
// verdict is on one pod, and none on a later one of its name: a node proves by its UID which
// it runs in. One that could not be verified may not have told. A verdict on a node whose
// machine is not Ready may be of before.
func (s State) Node(pod string) *v1alpha1.NodeStatus {
	node, existing := s.Cluster.Status.Mesh.Node(pod), s.Pod(pod)
	if node == nil || existing == nil {
		return nil
	}
	if node.PodUID != string(existing.UID) && (node.Verified() || node.PodUID != "") {
		return nil
	}
	if _, lost := s.LostMachine(existing); lost {
		return nil
	}
	return node
}

// IsLinked reports whether the node of a pod is verified, and linked to all that are.
func (s State) IsLinked(pod string) bool {
	node := s.Node(pod)
	return isVerified(node) && !slices.ContainsFunc(node.MissingLinks, func(other string) bool { return isVerified(s.Node(other)) })
}

func isVerified(node *v1alpha1.NodeStatus) bool { return node != nil && node.Verified() }

// Unproven is the first of the expected pods whose node the probe has not verified
// with the cookie as it is now; false when there is none.
func (s State) Unproven() (pod string, found bool) {
	secret, mesh := s.Secrets[s.Names.CookieSecret()], s.Cluster.Status.Mesh
	for _, pod := range s.Names.Pods(s.Replicas()) {
		if secret == nil || mesh == nil || mesh.CookieVersion != secret.ResourceVersion {
			return pod, true
		}
		if node := s.Node(pod); node == nil || !node.Verified() || node.FormerCookie {
			return pod, true
		}
	}
	return "", false
}

// Trust is the trust bundle that the nodes have; empty when there is none, or it
// cannot be read.
func (s State) Trust() certs.Trust {
	if s.Distribution == nil {
		return certs.Trust{}
	}
	trust, err := certs.ParseTrust([]byte(s.Distribution.Data[naming.TrustKey]))
	if err != nil {
		return certs.Trust{}
	}
	return trust
}

// StoredCertificate is the stored certificate of a pod (or of the probe); false when there is
// none yet, or it cannot be read.
func (s State) StoredCertificate(owner string) (certs.Certificate, bool) {
	return s.Stored(s.Names.Certificate(owner))
}

// Intermediate is the CA that signs what kubelets ask for; false when there is none
// yet, or it cannot be read.
func (s State) Intermediate() (certs.Certificate, bool) { return s.Stored(s.Names.Intermediate()) }

// Stored is the certificate in a Secret, with what came with it; false when there is none yet,
// or it cannot be read.
func (s State) Stored(name string) (certs.Certificate, bool) {
	secret := s.Secrets[name]
	if secret == nil {
		return certs.Certificate{}, false
	}
	leaf, err := certs.ParseCertificate(secret.Data[corev1.TLSCertKey], secret.Data[naming.AuthorityKey])
	return leaf, err == nil
}
