package verify

import (
	"crypto/tls"
	"errors"

	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/erldist"
)

// Credentials are what a member of the cluster has: whoever holds them is let in.
type Credentials struct {
	// Cookie of the cluster.
	Cookie erldist.Cookie
	// FormerCookie is the one that the nodes change from; zero when they do not.
	FormerCookie erldist.Cookie
	// Certificate that we show.
	Certificate tls.Certificate
	// Trust that the nodes' certificates are held against.
	Trust certs.Trust
}

// ParseCredentials reads a private key with its certificate chain in one PEM text, and
// a trust bundle.
func ParseCredentials(cookie erldist.Cookie, combined, trust []byte) (Credentials, error) {
	certificate, err := tls.X509KeyPair(combined, combined)
	if err != nil {
		// The cause stays out: it is about a text that holds a key.
		return Credentials{}, errors.New("read our own certificate: it is not a private key and its certificate chain in PEM")
	}
	trusted, err := certs.ParseTrust(trust)
	if err != nil {
		return Credentials{}, err
	}
	if trusted.Empty() {
		return Credentials{}, errors.New("read trust bundle: it holds no CA certificate")
	}
	return Credentials{Cookie: cookie, Certificate: certificate, Trust: trusted}, nil
}

// host is the host that our certificate is for. A node that lets in only certain
// hosts (net_kernel:allow/1) holds the one against the other.
func (c Credentials) host() string {
	if leaf := c.Certificate.Leaf; leaf != nil && len(leaf.DNSNames) > 0 {
		return leaf.DNSNames[0]
	}
	return ""
}
