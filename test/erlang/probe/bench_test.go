//go:build erlang

package probe

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
	"github.com/erlang-operator/erlang-operator/probe/verify"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// What the documentation promises.
const (
	mostRatio = 2.5                    // of a full verification to a bare TLS handshake
	mostSweep = 2 * time.Second        // of 100 nodes, on two idle cores
	mostAfter = 100 * time.Millisecond // the deadline of a stage, until the verdict
)

// BenchmarkVerify compares the full verification of a healthy node with a bare TLS
// handshake and close with the same node, taken in turns, and prints the ratio. It is
// that of the lower quartiles, in which what else the machine does shows least.
func BenchmarkVerify(b *testing.B) {
	for _, otp := range beam.Releases {
		b.Run("OTP"+otp, func(b *testing.B) {
			c := newCluster(b)
			node := c.start(otp, 0)
			address := net.JoinHostPort(node.Host.Address, fmt.Sprint(port))
			config := erldist.ClientTLS(c.ca.Pool(), c.verifier.Credentials.Certificate)
			config.ServerName = node.Host.Name

			bare := func() {
				raw, err := c.DialContext(b.Context(), "tcp", address)
				if err != nil {
					b.Fatal(err)
				}
				conn := tls.Client(raw, config)
				if err := conn.HandshakeContext(b.Context()); err != nil {
					b.Fatal(err)
				}
				if err := conn.Close(); err != nil {
					b.Fatal(err)
				}
			}
			full := func() {
				verdict, session := c.verifier.Verify(b.Context(), target(node))
				if session == nil {
					b.Fatal(verdict.Message)
				}
				session.Close()
			}
			for range 20 { // The node loads its code, and compiles some.
				bare()
				full()
			}
			var bares, fulls []time.Duration
			for b.Loop() {
				bares = append(bares, timed(bare))
				fulls = append(fulls, timed(full))
			}
			ratio := float64(quartile(fulls)) / float64(quartile(bares))
			b.ReportMetric(ratio, "ratio")
			fmt.Printf("OTP %s: full verification %s, bare TLS handshake %s, ratio %.2f (of the medians, %.2f)\n", otp,
				quartile(fulls), quartile(bares), ratio, float64(median(fulls))/float64(median(bares)))
			if ratio > mostRatio && len(fulls) >= 50 { // fewer prove little
				b.Errorf("the ratio is %.2f, more than %.1f", ratio, mostRatio)
			}
		})
	}
}

// BenchmarkVerdict prints how long after the deadline of a stage the verdict on a hanging
// node comes.
func BenchmarkVerdict(b *testing.B) {
	const limit = 100 * time.Millisecond
	for name, tc := range map[string]struct {
		given  func(*scene)
		stage  v1alpha1.Stage
		limits func(*verify.Limits)
	}{
		"epmd is silent": {
			func(s *scene) {
				s.epmd()
				s.serve(4369, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
			},
			v1alpha1.StageLookup, func(l *verify.Limits) { l.Lookup = limit },
		},
		"black hole": {
			func(s *scene) { s.node(); s.host.Blackhole() },
			v1alpha1.StageConnectDistribution, func(l *verify.Limits) { l.ConnectDistribution = limit },
		},
		"nothing but silence": {
			func(s *scene) { s.serve(port, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }) },
			v1alpha1.StageTLS, func(l *verify.Limits) { l.TLS = limit },
		},
		"rex hangs": {
			func(s *scene) {
				conn := s.dial(s.node(), cookie)
				s.call(conn, "sys", "suspend", s.call(conn, "erlang", "whereis", erldist.Atom("rex")))
			},
			v1alpha1.StageCall, func(l *verify.Limits) { l.Call = limit },
		},
	} {
		b.Run(name, func(b *testing.B) {
			s := newScene(b, "27")
			tc.given(s)
			tc.limits(&s.verifier.Limits)
			var after []time.Duration
			for b.Loop() {
				begun := time.Now()
				verdict, _ := s.verifier.Verify(b.Context(), s.target)
				after = append(after, time.Since(begun)-limit)
				if verdict.Stage != tc.stage || verdict.Verified() {
					b.Fatalf("verdict is %s at %s: %s", verdict.Reason, verdict.Stage, verdict.Message)
				}
			}
			slices.Sort(after)
			most := after[len(after)*99/100]
			b.ReportMetric(float64(most.Milliseconds()), "ms-after")
			fmt.Printf("%s: the verdict comes %s after the deadline of %s (%s at most, but for one in a hundred)\n",
				name, median(after).Round(10*time.Microsecond), tc.stage, most.Round(10*time.Microsecond))
			if most > mostAfter {
				b.Errorf("a verdict comes %s after the deadline, more than %s", most, mostAfter)
			}
		})
	}
}

// BenchmarkSweep meshes some nodes, and prints how long that took, and how long a
// sweep of the whole mesh takes. With -soak it has 50 and 100 nodes, which take some
// 6 GB of memory and minutes to start and to mesh.
func BenchmarkSweep(b *testing.B) {
	counts := []int{10}
	if *beam.Soak {
		counts = []int{50, 100}
	}
	for _, count := range counts {
		b.Run(fmt.Sprint(count), func(b *testing.B) { benchmarkSweep(b, count) })
	}
}

