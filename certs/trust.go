package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
)

// Trust is the set of CA certificates that the nodes of a cluster accept.
type Trust struct {
	cas []*x509.Certificate
}

// ParseTrust reads a trust bundle: CA certificates in PEM. What is not a
// certificate is an error, for a bundle that silently loses a CA splits a cluster.
func ParseTrust(bundle []byte) (Trust, error) {
	chain, err := parseChain(bundle)
	if err != nil {
		return Trust{}, fmt.Errorf("read trust bundle: %w", err)
	}
	return Trust{}.With(chain...), nil
}

// With gives the trust that has these CAs too. Certificates that are no CA are
// left out: a leaf in a bundle would be trusted as itself.
func (t Trust) With(certificates ...*x509.Certificate) Trust {
	cas := slices.Clone(t.cas)
	for _, certificate := range certificates {
		if certificate.IsCA && !slices.ContainsFunc(cas, certificate.Equal) {
			cas = append(cas, certificate)
		}
	}
	slices.SortFunc(cas, func(a, b *x509.Certificate) int {
		x, y := sha256.Sum256(a.Raw), sha256.Sum256(b.Raw)
		return bytes.Compare(x[:], y[:])
	})
	return Trust{cas: cas}
}

// Empty says that nobody is trusted: there is nothing to start nodes with.
func (t Trust) Empty() bool { return len(t.cas) == 0 }

// CAs of the trust, each once.
func (t Trust) CAs() []*x509.Certificate { return slices.Clone(t.cas) }

// IssuersOf is the part of the trust that one of these certificates still rests on: who
// signed it, and who is above that. OTP takes no CA for an anchor that another one has
// signed, unless it has that one too.
func (t Trust) IssuersOf(leaves []*x509.Certificate) Trust {
	needed := Trust{}
	for below := leaves; len(below) > 0; {
		signers := slices.DeleteFunc(t.CAs(), func(ca *x509.Certificate) bool {
			signs := func(certificate *x509.Certificate) bool { return certificate.CheckSignatureFrom(ca) == nil }
			return slices.ContainsFunc(needed.cas, ca.Equal) || !slices.ContainsFunc(below, signs)
		})
		needed = needed.With(signers...)
		below = signers
	}
	return needed
}

// IssuingCA is the CA of the trust that signed a certificate; nil when none did.
func (t Trust) IssuingCA(leaf *x509.Certificate) *x509.Certificate {
	for _, ca := range t.cas {
		if leaf.CheckSignatureFrom(ca) == nil {
			return ca
		}
	}
	return nil
}

// Contains says that this trust has every CA of another.
func (t Trust) Contains(other Trust) bool {
	return !slices.ContainsFunc(other.cas, func(ca *x509.Certificate) bool {
		return !slices.ContainsFunc(t.cas, ca.Equal)
	})
}

// Union is the trust in all that either trusts.
func (t Trust) Union(other Trust) Trust { return t.With(other.cas...) }

// Pool is the trust as crypto/x509 wants it.
func (t Trust) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, ca := range t.cas {
		pool.AddCert(ca)
	}
	return pool
}

// PEM is the trust bundle's text, the same for the same trust.
func (t Trust) PEM() string {
	var text strings.Builder
	for _, ca := range t.cas {
		_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}) // a Builder cannot fail
	}
	return text.String()
}

// parseChain reads every certificate of a PEM text, in its order.
func parseChain(text []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("want PEM blocks of type CERTIFICATE, found %q", block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parse certificate %d: %w", len(chain)+1, err)
		}
		chain = append(chain, certificate)
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("no PEM certificate in %d bytes", len(text))
	}
	// pem.Decode passes over what it cannot read.
	if begun := bytes.Count(text, []byte("-----BEGIN ")); begun != len(chain) {
		return nil, fmt.Errorf("%d of %d PEM blocks are broken", begun-len(chain), begun)
	}
	return chain, nil
}
