//go:build erlang

package erlang

import (
	"crypto/x509"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// What the manager puts into a pod makes members of nodes: the TLS options file, one
// file with key and certificate, and flags in ERL_ZFLAGS, against an image that
// sets a cookie of its own.
func TestInjectedIdentity(t *testing.T) {
	for _, discovery := range []string{"EPMD", "FixedPort"} {
		t.Run(discovery, func(t *testing.T) {
			onEachRelease(t, func(t *testing.T, otp string) {
				c := newCluster(t)
				testInjectedIdentity(t, c, c.ca, c.ca.PEM, otp, discovery)
			})
		})
	}
}

// With tls.delivery PodCertificate an intermediate CA signs: nodes show it beside their
// own certificate, and trust the one above it.
func TestIdentityBelowAnIntermediate(t *testing.T) {
	onEachRelease(t, func(t *testing.T, otp string) {
		c := newCluster(t)
		testInjectedIdentity(t, c, c.ca.Below("chat-intermediate"), c.ca.PEM, otp, "EPMD")
	})
}

// An issuer of the user's that signs with an intermediate CA: the trust bundle has that
// and the root, since OTP takes the one for no anchor without the other.
func TestTrustInAnIntermediate(t *testing.T) {
	onEachRelease(t, func(t *testing.T, otp string) {
		c := newCluster(t)
		issuer := c.ca.Below("issuer")
		given, err := certs.ParseCertificate(issuer.Issue("chat-0."+beam.Domain).CertPEM, c.ca.PEM)
		if err != nil {
			t.Fatal(err)
		}
		leaves := []*x509.Certificate{given.X509}
		testInjectedIdentity(t, c, issuer, []byte(certs.Trust{}.With(given.Issuers...).IssuersOf(leaves).PEM()), otp, "EPMD")

		host := c.Host("chat-2")
		node := startMember(t, host, issuer.Issue(host.Name), issuer.PEM, otp, "EPMD")
		dialer := c.dialer(node)
		dialer.TLS = erldist.ClientTLS(c.ca.Pool(), issuer.Issue("probe."+beam.Domain).TLS)
		_, err = dialer.Dial(deadline(t), node.Name)
		wantAlert(t, err, 48)
	})
}

func testInjectedIdentity(t *testing.T, c *cluster, signer *beam.CA, trust []byte, otp, discovery string) {
	trust = slices.Concat(c.foreign.PEM, trust) // during a rotation
	var nodes []*beam.Node
	for _, label := range []string{"chat-0", "chat-1"} {
		host := c.Host(label)
		nodes = append(nodes, startMember(t, host, signer.Issue(host.Name), trust, otp, discovery))
	}
	for i, node := range nodes {
		conn := mustDial(t, c.dialer(node), node.Name)
		if got := mustCall(t, conn, "net_kernel", "connect_node", erldist.Atom(nodes[1-i].Name)); got != erldist.Term(erldist.Atom("true")) {
			t.Errorf("connect_node on %s gives %v\n%s", node.Name, got, node.Log())
		}
		if diff := cmp.Diff(erldist.Term(erldist.AtomList(nodes[1-i].Name)), mustCall(t, conn, "erlang", "nodes")); diff != "" {
			t.Errorf("nodes() of %s (-want +got):\n%s", node.Name, diff)
		}

		outsider := c.dialer(node)
		outsider.TLS = erldist.ClientTLS(c.ca.Pool(), beam.NewCA(t, "another").Issue("probe."+beam.Domain).TLS)
		_, err := outsider.Dial(deadline(t), node.Name)
		wantAlert(t, err, 48)
	}
}

// startMember runs a node with what the manager would put into its pod.
func startMember(t *testing.T, host *beam.Host, identity beam.Identity, trust []byte, otp, discovery string) *beam.Node {
	fixed := uint16(0)
	if discovery == "FixedPort" {
		fixed = 9100
	}
	return host.Start(beam.Options{
		OTP: otp, Bare: true, Cookie: cookie, FixedPort: fixed,
		Env:   append(podEnvironment("chat@"+host.Name, discovery), "ERL_FLAGS=-setcookie baked_into_the_image"),
		Files: podFiles(t, identity, trust),
	})
}