func benchmarkSweep(b *testing.B, count int) {
	c := newCluster(b)
	nodes := c.startMany(count)
	members := make([]sweep.Member, len(nodes))
	for i, node := range nodes {
		members[i] = sweep.Member{Target: target(node)}
	}
	const healing = 5 * time.Second // as the probe has it
	sweepOnce := func(healing time.Duration) sweep.Result {
		return sweep.Run(b.Context(), c.verifier, members, sweep.Options{Concurrency: 16, HealingTime: healing})
	}
	for i, outcome := range sweepOnce(0).Outcomes { // which tries what they must refuse, once
		members[i].ProvenAt = outcome.Incarnation
	}
	var apart []time.Duration
	before := processorTime(b, nodes)
	for range 5 {
		apart = append(apart, timed(func() { sweepOnce(0) }))
	}
	printSweep("that are not linked", nodes, apart, processorTime(b, nodes)-before)

	unlinked := residentMemory(nodes)
	begun, links, sweeps := time.Now(), 0, 0
	var result sweep.Result
	for result = sweepOnce(healing); !result.Mesh.Whole(); result = sweepOnce(healing) {
		links, sweeps = links+len(result.Made), sweeps+1
		parts := result.Mesh.Components()
		fmt.Printf("%s: %d links made, %d failed, %d parts, the largest of %d nodes, %d links in all\n", time.Since(begun).Round(time.Second),
			len(result.Made), len(result.Failed), len(parts), len(parts[0]), result.Mesh.Links())
		if time.Since(begun) > 15*time.Minute {
			b.Fatalf("no mesh after %s", time.Since(begun))
		}
	}
	fmt.Printf("%d nodes became one mesh in %s, by %d links, in %d sweeps\n",
		len(nodes), time.Since(begun).Round(time.Millisecond), links+len(result.Made), sweeps+1)
	printRest(b, nodes, unlinked)

	var took []time.Duration
	before = processorTime(b, nodes)
	for b.Loop() {
		took = append(took, timed(func() { result = sweepOnce(healing) }))
		if !result.Mesh.Whole() {
			b.Fatalf("parts are %v", result.Mesh.Components())
		}
	}
	printSweep("in one mesh", nodes, took, processorTime(b, nodes)-before)
	if median(took) > mostSweep {
		b.Errorf("a sweep takes %s, more than %s", median(took), mostSweep)
	}
}

// printSweep prints how long sweeps took, by the clock and of the processors.
func printSweep(how string, nodes []*beam.Node, took []time.Duration, cpu time.Duration) {
	slices.Sort(took)
	fmt.Printf("a sweep of %d nodes %s takes %s (%s to %s), and %s of processor time, the nodes' included\n", len(nodes), how,
		median(took).Round(time.Millisecond), took[0].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond),
		(cpu / time.Duration(len(took))).Round(time.Millisecond))
}

// printRest prints what a node costs in the mesh when nothing happens in it.
func printRest(b *testing.B, nodes []*beam.Node, unlinked float64) {
	const rest = 20 * time.Second
	before := processorTime(b, nodes)
	time.Sleep(rest) // that is what is measured
	cpu := (processorTime(b, nodes) - before).Seconds() * float64(time.Minute/rest) / float64(len(nodes))
	linked := residentMemory(nodes)
	fmt.Printf("a node of %d takes %.1f MiB of memory, %.1f MiB before it was linked, so %.0f KiB for each link; and %.0f ms of processor time each minute\n",
		len(nodes), linked, unlinked, (linked-unlinked)*1024/float64(len(nodes)-1), cpu*1000)
}

// residentMemory is that of a node on average, in MiB.
func residentMemory(nodes []*beam.Node) float64 {
	var total int64
	for _, node := range nodes {
		total += node.Memory()
	}
	return float64(total) / float64(len(nodes)) / (1 << 20)
}

// startMany starts nodes, a few at a time.
func (c *cluster) startMany(count int) []*beam.Node {
	var nodes []*beam.Node
	for len(nodes) < count {
		few := min(4, count-len(nodes))
		for range few {
			host := c.Host(fmt.Sprintf("chat-%d", len(nodes)))
			nodes = append(nodes, host.Launch(beam.Options{OTP: "27", Cookie: cookie, FixedPort: port, TLS: c.tls(host)}))
		}
		for _, node := range nodes[len(nodes)-few:] {
			node.AwaitUp()
		}
	}
	return nodes
}

// processorTime is the CPU time of this process and the nodes.
func processorTime(b *testing.B, nodes []*beam.Node) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	total := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	for _, node := range nodes {
		total += node.CPU()
	}
	return total
}

func timed(f func()) time.Duration {
	begun := time.Now()
	f()
	return time.Since(begun)
}

// median sorts.
func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// quartile is the lower quartile.
func quartile(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/4]
}
