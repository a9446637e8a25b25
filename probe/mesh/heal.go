package mesh

import "slices"

// Edge is a link to be made: From connects to To.
type Edge struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Next are the links to make now, all at once; there is none when nothing can be done. After
// they were made, or failed, the mesh has to be observed again: tried are the links that
// failed since.
//
// When two nodes cannot connect, OTP drops links of others
// (prevent_overlapping_partitions of global(3kernel)), so a link is proposed only where
// that cannot happen:
//   - both ends have a view, which only verified nodes have;
//   - no node on either side is linked to an expected node that is not verified, because
//     global would make the new side connect to that one too;
//   - no link between the same two parts has failed;
//   - no other link of that time concerns the same nodes, those included that one end alone
//     reports: global would have nodes connect to some that are just joining others.
//
// A part that misses links within itself gets one of those: it should be whole before it
// becomes larger. Of the others two at a time are joined, by a single link: the nodes make the
// rest themselves. So n nodes that are not linked become one mesh in log2(n) steps.
func (m Mesh) Next(tried []Edge) (edges []Edge) {
	failed, parts := m.indices(tried), m.healable()
	taken := make([]bool, len(m.nodes))
	propose := func(a, b int, concerned []int) {
		if !slices.ContainsFunc(concerned, func(node int) bool { return taken[node] }) {
			edges = append(edges, m.edge(a, b))
			for _, node := range concerned {
				taken[node] = true
			}
		}
	}
	for _, part := range parts {
		if a, b, missing := m.missingWithin(part, failed); missing {
			propose(a, b, m.concerned(part))
		}
	}
	for i, home := range parts {
		for _, other := range parts[i+1:] {
			if !taken[home[0]] && !taken[other[0]] && !joinsAny(failed, home, other) {
				a, b := m.closest(home, other)
				propose(a, b, m.concerned(home, other))
			}
		}
	}
	return edges
}

// missingWithin are the ends of a link that a part misses and that has not failed.
func (m Mesh) missingWithin(part []int, failed [][2]int) (a, b int, missing bool) {
	for i, a := range part {
		for _, b := range part[i+1:] {
			if !m.linked(a, b) && !joinsAny(failed, []int{a}, []int{b}) {
				return a, b, true
			}
		}
	}
	return 0, 0, false
}

// concerned are the nodes of some parts, those that one of them reports or is reported by, and
// so on.
func (m Mesh) concerned(parts ...[]int) []int {
	nodes := slices.Concat(parts...)
	for next := 0; next < len(nodes); next++ {
		for b := range m.nodes {
			if (m.reports[nodes[next]][b] || m.reports[b][nodes[next]]) && !slices.Contains(nodes, b) {
				nodes = append(nodes, b)
			}
		}
	}
	return nodes
}

// Between are the pairs of nodes that a link makes connect to each other: each node of one part
// and each of the other, or the ends alone if they are in one part.
func (m Mesh) Between(edge Edge) (pairs []Edge) {
	ends := m.indices([]Edge{edge})
	if len(ends) == 0 {
		return nil
	}
	from, to := m.partOf(ends[0][0]), m.partOf(ends[0][1])
	if slices.Contains(from, ends[0][1]) {
		return []Edge{edge}
	}
	for _, a := range from {
		for _, b := range to {
			pairs = append(pairs, Edge{From: m.nodes[a], To: m.nodes[b]})
		}
	}
	return pairs
}

// Concerns reports whether one of some links has an end in one of the parts that a link joins.
func (m Mesh) Concerns(edge Edge, links []Edge) bool {
	for _, ends := range m.indices([]Edge{edge}) {
		joined := slices.Concat(m.partOf(ends[0]), m.partOf(ends[1]))
		for _, link := range m.indices(links) {
			if slices.Contains(joined, link[0]) || slices.Contains(joined, link[1]) {
				return true
			}
		}
	}
	return false
}

// healable are the parts in and between which it is safe to make links.
func (m Mesh) healable() [][]int {
	var healable [][]int
	for _, part := range m.parts() {
		if m.sound(part) {
			healable = append(healable, part)
		}
	}
	return healable
}

// sound reports whether all nodes of a part are verified, and linked to verified ones
// only.
func (m Mesh) sound(part []int) bool {
	for _, a := range part {
		if !m.viewed[a] {
			return false
		}
		for b := range m.nodes {
			if m.reports[a][b] && !m.viewed[b] {
				return false
			}
		}
	}
	return true
}

// closest are the ends of the link that joins two parts: one that one end reports already,
// or else the first node of each.
func (m Mesh) closest(home, other []int) (a, b int) {
	for _, a := range home {
		for _, b := range other {
			if m.reports[a][b] || m.reports[b][a] {
				return a, b
			}
		}
	}
	return home[0], other[0]
}

// edge starts from the end that does not report the link: the other one would answer that
// it is connected.
func (m Mesh) edge(a, b int) Edge {
	if m.reports[a][b] {
		a, b = b, a
	}
	return Edge{From: m.nodes[a], To: m.nodes[b]}
}

func (m Mesh) indices(edges []Edge) [][2]int {
	index := make(map[string]int, len(m.nodes))
	for i, node := range m.nodes {
		index[node] = i
	}
	var pairs [][2]int
	for _, edge := range edges {
		from, known := index[edge.From]
		to, alsoKnown := index[edge.To]
		if known && alsoKnown {
			pairs = append(pairs, [2]int{from, to})
		}
	}
	return pairs
}

// joinsAny reports whether one of the pairs has an end in each of two sets of nodes.
func joinsAny(pairs [][2]int, one, other []int) bool {
	for _, pair := range pairs {
		if slices.Contains(one, pair[0]) && slices.Contains(other, pair[1]) || slices.Contains(one, pair[1]) && slices.Contains(other, pair[0]) {
			return true
		}
	}
	return false
}
