//go:build erlang

package erlang

import (
	_ "embed"
	"fmt"
	"os"
	"slices"
	"strings"
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
	leastOfTCP   = 0.6 // of the throughput of plain TCP, for messages of 16 kB
	mostOfTCP    = 1.3 // of its round trip
	leastOfPlain = 7.0 // of the throughput of OTP's own TLS, on OTP 25 and 27, between two hosts
)

// A place is where two nodes are, and what is between them.
type place struct {
	name  string
	apart bool
	delay time.Duration // of a round trip
}

var places = []place{
	{name: "one host"},
	{name: "two hosts", apart: true},
	{name: "1 ms apart", apart: true, delay: time.Millisecond},
	{name: "20 ms apart", apart: true, delay: 20 * time.Millisecond},
}

// A measure is something that is measured of a connection: bytes per second, or nanoseconds
// if there are no senders.
type measure struct {
	name, unit    string
	scale         float64
	senders, size erldist.Int
	pause         erldist.Int // milliseconds
}

var measures = []measure{
	{name: "1 kB", unit: "MB/s", scale: 1e6, senders: 1, size: 1 << 10},
	{name: sixteen, unit: "MB/s", scale: 1e6, senders: 1, size: 16 << 10},
	{name: "1 MB", unit: "MB/s", scale: 1e6, senders: 1, size: 1 << 20},
	{name: "ten of 16 kB", unit: "MB/s", scale: 1e6, senders: 10, size: 16 << 10},
	{name: atRest, unit: "µs", scale: 1e3, pause: 5},
	{name: inARow, unit: "µs", scale: 1e3},
}

// Names of measures.
const (
	sixteen   = "16 kB"
	atRest    = "trip at rest"
	inARow    = "trips in a row"
	processor = "CPU for 16 kB"
)

// A variant is a way to link two nodes. Without a file of TLS options, that is over TCP.
type variant struct {
	name, options string
	args          []string
}

var (
	ours    = variant{name: "the operator's", options: certs.Options()}
	otps    = variant{name: "OTP's own TLS", options: beam.DefaultOptionsFile}
	overTCP = variant{name: "TCP"}
)

// A pair is two nodes that are linked in one way.
type pair struct {
	variant
	t       testing.TB
	at      place
	nodes   [2]*beam.Node
	conn    *erldist.Conn
	results map[string][]float64
}

// BenchmarkMesh measures a link as the operator has nodes run it, with the TLS of OTP, and over
// plain TCP. It fails for no ratio, because what else a machine does changes them.
func BenchmarkMesh(b *testing.B) {
	onEachReleaseAndPlace(b, func(b *testing.B, otp string, at place) {
		pairs := measured(b, otp, at, ours, otps, overTCP)
		printTable(fmt.Sprintf("OTP %s, %s", otp, at.name), pairs, overTCP, otps)
		us, plain, tcp := pairs[0], pairs[1], pairs[2]
		judge("16 kB compared with TCP", us.median(sixteen)/tcp.median(sixteen), leastOfTCP, true)
		judge("round trip at rest compared with TCP", us.median(atRest)/tcp.median(atRest), mostOfTCP, false)
		judge("round trips in a row compared with TCP", us.median(inARow)/tcp.median(inARow), mostOfTCP, false)
		if at.apart && at.delay == 0 && otp != "29" {
			judge("16 kB compared with OTP's TLS", us.median(sixteen)/plain.median(sixteen), leastOfPlain, true)
		}
	})
}

func onEachReleaseAndPlace(b *testing.B, run func(*testing.B, string, place)) {
	for _, otp := range beam.Releases {
		for _, at := range places {
			b.Run("OTP"+otp+"/"+at.name, func(b *testing.B) { run(b, otp, at) })
		}
	}
}

// measured measures variants in rounds. In each round, all of them take their turns, each
// begins once before the others, and all have new connections: OTP chooses at random
// how many reads a TLS connection makes before it looks whether to go on.
func measured(b *testing.B, otp string, at place, variants ...variant) []*pair {
	var pairs []*pair
	for _, variant := range variants {
		pairs = append(pairs, newPair(b, otp, at, variant))
	}
	for round := 0; b.Loop(); round++ {
		for i := range pairs {
			pairs[(round+i)%len(pairs)].measure()
		}
	}
	return pairs
}

