//go:build erlang

package probe

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/probe/sweep"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// members is how many nodes BenchmarkSweep sweeps: -members=100 is the promise of
// two seconds on two cores, and takes some 6 GB of memory.
var members = flag.Int("members", 10, "nodes in BenchmarkSweep")

// BenchmarkSweep meshes some nodes, and prints how long that took, and how long a
// sweep of the whole mesh takes.
func BenchmarkSweep(b *testing.B) {
	c := newCluster(b)
	nodes := make([]*beam.Node, *members)
	targets := make([]sweep.Member, *members)
	for i := range nodes {
		nodes[i] = c.start("27", i)
		targets[i] = sweep.Member{Target: target(nodes[i])}
	}
	options := sweep.Options{Concurrency: 16, HealingTime: time.Minute}

	begun := time.Now()
	result := sweep.Run(b.Context(), c.verifier, targets, options)
	fmt.Printf("%d nodes became one mesh in %s, by %d calls\n", len(nodes), time.Since(begun).Round(time.Millisecond), len(result.Made))
	for i, outcome := range result.Outcomes {
		targets[i].ProvenAt = outcome.Incarnation
	}
	for b.Loop() {
		result = sweep.Run(b.Context(), c.verifier, targets, options)
		if !result.Mesh.Whole() {
			b.Fatalf("parts are %v", result.Mesh.Components())
		}
	}
	fmt.Printf("a sweep of %d nodes takes %s\n", len(nodes), (b.Elapsed() / time.Duration(b.N)).Round(time.Millisecond))
}
