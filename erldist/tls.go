package erldist

import (
	"crypto/tls"
	"crypto/x509"
)

// ClientTLS returns a configuration for distribution over mutual TLS: TLS 1.3,
// the node's certificate verified against roots and, by [Dialer], against the
// host part of the node's name, as ssl's inet_tls_dist.erl does.
//
// The certificate is always sent, even if none of the authorities that the node lists
// issued it. By default crypto/tls sends none in that case, and the node answers
// certificate_required (alert 116) instead of unknown_ca (48).
//
// With an empty certificate the client sends none.
func ClientTLS(roots *x509.CertPool, certificate tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		RootCAs:    roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &certificate, nil
		},
	}
}
