//go:build erlang

package erlang

import (
	"fmt"
	"testing"

	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// trips is how many round trips BenchmarkTrips makes at a time.
const trips = 2000

// BenchmarkTrips shows what a round trip is spent on: which processes of both nodes run for it
// and for how long, as their tracing tells, which takes time itself, and the processor time of both
// nodes where each has one scheduler, which does not spin when there is nothing to do.
func BenchmarkTrips(b *testing.B) {
	for _, otp := range beam.Releases {
		b.Run("OTP"+otp, func(b *testing.B) {
			var alone []*pair
			for _, v := range []variant{ours, overTCP} {
				fmt.Printf("\nOTP %s, %s\n", otp, v.name)
				printHandOvers(b, newPair(b, otp, places[0], v))
				v.args = []string{"+S", "1", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"}
				alone = append(alone, newPair(b, otp, places[0], v))
			}
			for b.Loop() {
				for _, p := range alone {
					p.measureTrips()
				}
			}
			for _, p := range alone {
				fmt.Printf("%s, one scheduler each: %.1f µs of processor time for a round trip of %.1f µs\n", p.name, p.median(processor), p.median(inARow)/1e3)
			}
		})
	}
}

func printHandOvers(b *testing.B, p *pair) {
	for _, run := range mustCall(b, p.conn, "bench", "hand_overs", p.other(), erldist.Int(trips)).(erldist.List) {
		run := run.(erldist.Tuple)
		fmt.Printf("  %s: %s, %.2f times for each round trip, %.1f µs each time\n", run[0], run[1],
			float64(run[2].(erldist.Int))/100, float64(run[3].(erldist.Int))/1e3)
	}
}

// measureTrips measures round trips in a row, and the processor time of each.
func (p *pair) measureTrips() {
	before := p.processorTime()
	p.add(inARow, mustCall(p.t, p.conn, "bench", "round_trip", p.other(), erldist.Int(trips), erldist.Int(0)))
	p.results[processor] = append(p.results[processor], float64((p.processorTime()-before).Microseconds())/trips)
}
