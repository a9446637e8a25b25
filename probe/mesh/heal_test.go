package mesh_test

import (
	"fmt"
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/probe/mesh"
)

// world is a model of nodes that run with connect_all, as OTP's default is: one
// link between two groups makes one full mesh of both.
type world struct {
	nodes    []string
	verified map[string]bool
	links    map[[2]string]bool
}

func (w world) linked(a, b string) bool { return w.links[[2]string{a, b}] }

func (w world) link(a, b string) {
	if a != b {
		w.links[[2]string{a, b}], w.links[[2]string{b, a}] = true, true
	}
}

// group is a node and everything that it is linked to, directly or not.
func (w world) group(node string) []string {
	group := []string{node}
	for next := 0; next < len(group); next++ {
		for _, peer := range w.nodes {
			if w.linked(group[next], peer) && !slices.Contains(group, peer) {
				group = append(group, peer)
			}
		}
	}
	return group
}

func (w world) connect(edge mesh.Edge) {
	all := append(w.group(edge.From), w.group(edge.To)...)
	for _, a := range all {
		for _, b := range all {
			w.link(a, b)
		}
	}
}

// mesh is what the probe sees of the world.
func (w world) mesh() mesh.Mesh {
	views := map[string][]string{}
	for _, node := range w.nodes {
		if !w.verified[node] {
			continue
		}
		views[node] = []string{}
		for _, peer := range w.nodes {
			if w.linked(node, peer) {
				views[node] = append(views[node], peer)
			}
		}
	}
	return mesh.Of(w.nodes, views)
}

func nodesOf(t *rapid.T) world {
	w := world{verified: map[string]bool{}, links: map[[2]string]bool{}}
	for i := range rapid.IntRange(1, 12).Draw(t, "nodes") {
		w.nodes = append(w.nodes, fmt.Sprintf("n%02d", i))
	}
	return w
}

// TestHealingVerifiedGroups: from any partition of verified nodes into groups that
// are meshed in themselves, n groups become one in n-1 calls. Each has exactly those
// nodes connect that Between names.
func TestHealingVerifiedGroups(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := nodesOf(t)
		groups := map[int][]string{}
		for _, node := range w.nodes {
			w.verified[node] = true
			group := rapid.IntRange(0, 4).Draw(t, "group of "+node)
			for _, peer := range groups[group] {
				w.link(node, peer)
			}
			groups[group] = append(groups[group], node)
		}

		links, steps := 0, 0
		for edges := w.mesh().Next(nil); len(edges) > 0; edges = w.mesh().Next(nil) {
			m := w.mesh()
			for _, edge := range edges {
				checkConnects(t, w, edge, m.Between(edge))
			}
			links += len(edges)
			steps++
		}
		if !w.mesh().Whole() || links != len(groups)-1 || steps != bits.Len(uint(links)) {
			t.Fatalf("%d links in %d steps for %d groups leave the parts %v", links, steps, len(groups), w.mesh().Components())
		}
	})
}

// checkConnects makes a link and checks which nodes it has connect.
func checkConnects(t *rapid.T, w world, edge mesh.Edge, want []mesh.Edge) {
	links := len(w.links) / 2
	w.connect(edge)
	for _, pair := range want {
		if !w.linked(pair.From, pair.To) {
			t.Fatalf("%v has not linked %v", edge, pair)
		}
	}
	if made := len(w.links)/2 - links; made != len(want) {
		t.Fatalf("%v has made %d links, and %d are between its ends", edge, made, len(want))
	}
}

// TestHealingIsCareful: whatever the nodes report, and whichever links fail, a
// proposal touches verified nodes only, is not a link already, is never joined to
// an unverified node by anybody's report, does not try a failed pair of parts
// again, concerns no node that another one of the same step does, and proposals
// come to an end.
func TestHealingIsCareful(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := nodesOf(t)
		for _, node := range w.nodes {
			w.verified[node] = rapid.Bool().Draw(t, node+" verified")
		}
		for _, a := range w.nodes {
			for _, b := range w.nodes {
				if a != b && rapid.IntRange(0, 9).Draw(t, "link") < 2 {
					w.links[[2]string{a, b}] = true // one way: reports may be stale
				}
			}
		}

		var tried []mesh.Edge
		for range len(w.nodes) * len(w.nodes) {
			m := w.mesh()
			edges := m.Next(tried)
			if len(edges) == 0 {
				return
			}
			var concerned []string
			for _, edge := range edges {
				checkCareful(t, w, m, edge, tried)
				around := concernedBy(m, edge)
				if slices.ContainsFunc(around, func(node string) bool { return slices.Contains(concerned, node) }) {
					t.Fatalf("%v concern the same nodes", edges)
				}
				concerned = append(concerned, around...)
			}
			for _, edge := range edges {
				if rapid.Bool().Draw(t, "made") {
					w.connect(edge)
				} else {
					tried = append(tried, edge)
				}
			}
		}
		t.Fatalf("proposals do not come to an end")
	})
}

func checkCareful(t *rapid.T, w world, m mesh.Mesh, edge mesh.Edge, tried []mesh.Edge) {
	if !w.verified[edge.From] || !w.verified[edge.To] {
		t.Fatalf("%v is not between verified nodes", edge)
	}
	if w.linked(edge.From, edge.To) {
		t.Fatalf("%v starts from the end that believes in the link", edge)
	}
	for _, part := range m.Components() {
		if !slices.Contains(part, edge.From) && !slices.Contains(part, edge.To) {
			continue
		}
		for _, node := range part {
			for _, peer := range m.Linked(node) {
				if !w.verified[peer] {
					t.Fatalf("%v draws in %s, which is not verified, through %s", edge, peer, node)
				}
			}
		}
		for _, failed := range tried {
			between := slices.Contains(part, edge.From) != slices.Contains(part, edge.To)
			same := slices.Contains(part, failed.From) != slices.Contains(part, failed.To)
			if between && same && sameParts(m, edge, failed) {
				t.Fatalf("%v joins parts that %v failed to join", edge, failed)
			}
		}
	}
}

// concernedBy are the nodes that a link may have connect to others: its ends, who they report,
// who reports them, and so on.
func concernedBy(m mesh.Mesh, edge mesh.Edge) []string {
	nodes := []string{edge.From, edge.To}
	for next := 0; next < len(nodes); next++ {
		for _, peer := range m.Nodes() {
			reported := slices.Contains(m.Linked(nodes[next]), peer) || slices.Contains(m.Linked(peer), nodes[next])
			if reported && !slices.Contains(nodes, peer) {
				nodes = append(nodes, peer)
			}
		}
	}
	return nodes
}

// sameParts reports whether two edges go between the same two parts.
func sameParts(m mesh.Mesh, a, b mesh.Edge) bool {
	partOf := func(node string) int {
		return slices.IndexFunc(m.Components(), func(part []string) bool { return slices.Contains(part, node) })
	}
	x := []int{partOf(a.From), partOf(a.To)}
	y := []int{partOf(b.From), partOf(b.To)}
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}
