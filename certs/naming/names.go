package naming

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// DefaultDomain is the DNS domain of a Kubernetes cluster unless configured
// otherwise.
const DefaultDomain = "cluster.local"

// Names are the names of one cluster's nodes and objects. They are a function of
// the cluster alone, so the manager and the probe agree without a word.
type Names struct {
	// Cluster is the name of the ErlangCluster.
	Cluster string
	// Namespace of the ErlangCluster.
	Namespace string

	basename string
	domain   string
}

// Of gives the names of a cluster in a Kubernetes cluster of that DNS domain.
func Of(cluster *v1alpha1.ErlangCluster, domain string) Names {
	basename := cluster.Spec.Distribution.NodeBasename
	if basename == "" {
		basename = cluster.Name
	}
	return Names{Cluster: cluster.Name, Namespace: cluster.Namespace, basename: basename, domain: domain}
}

// Basename is the part of every node name left of the '@'.
func (n Names) Basename() string { return n.basename }

// Pod is the name of the pod of an ordinal, as the StatefulSet gives it.
func (n Names) Pod(ordinal int32) string {
	return n.Cluster + "-" + strconv.Itoa(int(ordinal))
}

// Pods are the names of the pods of the first so many ordinals.
func (n Names) Pods(replicas int32) []string {
	pods := make([]string, 0, replicas)
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

// Host is the DNS name of a pod. It is the part of the node name right of the
// '@', and the SAN of the pod's certificate.
func (n Names) Host(pod string) string {
	return pod + "." + n.Service() + "." + n.Namespace + ".svc." + n.domain
}

// Node is the full name of the Erlang node in a pod.
func (n Names) Node(pod string) string { return n.basename + "@" + n.Host(pod) }

// StatefulSet that runs the nodes.
func (n Names) StatefulSet() string { return n.Cluster }

// Service is the headless Service that the pods' DNS names hang from.
func (n Names) Service() string { return n.Cluster + "-nodes" }

// CookieSecret is the Secret that the nodes take the cookie from.
func (n Names) CookieSecret() string { return n.Cluster + "-cookie" }

// SelfSignedIssuer signs the private CA.
func (n Names) SelfSignedIssuer() string { return n.Cluster + "-selfsigned" }

// CA is the name of the private CA that a tls.ca.rotationID asks for: its
// Certificate, its Secret and its Issuer. Each rotation makes another one, beside
// the one that it takes the place of.
func (n Names) CA(rotationID string) string {
	if rotationID == "" {
		return n.Cluster + "-ca"
	}
	digest := sha256.Sum256([]byte(rotationID))
	return n.Cluster + "-ca-" + hex.EncodeToString(digest[:4])
}

// NumberedCA is the name of the private CA of a number among those of one
// tls.ca.rotationID: the first is CA, and each of the others took the place of the one
// before it when the time of that was nearly up.
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

// Intermediate is the CA that signs the certificates that the kubelets ask for: its
// Certificate and its Secret.
func (n Names) Intermediate() string { return n.Cluster + "-intermediate" }

// Distribution is the ConfigMap that holds the trust bundle and the TLS options.
func (n Names) Distribution() string { return n.Cluster + "-distribution" }

// Certificate is the name of a pod's Certificate, and of the Secret with its key.
// The MutatingAdmissionPolicy of the operator makes the same name.
func (n Names) Certificate(pod string) string { return pod + "-tls" }

// Probe is the name of the probe: its Deployment, ServiceAccount, Role and
// RoleBinding.
func (n Names) Probe() string { return n.Cluster + "-probe" }

// Canary is the owner of the certificate that the probe has of another CA while the
// nodes come to trust that, or cease to.
func (n Names) Canary() string { return n.Probe() + "-canary" }

// ProbeHost is the SAN of the probe's certificate. No DNS record has that name:
// nobody connects to the probe.
func (n Names) ProbeHost() string {
	return n.Probe() + "." + n.Namespace + ".svc." + n.domain
}

// NetworkPolicy that closes the distribution ports.
func (n Names) NetworkPolicy() string { return n.Cluster + "-distribution" }

// PodDisruptionBudget of the nodes.
func (n Names) PodDisruptionBudget() string { return n.Cluster }