// newPair links two nodes.
func newPair(b *testing.B, otp string, at place, variant variant) *pair {
	b.Helper()
	c := newCluster(b)
	p := &pair{t: b, at: at, variant: variant, results: map[string][]float64{}}
	hosts := [2]*beam.Host{c.Host("chat-0")}
	hosts[1] = hosts[0]
	if at.apart {
		hosts[1] = c.Host("chat-1")
	}
	for i, host := range hosts {
		if i == 0 || at.apart {
			host.EPMD(otp)
		}
		p.nodes[i] = host.Start(variant.node(b, c, otp, host, fmt.Sprintf("n%d", i)))
	}
	p.conn = mustDial(b, variant.dialer(c, p.nodes[0]), p.nodes[0].Name)
	if got := mustCall(b, p.conn, "net_kernel", "connect_node", p.other()); got != erldist.Term(erldist.Atom("true")) {
		b.Fatalf("connect_node gives %v\n%s", got, p.nodes[0].Log())
	}
	if at.delay > 0 {
		hosts[1].Degrade(beam.Wire{Delay: at.delay / 2})
	}
	return p
}

// node is how a node of this variant is started.
func (v variant) node(t testing.TB, c *cluster, otp string, host *beam.Host, name string) beam.Options {
	options := beam.Options{OTP: otp, Name: name, Cookie: cookie, Files: map[string][]byte{"bench.erl": benchModule},
		Args: append([]string{"-pa", "/mnt", "-eval", `{ok, _} = compile:file("/mnt/bench", [{outdir, "/mnt"}])`}, v.args...)}
	if v.options != "" {
		identity := c.ca.Issue(host.Name)
		for path, content := range podFiles(t, identity, c.ca.PEM) {
			options.Files[path] = content
		}
		options.TLS = &beam.TLS{Identity: identity, CAs: c.ca.PEM, OptionsFile: v.options}
	}
	return options
}

func (v variant) dialer(c *cluster, node *beam.Node) *erldist.Dialer {
	if v.options == "" {
		return node.Dialer()
	}
	return c.dialer(node)
}

// measure takes each measure once, of a new connection.
func (p *pair) measure() {
	p.t.Helper()
	mustCall(p.t, p.conn, "bench", "relink", p.other())
	lasts, times := 400*time.Millisecond, 100
	if p.at.delay > 0 {
		lasts, times = time.Second+50*p.at.delay, 20
	}
	for _, measure := range measures {
		if measure.senders == 0 {
			p.add(measure.name, mustCall(p.t, p.conn, "bench", "round_trip", p.other(), erldist.Int(times), measure.pause))
			continue
		}
		before := p.processorTime()
		rate := p.add(measure.name, mustCall(p.t, p.conn, "bench", "throughput", p.other(), measure.senders, measure.size, erldist.Int(lasts.Milliseconds())))
		if measure.name == sixteen {
			p.results[processor] = append(p.results[processor], (p.processorTime()-before).Seconds()/(rate*lasts.Seconds()/1e9))
		}
	}
}

func (p *pair) other() erldist.Atom { return erldist.Atom(p.nodes[1].Name) }

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

func (p *pair) median(name string) float64 { return median(p.results[name]) }

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// printTable prints the medians of some pairs, from the least to the most in brackets, and
// how the first one compares with some others.
func printTable(title string, pairs []*pair, others ...variant) {
	columns := append(slices.Clone(measures), measure{name: processor, unit: "s/GB", scale: 1})
	row := func(name string, cell func(measure) string) {
		fmt.Printf("%-30.30s", name)
		for _, column := range columns {
			fmt.Printf(" %18s", cell(column))
		}
		fmt.Println()
	}
	fmt.Printf("\n%s, %d rounds, %s\n", title, len(pairs[0].results[sixteen]), machineLoad())
	row("", func(m measure) string { return m.name + " " + m.unit })
	for _, p := range pairs {
		row(p.name, func(m measure) string {
			digits := 0
			if m.scale == 1 {
				digits = 2
			}
			values := p.results[m.name]
			return fmt.Sprintf("%.*f (%.*f–%.*f)", digits, median(values)/m.scale, digits, slices.Min(values)/m.scale, digits, slices.Max(values)/m.scale)
		})
	}
	for _, other := range others {
		at := slices.IndexFunc(pairs, func(p *pair) bool { return p.name == other.name })
		row("to "+other.name, func(m measure) string { return fmt.Sprintf("%.2f", pairs[0].median(m.name)/pairs[at].median(m.name)) })
	}
}

// machineLoad is the load of the machine in the last minute, the benchmark's own included.
func machineLoad() string {
	load, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(load), " ")
	return "load " + first
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
