//go:build erlang

package erlang

import (
	_ "embed"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

//go:embed testdata/bench.erl
var benchModule []byte

// What docs/performance.md promises of the distribution.
const (
	leastOfTCP   = 0.6 // of the throughput of plain TCP, for messages of 16 kB on one host
	mostOfTCP    = 1.3 // of its round trip
	leastOfPlain = 7.0 // of the throughput of OTP's own TLS, on OTP 25 and 27, between two hosts
)

// A place is where two nodes are, and what is between them.
type place struct {
	name  string
	apart bool
	delay time.Duration
}

var places = []place{
	{name: "one host"},
	{name: "two hosts", apart: true},
	{name: "1 ms apart", apart: true, delay: time.Millisecond / 2},
	{name: "20 ms apart", apart: true, delay: 10 * time.Millisecond},
}

// What is measured of a connection: bytes per second, and nanoseconds.
var measures = []struct {
	name          string
	senders, size erldist.Int
}{
	{"1 kB", 1, 1 << 10}, {"16 kB", 1, 16 << 10}, {"1 MB", 1, 1 << 20}, {"16 kB, ten senders", 10, 16 << 10},
	{"round trip", 0, 0}, {"one after the other", 0, 1},
}

// A pair is two nodes that are linked in one of three ways.
type pair struct {
	t           testing.TB
	name        string
	nodes       [2]*beam.Node
	conn        *erldist.Conn
	results     map[string][]float64
	cpu, volume float64 // seconds, and GB sent in them, for 16 kB
}

// BenchmarkMesh measures a link as the operator has nodes run it, with the TLS of OTP, and over plain
// TCP, in turns, and prints the best of each and their ratios. It fails for no ratio, because
// what else a machine does changes them.
func BenchmarkMesh(b *testing.B) {
	for _, otp := range beam.Releases {
		for _, place := range places {
			b.Run("OTP"+otp+"/"+place.name, func(b *testing.B) { benchmarkLink(b, otp, place) })
		}
	}
}

func benchmarkLink(b *testing.B, otp string, at place) {
	ours, otps, tcp := newPair(b, otp, at, "ours", certs.Options()), newPair(b, otp, at, "OTP's TLS", beam.DefaultOptionsFile), newPair(b, otp, at, "TCP", "")
	for b.Loop() {
		for _, pair := range []*pair{ours, otps, tcp} {
			pair.measure()
		}
	}
	fmt.Printf("\nOTP %s, %s      %10s %10s %10s   to TCP  to OTP's\n", otp, at.name, ours.name, otps.name, tcp.name)
	for _, measure := range measures {
		unit, scale := "MB/s", 1e6
		if measure.senders == 0 {
			unit, scale = "µs", 1e3
		}
		least := measure.senders == 0
		a, b, c := ours.best(measure.name, least)/scale, otps.best(measure.name, least)/scale, tcp.best(measure.name, least)/scale
		fmt.Printf("%-20s %-4s %10.0f %10.0f %10.0f %8.2f %8.2f\n", measure.name, unit, a, b, c, a/c, a/b)
	}
	fmt.Printf("%-20s %-4s %10.1f %10.1f %10.1f\n", "CPU per GB", "s", ours.cpu/ours.volume, otps.cpu/otps.volume, tcp.cpu/tcp.volume)
	if at.delay == 0 {
		judge("16 kB compared with TCP", ours.best("16 kB", false)/tcp.best("16 kB", false), leastOfTCP, true)
		judge("round trip compared with TCP", ours.best("round trip", true)/tcp.best("round trip", true), mostOfTCP, false)
	}
	if at.apart && at.delay == 0 && otp != "29" {
		judge("16 kB compared with OTP's TLS", ours.best("16 kB", false)/otps.best("16 kB", false), leastOfPlain, true)
	}
}

// judge compares a ratio with its limit.
func judge(what string, ratio, limit float64, least bool) {
	verdict, side := "PASS", "most"
	if least {
		side = "least"
	}
	if (ratio < limit) == least {
		verdict = "FAIL"
	}
	fmt.Printf("%s  %s: %.2f, at %s %.1f\n", verdict, what, ratio, side, limit)
}

// newPair links two nodes; without an options file they have no TLS.
func newPair(b *testing.B, otp string, at place, name, optionsFile string) *pair {
	b.Helper()
	c := newCluster(b)
	p := &pair{t: b, name: name, results: map[string][]float64{}}
	hosts := [2]*beam.Host{c.Host("chat-0")}
	hosts[1] = hosts[0]
	if at.apart {
		hosts[1] = c.Host("chat-1")
	}
	for i, host := range hosts {
		if i == 0 || at.apart {
			host.EPMD(otp)
		}
		options := beam.Options{OTP: otp, Name: fmt.Sprintf("n%d", i), Cookie: cookie, Files: map[string][]byte{"bench.erl": benchModule},
			Args: []string{"-pa", "/mnt", "-eval", `{ok, _} = compile:file("/mnt/bench", [{outdir, "/mnt"}])`}}
		if optionsFile != "" {
			identity := c.ca.Issue(host.Name)
			for path, content := range podFiles(b, identity, c.ca.PEM) {
				options.Files[path] = content
			}
			options.TLS = &beam.TLS{Identity: identity, CAs: c.ca.PEM, OptionsFile: optionsFile}
		}
		p.nodes[i] = host.Start(options)
	}
	dialer := p.nodes[0].Dialer()
	if optionsFile != "" {
		dialer = c.dialer(p.nodes[0])
	}
	p.conn = mustDial(b, dialer, p.nodes[0].Name)
	if got := mustCall(b, p.conn, "net_kernel", "connect_node", erldist.Atom(p.nodes[1].Name)); got != erldist.Term(erldist.Atom("true")) {
		b.Fatalf("connect_node gives %v\n%s", got, p.nodes[0].Log())
	}
	if at.delay > 0 {
		hosts[1].Degrade(beam.Wire{Delay: at.delay})
	}
	return p
}

// measure takes each measure once.
func (p *pair) measure() {
	p.t.Helper()
	other := erldist.Atom(p.nodes[1].Name)
	for _, measure := range measures {
		if measure.senders == 0 {
			p.add(measure.name, mustCall(p.t, p.conn, "bench", "round_trip", other, erldist.Int(100), 5*(1-measure.size)))
			continue
		}
		before := p.processorTime()
		rate := p.add(measure.name, mustCall(p.t, p.conn, "bench", "throughput", other, measure.senders, measure.size, erldist.Int(400)))
		if measure.name == "16 kB" {
			p.cpu += (p.processorTime() - before).Seconds()
			p.volume += rate * 0.4 / 1e9
		}
	}
}

func (p *pair) processorTime() time.Duration { return p.nodes[0].CPU() + p.nodes[1].CPU() }

func (p *pair) add(name string, result erldist.Term) float64 {
	p.t.Helper()
	value, ok := result.(erldist.Int)
	if !ok {
		p.t.Fatalf("%s of %s: %v", name, p.name, result)
	}
	p.results[name] = append(p.results[name], float64(value))
	return float64(value)
}

// best is the best result, in which what else the machine does shows least.
func (p *pair) best(name string, least bool) float64 {
	if least {
		return slices.Min(p.results[name])
	}
	return slices.Max(p.results[name])
}
