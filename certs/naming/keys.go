package naming

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// LabelCluster of everything that belongs to an ErlangCluster is its name.
const LabelCluster = v1alpha1.Group + "/cluster"

// Labels of the objects of a cluster. Selectors and caches use those of our own group, so that
// users may put what they like into the others.
func Labels(cluster string) map[string]string {
	return map[string]string{
		LabelCluster:                   cluster,
		"app.kubernetes.io/name":       "erlang",
		"app.kubernetes.io/instance":   cluster,
		"app.kubernetes.io/managed-by": "erlang-operator",
	}
}

// BelongsTo reports whether a Lease is the one of a cluster's probe, or that of a former cluster of its name.
// Labels that somebody has removed are restored where the controller still tells.
func BelongsTo(lease metav1.Object, cluster *v1alpha1.ErlangCluster) bool {
	owner := v1alpha1.ControllerOf(lease)
	if owner == nil && metav1.GetControllerOfNoCopy(lease) != nil {
		return false
	}
	return lease.GetLabels()[LabelCluster] == cluster.Name || owner != nil && owner.UID == cluster.UID
}

// RotationAnnotation of the cookie Secret is the cookie.rotationID that its cookie was
// drawn for.
const RotationAnnotation = v1alpha1.Group + "/rotation-id"

// Keys of the objects that the manager writes and that the nodes and the probe read.
const (
	// CookieKey in the cookie Secret.
	CookieKey = "cookie"
	// PreviousCookieKey in the cookie Secret is the previous cookie during a rotation.
	PreviousCookieKey = "previous"
	// WrittenCookieKey in the cookie Secret is the cookie again, as the manager wrote it. It
	// shows that somebody has edited the other, and what the nodes run with.
	WrittenCookieKey = "written"
	// TrustKey in the distribution ConfigMap: the trust bundle, PEM.
	TrustKey = "trust.pem"
	// OptionsKey in the distribution ConfigMap: the content of the -ssl_dist_optfile.
	OptionsKey = "inet_tls.conf"
	// RemoteArgsKey in the distribution ConfigMap: flags for commands of an Elixir release.
	RemoteArgsKey = "remote.vm.args"
	// RelxArgsKey in the distribution ConfigMap: vm.args for commands of a release of relx.
	RelxArgsKey = "relx.vm.args"
	// CombinedKey in a certificate's Secret: the private key, followed by the chain, in
	// one file, so that a node always reads a matching pair.
	CombinedKey = "tls-combined.pem"
	// AuthorityKey in a certificate's Secret: the CA, if the issuer returns it.
	AuthorityKey = "ca.crt"
)
