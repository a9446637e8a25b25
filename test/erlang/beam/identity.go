package beam

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// CA is a certificate authority.
type CA struct {
	t           testing.TB
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	// PEM is its certificate.
	PEM []byte
	// Issued is what it has issued.
	Issued []Identity
}

// Identity is a certificate and its key.
type Identity struct {
	CertPEM, KeyPEM []byte
	TLS             tls.Certificate
}

// NewCA returns a self-signed authority.
func NewCA(t testing.TB, name string, changes ...func(*x509.Certificate)) *CA {
	return newCA(t, name, nil, changes)
}

// Below makes an authority that this one has signed. What it issues brings its
// certificate along, so that who trusts this one alone can verify it.
func (ca *CA) Below(name string, changes ...func(*x509.Certificate)) *CA {
	return newCA(ca.t, name, ca, changes)
}

func newCA(t testing.TB, name string, above *CA, changes []func(*x509.Certificate)) *CA {
	t.Helper()
	ca := &CA{t: t, key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber:          serial(t),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-24 * time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	for _, change := range changes {
		change(template)
	}
	parent, signer := template, ca.key
	if above != nil {
		parent, signer = above.certificate, above.key
	}
	der := must(x509.CreateCertificate(rand.Reader, template, parent, ca.key.Public(), signer))(t)
	ca.certificate = must(x509.ParseCertificate(der))(t)
	ca.PEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return ca
}

// Pool holds the authority.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.certificate)
	return pool
}

// Issue makes a certificate that is good for a node on the named host, as a
// server and as a client, after the changes that are given.
func (ca *CA) Issue(host string, changes ...func(*x509.Certificate)) Identity {
	ca.t.Helper()
	template := &x509.Certificate{
		SerialNumber: serial(ca.t),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if address := net.ParseIP(host); address != nil {
		template.IPAddresses = []net.IP{address}
	} else {
		template.DNSNames = []string{host}
	}
	for _, change := range changes {
		change(template)
	}
	key := newKey(ca.t)
	der := must(x509.CreateCertificate(rand.Reader, template, ca.certificate, key.Public(), ca.key))(ca.t)
	keyDER := must(x509.MarshalPKCS8PrivateKey(key))(ca.t)
	id := Identity{
		CertPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		KeyPEM:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
	if ca.certificate.CheckSignatureFrom(ca.certificate) != nil {
		id.CertPEM = append(id.CertPEM, ca.PEM...)
	}
	id.TLS = must(tls.X509KeyPair(id.CertPEM, id.KeyPEM))(ca.t)
	ca.Issued = append(ca.Issued, id)
	return id
}

// Expired is a change for Issue: the certificate's time is over.
func Expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
}

// NotYetValid is a change for Issue: the certificate's time is to come, as it seems
// to a machine whose clock is behind.
func NotYetValid(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
}

// OnlyFor is a change for Issue: the certificate serves one purpose.
func OnlyFor(usage x509.ExtKeyUsage) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{usage} }
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	return must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)))(t)
}
