package verify

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/erldist"
)

// Credentials are what a member of the cluster has, and what it takes to connect to one.
type Credentials struct {
	// Cookie of the cluster.
	Cookie erldist.Cookie
	// FormerCookie is the one that the nodes change from; zero when they do not change it.
	FormerCookie erldist.Cookie
	// Certificate that we send.
	Certificate tls.Certificate
	// Trust has the CAs that the nodes' certificates must be of.
	Trust certs.Trust
	// Canary is a certificate of a CA that nodes begin or cease to trust; nil when there
	// is none.
	Canary *Canary
}

// Equal reports whether two have the same cookies, certificate and trust bundle.
func (c Credentials) Equal(other Credentials) bool {
	return c.Cookie.Equal(other.Cookie) && c.FormerCookie.Equal(other.FormerCookie) &&
		slices.EqualFunc(c.Certificate.Certificate, other.Certificate.Certificate, bytes.Equal) &&
		c.Trust.Contains(other.Trust) && other.Trust.Contains(c.Trust)
}

// leaf is our own certificate with its issuers; zero if we have none.
func (c Credentials) leaf() certs.Certificate {
	leaf := certs.Certificate{X509: c.Certificate.Leaf}
	for _, raw := range c.Certificate.Certificate[min(1, len(c.Certificate.Certificate)):] {
		if issuer, err := x509.ParseCertificate(raw); err == nil { // One that cannot be read is of no use to the node either.
			leaf.Issuers = append(leaf.Issuers, issuer)
		}
	}
	return leaf
}

// Canary is sent to nodes to find out whether they trust its CA.
type Canary struct {
	// Certificate that is sent.
	Certificate tls.Certificate
	// Authority is the identity of the CA that signed it.
	Authority string
	// Trusted reports whether the CA is in the trust bundle: a node that has read the
	// bundle accepts the canary.
	Trusted bool
}

// ParseCredentials reads a private key with its certificate chain in one PEM text, and
// a trust bundle.
func ParseCredentials(cookie erldist.Cookie, combined, trust []byte) (Credentials, error) {
	certificate, err := tls.X509KeyPair(combined, combined)
	if err != nil {
		// The cause is left out: it is about a text with a key in it.
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
		// The cause is left out: it is about a text with a key in it.
		return nil, errors.New("read the canary: it is not a private key and its certificate chain in PEM")
	}
	leaf, err := certs.ParseCertificate(tlsCrt, caCrt)
	if err != nil {
		return nil, fmt.Errorf("read the canary: %w", err)
	}
	if !leaf.X509.Equal(certificate.Leaf) {
		// What a node makes of one would be taken for what it makes of the other's CA.
		return nil, errors.New("read the canary: its two texts hold different certificates")
	}
	signer := leaf.IssuingCA(trust)
	if signer == nil {
		return nil, errors.New("read the canary: its issuer does not send its CA")
	}
	return &Canary{
		Certificate: certificate, Authority: certs.Identity(signer), Trusted: trust.IssuingCA(leaf.X509) != nil,
	}, nil
}

// host is the host that our certificate is for. A node that allows only certain hosts
// (net_kernel:allow/1) compares it with the one in our name.
func (c Credentials) host() string {
	if leaf := c.Certificate.Leaf; leaf != nil && len(leaf.DNSNames) > 0 {
		return leaf.DNSNames[0]
	}
	return ""
}
