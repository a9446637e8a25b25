package naming

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// DefaultDomain is the default DNS domain of a Kubernetes cluster.
const DefaultDomain = "cluster.local"

// Names are the names of one cluster's nodes and objects. They depend only on the
// ErlangCluster and the DNS domain, so the manager and the probe compute the same.
type Names struct {
	// Cluster is the name of the ErlangCluster.
	Cluster string
	// Namespace of the ErlangCluster.
	Namespace string

	basename string
	domain   string
}

// Of returns the names of a cluster in a Kubernetes cluster with this DNS domain.
func Of(cluster *v1alpha1.ErlangCluster, domain string) Names {
	basename := cluster.Spec.Distribution.NodeBasename
	if basename == "" {
		basename = cluster.Name
	}
	return Names{Cluster: cluster.Name, Namespace: cluster.Namespace, basename: basename, domain: domain}
}

// Basename returns the part of every node name left of the '@'.
func (n Names) Basename() string { return n.basename }

// Pod returns the name that the StatefulSet gives to the pod with an ordinal.
func (n Names) Pod(ordinal int32) string {
	return n.Cluster + "-" + strconv.Itoa(int(ordinal))
}

// Pods returns the names of the pods with the ordinals from 0 to replicas-1.
func (n Names) Pods(replicas int32) []string {
	pods := make([]string, 0, max(replicas, 0))
	for ordinal := range replicas {
		pods = append(pods, n.Pod(ordinal))
	}
	return pods
}

// Ordinal is the inverse of Pod.
func (n Names) Ordinal(pod string) (ordinal int32, ok bool) {
	digits, found := strings.CutPrefix(pod, n.Cluster+"-")
	if !found {
		return 0, false
	}
	parsed, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || parsed < 0 || n.Pod(int32(parsed)) != pod {
		return 0, false
	}
	return int32(parsed), true
}

// Host returns the DNS name of a pod: the part of the node name right of the '@', and
// the SAN of the pod's certificate.
func (n Names) Host(pod string) string { return pod + "." + n.Domain() }

// Domain returns the DNS domain of the pods: the DNS name of their Service.
func (n Names) Domain() string { return n.Service() + "." + n.Namespace + ".svc." + n.domain }

// ClusterDomain returns the DNS domain of the Kubernetes cluster.
func (n Names) ClusterDomain() string { return n.domain }

// ClusterDomainOf returns the DNS domain of the Kubernetes cluster from the DNS name of a
// pod or of the probe; false if it is neither.
func (n Names) ClusterDomainOf(host string) (domain string, ok bool) {
	_, domain, ok = strings.Cut(host, "."+n.Namespace+".svc.")
	of := Names{Cluster: n.Cluster, Namespace: n.Namespace, domain: domain}
	pod, _, _ := strings.Cut(host, ".")
	return domain, ok && domain != "" && (host == of.ProbeHost() || host == of.Host(pod))
}

// Node returns the full name of the Erlang node in a pod.
func (n Names) Node(pod string) string { return n.basename + "@" + n.Host(pod) }

// StatefulSet returns the name of the StatefulSet that runs the nodes.
func (n Names) StatefulSet() string { return n.Cluster }

// Service returns the name of the headless Service of the pods' DNS names.
func (n Names) Service() string { return n.Cluster + "-nodes" }

// CookieSecret returns the name of the Secret from which the nodes take the cookie.
func (n Names) CookieSecret() string { return n.Cluster + "-cookie" }

// SelfSignedIssuer returns the name of the Issuer that signs the private CA.
func (n Names) SelfSignedIssuer() string { return n.Cluster + "-selfsigned" }

// CA returns the name of the private CA for a tls.ca.rotationID: of its Certificate, its
// Secret and its Issuer. Each rotation creates a new CA beside the previous one.
func (n Names) CA(rotationID string) string {
	if rotationID == "" {
		return n.Cluster + "-ca"
	}
	digest := sha256.Sum256([]byte(rotationID))
	return n.Cluster + "-ca-" + hex.EncodeToString(digest[:4])
}

// NumberedCA returns the name of the n-th private CA for a tls.ca.rotationID. The first
// is CA, and each of the others replaces the one before it when that nears its expiry.
func (n Names) NumberedCA(rotationID string, number int) string {
	if number <= 1 {
		return n.CA(rotationID)
	}
	// No hash begins with an r.
	return n.CA(rotationID) + "-r" + strconv.Itoa(number)
}

// NumberOfCA is the inverse of NumberedCA.
func (n Names) NumberOfCA(rotationID, name string) (number int, ok bool) {
	digits, found := strings.CutPrefix(name, n.CA(rotationID)+"-r")
	if !found {
		return 1, name == n.CA(rotationID)
	}
	parsed, err := strconv.Atoi(digits)
	if err != nil || parsed < 2 || n.NumberedCA(rotationID, parsed) != name {
		return 0, false
	}
	return parsed, true
}

// Intermediate returns the name of the CA that signs the certificates that the kubelets
// request: of its Certificate and its Secret.
func (n Names) Intermediate() string { return n.Cluster + "-intermediate" }

// Distribution returns the name of the ConfigMap with the trust bundle and the TLS
// options.
func (n Names) Distribution() string { return n.Cluster + "-distribution" }

// Certificate returns the name of a pod's Certificate and of the Secret with its key. The
// operator's MutatingAdmissionPolicy computes the same name.
func (n Names) Certificate(pod string) string { return pod + "-tls" }

// Probe returns the name of the probe's Deployment, ServiceAccount, Role and RoleBinding.
func (n Names) Probe() string { return n.Cluster + "-probe" }

// Canary returns the name under which the probe has a certificate of another CA while
// that CA is added to the trust bundle, or removed from it.
func (n Names) Canary() string { return n.Probe() + "-canary" }

// ProbeHost returns the SAN of the probe's certificate. It has no DNS record, because
// nobody connects to the probe.
func (n Names) ProbeHost() string {
	return n.Probe() + "." + n.Namespace + ".svc." + n.domain
}

// NetworkPolicy returns the name of the NetworkPolicy for the distribution ports.
func (n Names) NetworkPolicy() string { return n.Cluster + "-distribution" }

// PodDisruptionBudget returns the name of the nodes' PodDisruptionBudget.
func (n Names) PodDisruptionBudget() string { return n.Cluster }
