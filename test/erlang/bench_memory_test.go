//go:build erlang

package erlang

import (
	"fmt"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// BenchmarkMemory measures what the links of a node take of its memory: with none, with 10 and
// with 50 of them, and a while after each has carried messages in both directions.
func BenchmarkMemory(b *testing.B) {
	for _, otp := range beam.Releases {
		b.Run("OTP"+otp, func(b *testing.B) {
			if b.N > 1 {
				return // Once is enough.
			}
			fmt.Printf("\nOTP %s, MiB in RAM and MiB that Erlang has allocated\n%-30s %14s %14s %14s %14s %22s %22s\n", otp, "",
				"no link", "10 links", "50 links", "50, used", "KiB for each link", "KiB for each, used")
			for _, variant := range []variant{ours, otps, overTCP} {
				none, ten, fifty, used := memoryOfLinks(b, otp, variant)
				printMemory(variant.name, none, ten, fifty, used)
			}
		})
	}
}

// A footprint is the memory of a node in bytes, as the kernel sees it and as Erlang does.
type footprint struct{ resident, allocated float64 }

func printMemory(name string, none, ten, fifty, used footprint) {
	cell := func(f footprint) string { return fmt.Sprintf("%.1f, %.1f", f.resident/(1<<20), f.allocated/(1<<20)) }
	each := func(f footprint) string {
		return fmt.Sprintf("%.0f, %.0f", (f.resident-none.resident)/50/1024, (f.allocated-none.allocated)/50/1024)
	}
	fmt.Printf("%-30.30s %14s %14s %14s %14s %22s %22s\n", name, cell(none), cell(ten), cell(fifty), cell(used), each(fifty), each(used))
}

// memoryOfLinks links a node to others that are not linked to each other.
func memoryOfLinks(b *testing.B, otp string, v variant) (none, ten, fifty, used footprint) {
	v.args = append([]string{"-connect_all", "false"}, v.args...)
	c := newCluster(b)
	hosts := make([]*beam.Host, 6) // EPMD finds ten ports on each
	for i := range hosts {
		hosts[i] = c.Host(fmt.Sprintf("chat-%d", i))
		hosts[i].EPMD(otp)
	}
	var others []*beam.Node
	for i := range 50 {
		host := hosts[1+i/10]
		others = append(others, host.Launch(v.node(b, c, otp, host, fmt.Sprintf("n%d", i%10))))
	}
	node := hosts[0].Start(v.node(b, c, otp, hosts[0], "n0"))
	for _, other := range others {
		other.AwaitUp()
	}
	conn := mustDial(b, v.dialer(c, node), node.Name)
	call := func(function string, nodes []*beam.Node, args ...erldist.Term) {
		for _, other := range nodes {
			mustCall(b, conn, "bench", function, append([]erldist.Term{erldist.Atom(other.Name)}, args...)...)
		}
	}
	measure := func() footprint {
		return footprint{resident: float64(node.Memory()), allocated: float64(mustCall(b, conn, "bench", "memory").(erldist.Int))}
	}
	none = measure()
	call("link", others[:10])
	ten = measure()
	call("link", others[10:])
	fifty = measure()
	call("exchange", others, erldist.Int(16<<10), erldist.Int(256))
	time.Sleep(10 * time.Second) // of rest
	used = measure()
	for _, other := range others {
		other.Kill()
	}
	node.Kill()
	return none, ten, fifty, used
}
