package verify

import (
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
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

// TestParseCanary: the canary says whose it is and whether that is trusted, and no error
// about it holds a part of its key.
func TestParseCanary(t *testing.T) {
	ca := certstest.NewAuthority("old")
	leaf, key := ca.IssueKey("probe.example")
	combined := slices.Concat(key, certstest.PEM(leaf))
	secret := strings.Split(string(key), "\n")[1]

	for name, trusted := range map[string]bool{"old": true, "new": false} {
		trust := certs.Trust{}.With(certstest.NewAuthority(name).Certificate)
		canary, err := ParseCanary(combined, certstest.PEM(leaf), certstest.PEM(ca.Certificate), trust)
		if err != nil {
			t.Fatal(err)
		}
		if canary.Authority != certs.Identity(ca.Certificate) || canary.Trusted != trusted {
			t.Errorf("where %s is trusted: CA %s, trusted: %t", name, canary.Authority, canary.Trusted)
		}
	}

	for name, tc := range map[string]struct{ combined, tlsCrt, caCrt []byte }{
		"nothing":              {},
		"no key":               {combined: certstest.PEM(leaf), tlsCrt: certstest.PEM(leaf)},
		"a key that is none":   {combined: slices.Concat([]byte(secret), certstest.PEM(leaf)), tlsCrt: certstest.PEM(leaf)},
		"no certificate":       {combined: combined},
		"a CA that is unknown": {combined: combined, tlsCrt: certstest.PEM(leaf)},
		"another certificate":  {combined: combined, tlsCrt: certstest.PEM(ca.Issue("probe.example", func(c *x509.Certificate) { c.SerialNumber = big.NewInt(99) })), caCrt: certstest.PEM(ca.Certificate)},
		"another CA":           {combined: combined, tlsCrt: certstest.PEM(leaf), caCrt: certstest.PEM(certstest.NewAuthority("new").Certificate)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseCanary(tc.combined, tc.tlsCrt, tc.caCrt, certs.Trust{})
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error %q holds a part of the key", err)
			}
		})
	}
}
