package naming

import "github.com/erlang-operator/erlang-operator/api/v1alpha1"

// RotationAnnotation of the cookie Secret is the cookie.rotationID that its cookie was
// drawn for.
const RotationAnnotation = v1alpha1.Group + "/rotation-id"

// Keys of the objects that the manager writes, and the nodes and the probe read.
const (
	// CookieKey in the cookie Secret.
	CookieKey = "cookie"
	// PreviousCookieKey in the cookie Secret, while the nodes change to another cookie:
	// the one that they come from.
	PreviousCookieKey = "previous"
	// TrustKey in the distribution ConfigMap: the trust bundle, PEM.
	TrustKey = "trust.pem"
	// OptionsKey in the distribution ConfigMap: the text of -ssl_dist_optfile.
	OptionsKey = "inet_tls.conf"
	// CombinedKey in a certificate's Secret: the private key, then the chain, in one
	// file, so that the two never disagree while a node reads them.
	CombinedKey = "tls-combined.pem"
	// AuthorityKey in a certificate's Secret: the CA, where the issuer tells it.
	AuthorityKey = "ca.crt"
)
