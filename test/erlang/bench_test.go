//go:build erlang

package erlang

import (
	"crypto/tls"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// BenchmarkVerify compares the full verification of a healthy node with a bare
// TLS handshake and close with the same node, taken in turns, and prints the ratio
// of the medians.
func BenchmarkVerify(b *testing.B) {
	for _, otp := range beam.Releases {
		b.Run("OTP"+otp, func(b *testing.B) {
			ca := beam.NewCA(b, "cluster")
			network := beam.NewNetwork(b)
			host := network.Host("chat-0")
			node := host.Start(beam.Options{OTP: otp, Cookie: cookie, FixedPort: 9100,
				TLS: &beam.TLS{Identity: ca.Issue(host.Name), CAs: ca.PEM}})
			dialer := node.Dialer()
			dialer.TLS = erldist.ClientTLS(ca.Pool(), ca.Issue("probe."+beam.Domain).TLS)

			bareTLS := func() error {
				raw, err := network.DialContext(b.Context(), "tcp", host.Address+":9100")
				if err != nil {
					return err
				}
				defer func() { _ = raw.Close() }()
				config := dialer.TLS.Clone()
				config.ServerName = host.Name
				conn := tls.Client(raw, config)
				if err := conn.HandshakeContext(b.Context()); err != nil {
					return err
				}
				return conn.Close()
			}
			verify := func() error {
				conn, err := dialer.Dial(b.Context(), node.Name)
				if err != nil {
					return err
				}
				defer func() { _ = conn.Close() }()
				_, err = conn.CallAll(b.Context(),
					erldist.MFA{Module: "erlang", Function: "nodes"},
					erldist.MFA{Module: "erlang", Function: "system_info", Args: []erldist.Term{erldist.Atom("otp_release")}},
					erldist.MFA{Module: "erlang", Function: "statistics", Args: []erldist.Term{erldist.Atom("wall_clock")}})
				return err
			}
			for range 20 { // code loading, and the compiler of neither side is warm
				if err := bareTLS(); err != nil {
					b.Fatal(err)
				}
				if err := verify(); err != nil {
					b.Fatal(err)
				}
			}
			var bare, full []time.Duration
			for b.Loop() {
				bare = append(bare, timed(b, bareTLS))
				full = append(full, timed(b, verify))
			}
			ratio := float64(median(full)) / float64(median(bare))
			b.ReportMetric(float64(median(bare).Microseconds()), "bare-µs")
			b.ReportMetric(float64(median(full).Microseconds()), "full-µs")
			b.ReportMetric(ratio, "ratio")
			fmt.Printf("OTP %s: full verification %s, bare TLS handshake %s, ratio %.2f\n", otp, median(full), median(bare), ratio)
		})
	}
}

func timed(b *testing.B, f func() error) time.Duration {
	start := time.Now()
	if err := f(); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
