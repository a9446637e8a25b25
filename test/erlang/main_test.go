//go:build erlang

package erlang

import (
	"context"
	"crypto/x509"
	"os"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

func TestMain(m *testing.M) { os.Exit(beam.Main(m)) }

const cookie = "N0tTheRealCookie"

// onEachRelease runs a test on each OTP release.
func onEachRelease(t *testing.T, test func(t *testing.T, otp string)) {
	for _, otp := range beam.Releases {
		t.Run("OTP"+otp, func(t *testing.T) { test(t, otp) })
	}
}

// deadline is far longer than anything here takes, also on a machine that is busy with other
// tests, and than the 7 s after which a node gives up a peer.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// cluster is a network with an authority for its certificates.
type cluster struct {
	*beam.Network
	ca, foreign *beam.CA
	probe       beam.Identity
}

func newCluster(t testing.TB) *cluster {
	ca := beam.NewCA(t, "cluster")
	return &cluster{Network: beam.NewNetwork(t), ca: ca, foreign: beam.NewCA(t, "foreign"), probe: ca.Issue("probe." + beam.Domain)}
}

// nodeTLS is valid for a member, unless its certificate is changed.
func (c *cluster) nodeTLS(h *beam.Host, changes ...func(*x509.Certificate)) *beam.TLS {
	return &beam.TLS{Identity: c.ca.Issue(h.Name, changes...), CAs: c.ca.PEM}
}

// dialer connects as a valid probe over TLS.
func (c *cluster) dialer(n *beam.Node) *erldist.Dialer {
	d := n.Dialer()
	d.TLS = erldist.ClientTLS(c.ca.Pool(), c.probe.TLS)
	return d
}

// mustDial connects for the duration of a test.
func mustDial(t testing.TB, d *erldist.Dialer, node string) *erldist.Conn {
	t.Helper()
	conn, err := d.Dial(deadline(t), node)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// mustCall returns the result of a remote call.
func mustCall(t testing.TB, c *erldist.Conn, module, function string, args ...erldist.Term) erldist.Term {
	t.Helper()
	result, err := c.Call(deadline(t), module, function, args...)
	if err != nil {
		t.Fatal(err)
	}
	return result
}
