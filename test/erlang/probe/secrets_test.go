//go:build erlang

package probe

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"strings"
)

// wantNoSecret searches a text for a cookie, and for the private key of the probe, or
// the PEM of any.
func (c *cluster) wantNoSecret(text string) {
	c.t.Helper()
	secrets := map[string]string{
		"the cookie": cookie, "the cookie in base64": base64.StdEncoding.EncodeToString([]byte(cookie)),
		"the cookie in hexadecimal": hex.EncodeToString([]byte(cookie)),
		"another cookie":            "An0therCookie", "a key in PEM": "PRIVATE KEY",
	}
	if key, ok := c.verifier.Credentials.Certificate.PrivateKey.(*ecdsa.PrivateKey); ok {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			c.t.Fatal(err)
		}
		for i, line := range strings.Split(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "\n") {
			if i > 0 && len(line) > 30 && !strings.HasPrefix(line, "-----") {
				secrets["line "+line[:4]+"… of the key"] = line
			}
		}
	}
	for what, secret := range secrets {
		if strings.Contains(text, secret) {
			c.t.Errorf("%s is in %s", what, text)
		}
	}
}
