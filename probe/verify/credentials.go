package verify

import (
	"crypto/tls"
	"errors"
	"fmt"

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
	// Canary is a certificate of a CA that nodes come to trust, or cease to; nil when
	// there is none.
	Canary *Canary
}

// Canary is shown to nodes to find out whether they trust its CA.
type Canary struct {
	// Certificate that is shown.
	Certificate tls.Certificate
	// Authority is the identity of the CA that signed it.
	Authority string
	// Trusted says that the CA is in the trust bundle: a node that has read it accepts
	// the canary.
	Trusted bool
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

// ParseCanary reads the canary: a private key with its certificate chain in one PEM
// text, and ca.crt where the issuer gave one.
func ParseCanary(combined, tlsCrt, caCrt []byte, trust certs.Trust) (*Canary, error) {
	certificate, err := tls.X509KeyPair(combined, combined)
	if err != nil {
		// The cause stays out: it is about a text that holds a key.
		return nil, errors.New("read the canary: it is not a private key and its certificate chain in PEM")
	}
	leaf, err := certs.ParseCertificate(tlsCrt, caCrt)
	if err != nil {
		return nil, fmt.Errorf("read the canary: %w", err)
	}
	signer := leaf.Signer(trust)
	if signer == nil {
		return nil, errors.New("read the canary: its issuer does not tell its CA")
	}
	return &Canary{
		Certificate: certificate, Authority: certs.Identity(signer), Trusted: trust.Signer(leaf.X509) != nil,
	}, nil
}

// host is the host that our certificate is for. A node that lets in only certain
// hosts (net_kernel:allow/1) holds the one against the other.
func (c Credentials) host() string {
	if leaf := c.Certificate.Leaf; leaf != nil && len(leaf.DNSNames) > 0 {
		return leaf.DNSNames[0]
	}
	return ""
}
