package mesh

import (
	"cmp"
	"slices"
)

// Mesh is what the expected nodes report of each other. A node that has no view could not
// be verified, so its links are unknown.
type Mesh struct {
	nodes   []string
	viewed  []bool
	reports [][]bool // reports[a][b]: a reports being linked to b
}

// Of makes the mesh of the expected nodes from the view of each that has one: the
// names that erlang:nodes/0 gave. Names that are not expected are left out.
func Of(expected []string, views map[string][]string) Mesh {
	index := make(map[string]int, len(expected))
	for i, node := range expected {
		index[node] = i
	}
	m := Mesh{nodes: slices.Clone(expected), viewed: make([]bool, len(expected)), reports: make([][]bool, len(expected))}
	for i, node := range expected {
		m.reports[i] = make([]bool, len(expected))
		view, viewed := views[node]
		m.viewed[i] = viewed
		for _, peer := range view {
			if j, member := index[peer]; member {
				m.reports[i][j] = true
			}
		}
	}
	return m
}

// Without is the mesh as if neither end of these links reported them.
func (m Mesh) Without(links []Edge) Mesh {
	reports := make([][]bool, len(m.reports))
	for a := range m.reports {
		reports[a] = slices.Clone(m.reports[a])
	}
	for _, pair := range m.indices(links) {
		reports[pair[0]][pair[1]], reports[pair[1]][pair[0]] = false, false
	}
	m.reports = reports
	return m
}

// Nodes are the expected nodes.
func (m Mesh) Nodes() []string { return slices.Clone(m.nodes) }

// Links counts the pairs of nodes of which both ends report the link.
func (m Mesh) Links() int {
	links := 0
	for a := range m.nodes {
		for b := range a {
			if m.linked(a, b) {
				links++
			}
		}
	}
	return links
}

// HasLink reports whether both ends report a link.
func (m Mesh) HasLink(edge Edge) bool {
	pairs := m.indices([]Edge{edge})
	return len(pairs) == 1 && m.linked(pairs[0][0], pairs[0][1])
}

// Reported reports whether the end that a link starts from reports it.
func (m Mesh) Reported(edge Edge) bool {
	pairs := m.indices([]Edge{edge})
	return len(pairs) == 1 && m.reports[pairs[0][0]][pairs[0][1]]
}

// Lost are the links of an earlier mesh that no longer exist, though both ends still have a
// view. Links of a node that is gone, or that restarted in between, do not count.
func (m Mesh) Lost(earlier Mesh, restarted ...string) (lost []Edge) {
	there := func(a int) bool { return m.viewed[a] && !slices.Contains(restarted, m.nodes[a]) }
	for a := range m.nodes {
		for b := range a {
			if earlier.linked(a, b) && !m.linked(a, b) && there(a) && there(b) {
				lost = append(lost, Edge{From: m.nodes[b], To: m.nodes[a]})
			}
		}
	}
	return lost
}

// Whole reports whether every node reports every other.
func (m Mesh) Whole() bool { return m.Links() == len(m.nodes)*(len(m.nodes)-1)/2 }

// WholeAround reports whether the nodes of the part that a node belongs to all report
// each other.
func (m Mesh) WholeAround(node string) bool {
	at := slices.Index(m.nodes, node)
	return at >= 0 && m.wholePart(m.partOf(at))
}

func (m Mesh) wholePart(part []int) bool {
	for i, a := range part {
		for _, b := range part[:i] {
			if !m.linked(a, b) {
				return false
			}
		}
	}
	return true
}

// Linked are the members that a node reports being linked to.
func (m Mesh) Linked(node string) []string { return m.row(node, true) }

// Missing are the members that a node should be linked to and reports no link
// with. Of a node without a view nothing is known, so nothing is missing.
func (m Mesh) Missing(node string) []string { return m.row(node, false) }

func (m Mesh) row(node string, reported bool) []string {
	a := slices.Index(m.nodes, node)
	if a < 0 || !m.viewed[a] {
		return nil
	}
	var row []string
	for b, peer := range m.nodes {
		if a != b && m.reports[a][b] == reported {
			row = append(row, peer)
		}
	}
	return row
}

// Asymmetric are the links that one end reports and the other, which was asked too, does
// not. From is the end that does not: it is the one that can make the link again.
func (m Mesh) Asymmetric() []Edge {
	var edges []Edge
	for a := range m.nodes {
		for b := range m.nodes {
			if m.viewed[a] && m.reports[b][a] && !m.reports[a][b] {
				edges = append(edges, Edge{From: m.nodes[a], To: m.nodes[b]})
			}
		}
	}
	return edges
}

// Components are the parts that the nodes fall into, the largest first: within
// one, links that both ends report lead from each node to each other. A node
// without a view is a part of its own.
func (m Mesh) Components() [][]string {
	var components [][]string
	for _, part := range m.parts() {
		names := make([]string, len(part))
		for i, a := range part {
			names[i] = m.nodes[a]
		}
		components = append(components, names)
	}
	return components
}

func (m Mesh) linked(a, b int) bool { return m.reports[a][b] && m.reports[b][a] }

// partOf is the part that a node belongs to.
func (m Mesh) partOf(a int) []int {
	parts := m.parts()
	return parts[slices.IndexFunc(parts, func(part []int) bool { return slices.Contains(part, a) })]
}

func (m Mesh) parts() [][]int {
	seen := make([]bool, len(m.nodes))
	var parts [][]int
	for a := range m.nodes {
		if seen[a] {
			continue
		}
		seen[a] = true
		part := []int{a}
		for next := 0; next < len(part); next++ {
			for b := range m.nodes {
				if !seen[b] && m.linked(part[next], b) {
					seen[b] = true
					part = append(part, b)
				}
			}
		}
		slices.Sort(part)
		parts = append(parts, part)
	}
	slices.SortStableFunc(parts, func(x, y []int) int { return cmp.Compare(len(y), len(x)) })
	return parts
}
