//go:build erlang

package probe

import (
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
)

// wantNoSecret searches a text for the cookies, and for the private key of whatever
// certificate was issued.
func (c *cluster) wantNoSecret(text string) {
	c.t.Helper()
	for secret, what := range c.secrets() {
		if strings.Contains(text, secret) {
			c.t.Errorf("%s is in %s", what, text)
		}
	}
}

// secrets are all that no text may hold, each in the forms that a text might have it in.
func (c *cluster) secrets() map[string]string {
	secrets := map[string]string{"PRIVATE KEY": "a key in PEM"}
	for _, cookie := range []string{cookie, "An0therCookie"} {
		secrets[cookie] = "a cookie"
		secrets[base64.RawStdEncoding.EncodeToString([]byte(cookie))] = "a cookie in base64"
		secrets[hex.EncodeToString([]byte(cookie))] = "a cookie in hexadecimal"
	}
	for _, identity := range slices.Concat(c.ca.Issued, c.foreign.Issued) {
		scalar, err := identity.TLS.PrivateKey.(*ecdsa.PrivateKey).Bytes()
		if err != nil {
			c.t.Fatal(err)
		}
		secrets[hex.EncodeToString(scalar)] = "a key in hexadecimal"
		for line := range strings.Lines(string(identity.KeyPEM)) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") && len(line) > 30 {
				secrets[line] = "a line of a key in base64"
			}
		}
	}
	return secrets
}
