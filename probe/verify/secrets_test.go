package verify

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/erldist"
)

// encodings are the ways in which a secret might end up in a text.
func encodings(secret []byte) []string {
	decimals := strings.Trim(fmt.Sprintf("%d", secret), "[]")
	return []string{
		string(secret), hex.EncodeToString(secret), fmt.Sprintf("%X", secret), fmt.Sprintf("%q", secret),
		decimals, strings.ReplaceAll(decimals, " ", ","),
		strings.TrimRight(base64.StdEncoding.EncodeToString(secret), "="), strings.TrimRight(base64.URLEncoding.EncodeToString(secret), "="),
	}
}

// TestVerdictsHoldNoSecret searches verdicts for the cookie, for the digests that went
// over the wire, and for the private key.
func TestVerdictsHoldNoSecret(t *testing.T) {
	for name, tc := range map[string]struct {
		member member
		reason string
	}{
		"a node that knows the cookie":         {member{cookie: cookie}, v1alpha1.ReasonCallFailed},
		"a node that does not know the cookie": {member{cookie: "An0therCookie"}, v1alpha1.ReasonCookieMismatch},
		"a node that does not take our proof":  {member{cookie: "An0therCookie", hangsUp: true}, v1alpha1.ReasonCookieMismatch},
		"another node":                         {member{cookie: cookie, name: "pay@localhost"}, v1alpha1.ReasonNodeNameMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			certificate := issue(certstest.NewAuthority("ours"))
			key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
			if err != nil {
				t.Fatal(err)
			}
			digests := make(chan []byte, 2)
			tc.member.digests = digests
			if tc.member.name == "" {
				tc.member.name = "chat@localhost"
			}
			verifier := &Verifier{
				Credentials: Credentials{Cookie: erldist.NewCookie(cookie), Certificate: certificate, Trust: certs.Trust{}},
				Limits: Limits{
					Resolve: time.Second, Connect: time.Second, Lookup: time.Second, ConnectDistribution: time.Second,
					TLS: time.Second, Handshake: time.Second, Call: 200 * time.Millisecond,
				},
				Plaintext: true,
				Resolve:   net.DefaultResolver.LookupHost,
			}
			verdict, _ := verifier.Verify(t.Context(), Target{Node: "chat@localhost", FixedPort: server(t, tc.member.play), Network: "tcp4"})
			if verdict.Reason != tc.reason {
				t.Errorf("verdict is %s: %s", verdict.Reason, verdict.Message)
			}
			if another := tc.member.name != "chat@localhost"; (verdict.Incarnation == 0) != another {
				t.Errorf("incarnation %d, of another node: %t", verdict.Incarnation, another)
			}
			secrets := [][]byte{[]byte(cookie), []byte("An0therCookie"), key, key[len(key)/2:]}
			if tc.reason != v1alpha1.ReasonNodeNameMismatch { // which is seen before any proof
				secrets = append(secrets, <-digests, <-digests)
			}
			document, err := json.Marshal(verdict)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{string(document), fmt.Sprintf("%+v", verdict), fmt.Sprintf("%#v", verdict), fmt.Sprintf("%+v", verifier.Credentials.Cookie)} {
				for i, secret := range secrets {
					for _, encoded := range encodings(secret) {
						if strings.Contains(text, encoded) {
							t.Errorf("secret %d is in %s", i, text)
						}
					}
				}
			}
		})
	}
}

// TestCloseAfterProof: a node that closes the connection on our proof of the cookie, and
// takes no other, is not one with another cookie.
func TestCloseAfterProof(t *testing.T) {
	var connections atomic.Int32
	stopping := func(conn net.Conn) {
		if connections.Add(1) == 1 {
			member{name: "chat@localhost", cookie: cookie, hangsUp: true}.play(conn)
		}
	}
	verifier := &Verifier{
		Credentials: Credentials{Cookie: erldist.NewCookie(cookie)}, Limits: DefaultLimits(), Plaintext: true,
		Resolve: net.DefaultResolver.LookupHost,
	}
	verdict, _ := verifier.Verify(t.Context(), Target{Node: "chat@localhost", FixedPort: server(t, stopping), Network: "tcp4"})
	if verdict.Reason != v1alpha1.ReasonHandshakeRejected {
		t.Errorf("verdict is %s: %s", verdict.Reason, verdict.Message)
	}
}
