package naming

import "github.com/erlang-operator/erlang-operator/api/v1alpha1"

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
