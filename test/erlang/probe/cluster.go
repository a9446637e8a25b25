//go:build erlang

package probe

import (
	"context"
	"crypto/x509"
	"fmt"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
	"github.com/erlang-operator/erlang-operator/probe/verify"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

const cookie = "N0tTheRealCookie"

// port is the port of the nodes without epmd.
const port = 9100

// onEachRelease runs a test on each OTP release.
func onEachRelease(t *testing.T, test func(t *testing.T, otp string)) {
	for _, otp := range beam.Releases {
		t.Run("OTP"+otp, func(t *testing.T) { test(t, otp) })
	}
}

// deadline is far longer than anything here takes.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// cluster is a network with an authority for its certificates, and a verifier on
// its bridge.
type cluster struct {
	*beam.Network
	t           testing.TB
	ca, foreign *beam.CA
	verifier    *verify.Verifier
}

func newCluster(t testing.TB) *cluster {
	ca := beam.NewCA(t, "cluster")
	c := &cluster{Network: beam.NewNetwork(t), t: t, ca: ca, foreign: beam.NewCA(t, "foreign")}
	c.verifier = &verify.Verifier{
		Credentials: c.credentials(ca.Issue("probe."+beam.Domain), ca.PEM),
		Limits:      verify.DefaultLimits(),
		Resolve:     c.Resolve,
		DialContext: c.DialContext,
	}
	return c
}

// credentials are those of a probe with an identity, which trusts some CAs.
func (c *cluster) credentials(identity beam.Identity, cas []byte) verify.Credentials {
	trust, err := certs.ParseTrust(cas)
	if err != nil {
		c.t.Fatal(err)
	}
	return verify.Credentials{Cookie: erldist.NewCookie(cookie), Certificate: identity.TLS, Trust: trust}
}

// tls is valid for a member, unless its certificate is changed.
func (c *cluster) tls(h *beam.Host, changes ...func(*x509.Certificate)) *beam.TLS {
	return &beam.TLS{Identity: c.ca.Issue(h.Name, changes...), CAs: c.ca.PEM}
}

// start starts a valid node of an ordinal.
func (c *cluster) start(otp string, ordinal int) *beam.Node {
	host := c.Host(fmt.Sprintf("chat-%d", ordinal))
	return host.Start(beam.Options{OTP: otp, Cookie: cookie, FixedPort: port, TLS: c.tls(host),
		Env: []string{naming.PodUIDVariable + "=" + podUID(ordinal)}})
}

func podUID(ordinal int) string { return fmt.Sprintf("7d3a1c62-0b0e-4a57-9d8e-%012d", ordinal) }

func target(node *beam.Node) verify.Target {
	return verify.Target{Node: node.Name, FixedPort: port, Network: "tcp4"}
}

// sweep takes one pass over some nodes.
func (c *cluster) sweep(nodes []*beam.Node) sweep.Result { return c.sweepBut(nodes, nil) }

// sweepBut sweeps, and makes no harmful link.
func (c *cluster) sweepBut(nodes []*beam.Node, harmful []sweep.HarmfulLink) sweep.Result {
	members := make([]sweep.Member, len(nodes))
	for i, node := range nodes {
		members[i] = sweep.Member{Target: target(node)}
	}
	return sweep.Run(deadline(c.t), c.verifier, members, sweep.Options{Concurrency: 16, HealingTime: 20 * time.Second, Harmful: harmful})
}

// dial connects to a node, for any remote call.
func (c *cluster) dial(node *beam.Node, with string) *erldist.Conn {
	c.t.Helper()
	dialer := node.Dialer()
	dialer.Cookie = erldist.NewCookie(with)
	dialer.TLS = erldist.ClientTLS(c.ca.Pool(), c.verifier.Credentials.Certificate)
	conn, err := dialer.Dial(deadline(c.t), node.Name)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// call returns the result of a remote call.
func (c *cluster) call(conn *erldist.Conn, module, function string, args ...erldist.Term) erldist.Term {
	c.t.Helper()
	result, err := conn.Call(deadline(c.t), module, function, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return result
}

// startMembers starts the nodes of an ErlangCluster of three, each of another release.
func (c *cluster) startMembers(names naming.Names) []*beam.Node {
	nodes := make([]*beam.Node, 3)
	for ordinal, otp := range beam.Releases {
		pod := names.Pod(int32(ordinal))
		host := c.Host(fmt.Sprintf("%s.%s.%s.svc", pod, names.Service(), names.Namespace))
		if want := names.Host(pod); host.Name != want {
			c.t.Fatalf("host %s is not %s", host.Name, want)
		}
		host.EPMD(otp)
		nodes[ordinal] = host.Start(beam.Options{OTP: otp, Cookie: cookie, TLS: c.tls(host)})
	}
	return nodes
}
