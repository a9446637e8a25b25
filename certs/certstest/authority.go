// Package certstest signs certificates for tests, with Ed25519 keys derived from names.
// The same request always returns the same bytes, so golden files can contain them.
package certstest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// Certificates of this package are valid from Start to End.
var (
	Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	End   = Start.Add(30 * 24 * time.Hour)
)

// An Authority signs certificates.
type Authority struct {
	Certificate *x509.Certificate
	key         ed25519.PrivateKey
}

// NewAuthority returns a self-signed CA. Its key depends only on the name, so the same
// name with other edits is a renewed CA.
func NewAuthority(name string, edits ...func(*x509.Certificate)) Authority {
	key := keyOf("authority " + name)
	template := &x509.Certificate{
		SerialNumber:          serialOf("authority " + name),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             Start,
		NotAfter:              Start.AddDate(10, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	for _, edit := range edits {
		edit(template)
	}
	return Authority{Certificate: sign(template, nil, key.Public(), key), key: key}
}

// Intermediate returns a CA that this one has signed.
func (a Authority) Intermediate(name string, edits ...func(*x509.Certificate)) Authority {
	key := keyOf("authority " + name)
	template := &x509.Certificate{
		SerialNumber:          serialOf(a.Certificate.Subject.CommonName + " signs " + name),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             Start,
		NotAfter:              Start.AddDate(5, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	for _, edit := range edits {
		edit(template)
	}
	certificate := sign(template, a.Certificate, key.Public(), a.key)
	return Authority{Certificate: certificate, key: key}
}

// Issue returns the certificate of a node on a host.
func (a Authority) Issue(host string, edits ...func(*x509.Certificate)) *x509.Certificate {
	return a.IssueTo(host, keyOf("host "+host).Public(), edits...)
}

// IssueTo is Issue with a given public key.
func (a Authority) IssueTo(host string, key any, edits ...func(*x509.Certificate)) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: serialOf(a.Certificate.Subject.CommonName + " issues " + host),
		Subject:      pkix.Name{CommonName: "node"},
		DNSNames:     []string{host},
		NotBefore:    Start,
		NotAfter:     End,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, edit := range edits {
		edit(template)
	}
	return sign(template, a.Certificate, key, a.key)
}

// IssueKey is Issue, and returns the private key in PEM, too.
func (a Authority) IssueKey(host string, edits ...func(*x509.Certificate)) (certificate *x509.Certificate, key []byte) {
	return a.Issue(host, edits...), keyPEM(keyOf("host " + host))
}

// KeyPEM returns the private key of the CA.
func (a Authority) KeyPEM() []byte { return keyPEM(a.key) }

func keyPEM(key ed25519.PrivateKey) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// Pair is Issue, with the private key.
func (a Authority) Pair(host string, edits ...func(*x509.Certificate)) tls.Certificate {
	certificate := a.Issue(host, edits...)
	return tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: keyOf("host " + host), Leaf: certificate}
}

// ValidNow has a certificate be valid now.
func ValidNow(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
}

// PEM returns certificates as text.
func PEM(certificates ...*x509.Certificate) []byte {
	var text bytes.Buffer
	for _, certificate := range certificates {
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}); err != nil {
			panic(err)
		}
	}
	return text.Bytes()
}

// signed caches certificates by their requests, which property tests repeat thousands
// of times.
var signed sync.Map // of [sha256.Size]byte to *x509.Certificate

func sign(template, parent *x509.Certificate, public any, key ed25519.PrivateKey) *x509.Certificate {
	if parent == nil {
		parent = template
	}
	request, err := json.Marshal([]any{template, parent.Raw, parent.Subject, public, key})
	if err != nil {
		panic(fmt.Sprintf("describe a certificate for a test: %v", err))
	}
	known, ok := signed.Load(sha256.Sum256(request))
	if !ok {
		known, _ = signed.LoadOrStore(sha256.Sum256(request), newlySigned(template, parent, public, key))
	}
	certificate := *known.(*x509.Certificate)
	return &certificate
}

func newlySigned(template, parent *x509.Certificate, public any, key ed25519.PrivateKey) *x509.Certificate {
	der, err := x509.CreateCertificate(nil, template, parent, public, key)
	if err != nil {
		panic(fmt.Sprintf("sign a certificate for a test: %v", err))
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		panic(fmt.Sprintf("parse a certificate for a test: %v", err))
	}
	return certificate
}

// keys caches keys by their names.
var keys sync.Map

func keyOf(name string) ed25519.PrivateKey {
	known, ok := keys.Load(name)
	if !ok {
		seed := sha256.Sum256([]byte(name))
		known, _ = keys.LoadOrStore(name, ed25519.NewKeyFromSeed(seed[:]))
	}
	return known.(ed25519.PrivateKey)
}

func serialOf(name string) *big.Int {
	digest := sha256.Sum256([]byte(name))
	return new(big.Int).SetBytes(digest[:8])
}
