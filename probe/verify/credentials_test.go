package verify

import (
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/erldist"
)

// TestParseCredentials: what will not do is an error, and no error holds a part of it.
func TestParseCredentials(t *testing.T) {
	certificate, err := foreignCertificate("probe.example", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
	secret := strings.Split(string(key), "\n")[1] // the first line of the key itself

	for name, tc := range map[string]struct{ combined, trust string }{
		"nothing":            {},
		"no certificate":     {combined: string(key), trust: string(leaf)},
		"no key":             {combined: string(leaf), trust: string(leaf)},
		"a key that is none": {combined: secret + string(leaf), trust: string(leaf)},
		"no trust":           {combined: string(key) + string(leaf)},
		"a key as trust":     {combined: string(key) + string(leaf), trust: string(key)},
		"a leaf as trust":    {combined: string(key) + string(leaf), trust: string(leaf)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseCredentials(erldist.NewCookie(secret), []byte(tc.combined), []byte(tc.trust))
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error %q holds a part of the key", err)
			}
		})
	}
}
