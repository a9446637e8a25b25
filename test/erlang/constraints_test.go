//go:build erlang

package erlang

import (
	"crypto/x509"
	"testing"

	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// OTP enforces the name constraints of an intermediate CA, which the operator's therefore
// has. It ignores those of a root, and its path length: the private CA can have neither
// with any effect.
func TestNameConstraints(t *testing.T) {
	permitted := func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{beam.Domain}
	}
	const inside, outside = "probe." + beam.Domain, "probe.other.svc.cluster.local"
	onEachRelease(t, func(t *testing.T, otp string) {
		root, constrainedRoot := beam.NewCA(t, "root"), beam.NewCA(t, "constrained root", permitted)
		shortRoot := beam.NewCA(t, "short root", func(c *x509.Certificate) { c.MaxPathLenZero = true })
		network := beam.NewNetwork(t)
		for label, test := range map[string]struct {
			root, signer *beam.CA
			client       string
			accepted     bool
		}{
			"intermediate-inside":  {root, root.Below("intermediate", permitted), inside, true},
			"intermediate-outside": {root, root.Below("intermediate", permitted), outside, false},
			"root-inside":          {constrainedRoot, constrainedRoot, inside, true},
			"root-outside":         {constrainedRoot, constrainedRoot, outside, true},
			"root-path-length":     {shortRoot, shortRoot.Below("intermediate"), inside, true},
		} {
			host := network.Host(label)
			t.Run(label, func(t *testing.T) {
				node := startMember(t, host, test.root.Issue(host.Name), test.root.PEM, otp, "EPMD")
				dialer := node.Dialer()
				dialer.TLS = erldist.ClientTLS(test.root.Pool(), test.signer.Issue(test.client).TLS)
				if test.accepted {
					mustDial(t, dialer, node.Name)
					return
				}
				_, err := dialer.Dial(deadline(t), node.Name)
				wantAlert(t, err, 42)
			})
		}
	})
}
