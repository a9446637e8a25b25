package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"github.com/erlang-operator/erlang-operator/certs/memo"
)

// Trust is a trust bundle: the set of CA certificates that the nodes of a cluster accept.
type Trust struct {
	cas []*x509.Certificate
}

// ParseTrust parses a trust bundle: CA certificates in PEM. Anything else is an error,
// because a bundle that silently loses a CA would partition a cluster.
func ParseTrust(bundle []byte) (Trust, error) {
	chain, err := parseChain(bundle)
	if err != nil {
		return Trust{}, fmt.Errorf("read trust bundle: %w", err)
	}
	return Trust{}.With(chain...), nil
}

// With returns the trust bundle with these CAs added. Certificates that are not CAs are
// ignored: a leaf in a trust bundle would itself be trusted.
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

// Empty reports whether the trust bundle has no CA.
func (t Trust) Empty() bool { return len(t.cas) == 0 }

// CAs returns the CAs of the trust bundle, each of them once.
func (t Trust) CAs() []*x509.Certificate { return slices.Clone(t.cas) }

// IssuersOf returns the CAs of the trust bundle in the chains of these certificates: the
// CAs that signed them, and the CAs that signed those. OTP does not accept an
// intermediate CA as a trust anchor without the CA that signed it.
func (t Trust) IssuersOf(leaves []*x509.Certificate) Trust {
	needed := Trust{}
	for below := leaves; len(below) > 0; {
		signers := slices.DeleteFunc(t.CAs(), func(ca *x509.Certificate) bool {
			signs := func(certificate *x509.Certificate) bool { return isSignedBy(certificate, ca) }
			return slices.ContainsFunc(needed.cas, ca.Equal) || !slices.ContainsFunc(below, signs)
		})
		needed = needed.With(signers...)
		below = signers
	}
	return needed
}

// IssuingCA returns the CA of the trust bundle that signed a certificate, or nil.
func (t Trust) IssuingCA(leaf *x509.Certificate) *x509.Certificate {
	for _, ca := range t.cas {
		if isSignedBy(leaf, ca) {
			return ca
		}
	}
	return nil
}

// Contains reports whether the trust bundle has every CA of another one.
func (t Trust) Contains(other Trust) bool {
	return !slices.ContainsFunc(other.cas, func(ca *x509.Certificate) bool {
		return !slices.ContainsFunc(t.cas, ca.Equal)
	})
}

// Union returns the CAs of both trust bundles.
func (t Trust) Union(other Trust) Trust { return t.With(other.cas...) }

// Pool returns the trust bundle as a pool of crypto/x509.
func (t Trust) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, ca := range t.cas {
		pool.AddCert(ca)
	}
	return pool
}

// PEM returns the trust bundle as text. Equal trust bundles have equal texts.
func (t Trust) PEM() string {
	var text strings.Builder
	for _, ca := range t.cas {
		_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}) // a Builder cannot fail
	}
	return text.String()
}

// parseChain parses all certificates of a PEM text, in their order. Nobody may change them.
func parseChain(text []byte) ([]*x509.Certificate, error) {
	key := memo.KeyOf(text)
	if chain, known := parsed.Get(key); known {
		return chain, nil
	}
	chain, err := parsePEM(text)
	if err == nil && memoryOf(chain) <= maxRemembered {
		parsed.Put(key, chain)
	}
	return chain, err
}

func parsePEM(text []byte) ([]*x509.Certificate, error) {
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
	// pem.Decode skips what it cannot parse.
	if begun := bytes.Count(text, []byte("-----BEGIN ")); begun != len(chain) {
		return nil, fmt.Errorf("%d of %d PEM blocks are broken", begun-len(chain), begun)
	}
	return chain, nil
}
