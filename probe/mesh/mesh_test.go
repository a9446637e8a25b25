package mesh_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/erlang-operator/erlang-operator/probe/mesh"
)

func TestMesh(t *testing.T) {
	type judgement struct {
		Links      int
		Whole      bool
		Components [][]string
		Missing    map[string][]string
		Asymmetric []mesh.Edge
		Next       []mesh.Edge
	}
	for name, tc := range map[string]struct {
		expected []string
		views    map[string][]string
		tried    []mesh.Edge
		want     judgement
	}{
		"no node is a whole mesh": {
			want: judgement{Whole: true},
		},
		"one node is a whole mesh": {
			expected: []string{"a"},
			views:    map[string][]string{"a": {"unexpected"}},
			want:     judgement{Whole: true, Components: [][]string{{"a"}}},
		},
		"nothing is proposed on a whole mesh": {
			expected: []string{"a", "b", "c"},
			views:    map[string][]string{"a": {"b", "c"}, "b": {"a", "c"}, "c": {"b", "a"}},
			want:     judgement{Links: 3, Whole: true, Components: [][]string{{"a", "b", "c"}}},
		},
		"parts are joined from the largest": {
			expected: []string{"a", "b", "c"},
			views:    map[string][]string{"a": {}, "b": {"c"}, "c": {"b"}},
			want: judgement{
				Links: 1, Components: [][]string{{"b", "c"}, {"a"}},
				Missing: map[string][]string{"a": {"b", "c"}, "b": {"a"}, "c": {"a"}},
				Next:    []mesh.Edge{{From: "b", To: "a"}},
			},
		},
		"two parts at a time are joined, and all at once": {
			expected: []string{"a", "b", "c", "d", "e", "f"},
			views:    map[string][]string{"a": {}, "b": {}, "c": {}, "d": {}, "e": {"f"}, "f": {"e"}},
			want: judgement{
				Links: 1, Components: [][]string{{"e", "f"}, {"a"}, {"b"}, {"c"}, {"d"}},
				Missing: map[string][]string{
					"a": {"b", "c", "d", "e", "f"}, "b": {"a", "c", "d", "e", "f"}, "c": {"a", "b", "d", "e", "f"},
					"d": {"a", "b", "c", "e", "f"}, "e": {"a", "b", "c", "d"}, "f": {"a", "b", "c", "d"},
				},
				Next: []mesh.Edge{{From: "e", To: "a"}, {From: "b", To: "c"}},
			},
		},
		"parts that one end believes to be joined are not joined with others at once": {
			expected: []string{"a", "b", "c", "d", "e"},
			views:    map[string][]string{"a": {}, "b": {}, "c": {"d"}, "d": {"e"}, "e": {}},
			tried:    []mesh.Edge{{From: "d", To: "c"}, {From: "a", To: "b"}},
			want: judgement{
				Components: [][]string{{"a"}, {"b"}, {"c"}, {"d"}, {"e"}},
				Missing: map[string][]string{
					"a": {"b", "c", "d", "e"}, "b": {"a", "c", "d", "e"}, "c": {"a", "b", "e"}, "d": {"a", "b", "c"}, "e": {"a", "b", "c", "d"},
				},
				Asymmetric: []mesh.Edge{{From: "d", To: "c"}, {From: "e", To: "d"}},
				Next:       []mesh.Edge{{From: "a", To: "c"}},
			},
		},
		"an unverified node is left alone": {
			expected: []string{"a", "b", "c"},
			views:    map[string][]string{"a": {}, "b": {}},
			want: judgement{
				Components: [][]string{{"a"}, {"b"}, {"c"}},
				Missing:    map[string][]string{"a": {"b", "c"}, "b": {"a", "c"}},
				Next:       []mesh.Edge{{From: "a", To: "b"}},
			},
		},
		"a part that holds on to an unverified node is left alone": {
			expected: []string{"a", "b", "c"},
			views:    map[string][]string{"a": {"c"}, "b": {}},
			want: judgement{
				Components: [][]string{{"a"}, {"b"}, {"c"}},
				Missing:    map[string][]string{"a": {"b"}, "b": {"a", "c"}},
			},
		},
		"parts between which a link failed are left alone": {
			expected: []string{"a", "b", "c"},
			views:    map[string][]string{"a": {"b"}, "b": {"a"}, "c": {}},
			tried:    []mesh.Edge{{From: "b", To: "c"}},
			want: judgement{
				Links: 1, Components: [][]string{{"a", "b"}, {"c"}},
				Missing: map[string][]string{"a": {"c"}, "b": {"c"}, "c": {"a", "b"}},
			},
		},
		"missing links within a part come first": {
			expected: []string{"a", "b", "c", "d"},
			views:    map[string][]string{"a": {"b"}, "b": {"a", "c"}, "c": {"b"}, "d": {}},
			want: judgement{
				Links: 2, Components: [][]string{{"a", "b", "c"}, {"d"}},
				Missing: map[string][]string{"a": {"c", "d"}, "b": {"d"}, "c": {"a", "d"}, "d": {"a", "b", "c"}},
				Next:    []mesh.Edge{{From: "a", To: "c"}},
			},
		},
		"a missing link within a part that failed is not tried again": {
			expected: []string{"a", "b", "c"},
			views:    map[string][]string{"a": {"b"}, "b": {"a", "c"}, "c": {"b"}},
			tried:    []mesh.Edge{{From: "c", To: "a"}},
			want: judgement{
				Links: 2, Components: [][]string{{"a", "b", "c"}},
				Missing: map[string][]string{"a": {"c"}, "c": {"a"}},
			},
		},
		"parts are joined where one end believes that they are": {
			expected: []string{"a", "b", "c"},
			views:    map[string][]string{"a": {"b"}, "b": {"a", "c"}, "c": {}},
			want: judgement{
				Links: 1, Components: [][]string{{"a", "b"}, {"c"}},
				Missing:    map[string][]string{"a": {"c"}, "c": {"a", "b"}},
				Asymmetric: []mesh.Edge{{From: "c", To: "b"}},
				Next:       []mesh.Edge{{From: "c", To: "b"}},
			},
		},
		"a link that one end reports is made from the other": {
			expected: []string{"a", "b"},
			views:    map[string][]string{"a": {"b"}, "b": {}},
			want: judgement{
				Components: [][]string{{"a"}, {"b"}},
				Missing:    map[string][]string{"b": {"a"}},
				Asymmetric: []mesh.Edge{{From: "b", To: "a"}},
				Next:       []mesh.Edge{{From: "b", To: "a"}},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := mesh.Of(tc.expected, tc.views)
			got := judgement{Links: m.Links(), Whole: m.Whole(), Components: m.Components(), Asymmetric: m.Asymmetric(), Next: m.Next(tc.tried)}
			for _, node := range m.Nodes() {
				if missing := m.Missing(node); missing != nil {
					if got.Missing == nil {
						got.Missing = map[string][]string{}
					}
					got.Missing[node] = missing
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("judgement (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWholeAround(t *testing.T) {
	m := mesh.Of([]string{"a", "b", "c", "d", "e"}, map[string][]string{
		"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"c", "e"}, "e": {"d"},
	})
	for node, want := range map[string]bool{"a": true, "b": true, "c": false, "d": false, "e": false, "unexpected": false} {
		if got := m.WholeAround(node); got != want {
			t.Errorf("whole around %s: %t, want %t", node, got, want)
		}
	}
}

func TestLost(t *testing.T) {
	nodes := []string{"a", "b", "c"}
	whole := mesh.Of(nodes, map[string][]string{"a": {"b", "c"}, "b": {"a", "c"}, "c": {"a", "b"}})
	for name, tc := range map[string]struct {
		earlier mesh.Mesh
		views   map[string][]string
		want    int
	}{
		"nothing changed":                {whole, map[string][]string{"a": {"b", "c"}, "b": {"a", "c"}, "c": {"a", "b"}}, 0},
		"all apart":                      {whole, map[string][]string{"a": {}, "b": {}, "c": {}}, 3},
		"one end believes in it":         {whole, map[string][]string{"a": {"b", "c"}, "b": {"a"}, "c": {"a", "b"}}, 1},
		"a node that is gone":            {whole, map[string][]string{"a": {"b"}, "b": {"a"}}, 0},
		"links that were made meanwhile": {mesh.Of(nodes, nil), map[string][]string{"a": {"b"}, "b": {"a"}, "c": {}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := mesh.Of(nodes, tc.views).Lost(tc.earlier); len(got) != tc.want {
				t.Errorf("%v are lost, want %d", got, tc.want)
			}
		})
	}
	apart := mesh.Of(nodes, map[string][]string{"a": {}, "b": {}, "c": {}})
	if diff := cmp.Diff([]mesh.Edge{{From: "a", To: "b"}}, apart.Lost(whole, "c")); diff != "" {
		t.Errorf("lost beside those of a node that restarted (-want +got):\n%s", diff)
	}
}

func TestHasLink(t *testing.T) {
	m := mesh.Of([]string{"a", "b", "c"}, map[string][]string{"a": {"b", "c"}, "b": {"a"}, "c": {}})
	for edge, want := range map[mesh.Edge]bool{
		{From: "a", To: "b"}: true, {From: "b", To: "a"}: true,
		{From: "a", To: "c"}: false, {From: "b", To: "c"}: false, {From: "a", To: "unexpected"}: false,
	} {
		if got := m.HasLink(edge); got != want {
			t.Errorf("%v holds: %t, want %t", edge, got, want)
		}
	}
}

// TestWithout: a link that is taken away is missing at both ends, whichever end it is named
// from, and the mesh that it is taken from stays as it is.
func TestWithout(t *testing.T) {
	nodes := []string{"a", "b", "c"}
	whole := mesh.Of(nodes, map[string][]string{"a": {"b", "c"}, "b": {"a", "c"}, "c": {"a", "b"}})
	without := whole.Without([]mesh.Edge{{From: "b", To: "a"}, {From: "b", To: "elsewhere"}})
	got := map[string][]string{}
	for _, node := range nodes {
		got[node] = without.Missing(node)
	}
	if diff := cmp.Diff(map[string][]string{"a": {"b"}, "b": {"a"}, "c": nil}, got); diff != "" {
		t.Errorf("missing links (-want +got):\n%s", diff)
	}
	if without.Whole() || !whole.Whole() {
		t.Errorf("without the link: whole %t; with it: whole %t", without.Whole(), whole.Whole())
	}
	if edge := (mesh.Edge{From: "a", To: "b"}); without.Reported(edge) || !whole.Reported(edge) {
		t.Error("the link is reported though it was taken away, or not though it was there")
	}
}

// TestBetween: a link between two parts has every node of one connect to every node of the
// other; one within a part concerns its ends alone.
func TestBetween(t *testing.T) {
	m := mesh.Of([]string{"a", "b", "c", "d"}, map[string][]string{"a": {"b", "c"}, "b": {"a"}, "c": {"a"}, "d": {}})
	for edge, want := range map[mesh.Edge][]mesh.Edge{
		{From: "d", To: "b"}:         {{From: "d", To: "a"}, {From: "d", To: "b"}, {From: "d", To: "c"}},
		{From: "b", To: "c"}:         {{From: "b", To: "c"}},
		{From: "b", To: "elsewhere"}: nil,
	} {
		if diff := cmp.Diff(want, m.Between(edge)); diff != "" {
			t.Errorf("between the ends of %v (-want +got):\n%s", edge, diff)
		}
	}
}
