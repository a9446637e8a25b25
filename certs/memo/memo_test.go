package memo

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"testing"
)

func TestMemoIsBounded(t *testing.T) {
	for _, m := range []*Memo[int]{{}, {Size: 2 * size}} {
		testBounded(t, m, cmp.Or(m.Size, size))
	}
}

func testBounded(t *testing.T, m *Memo[int], size int) {
	t.Helper()
	for i := range 10 * size {
		m.Put(KeyOf(binary.BigEndian.AppendUint64(nil, uint64(i))), i)
		if got, ok := m.Get(KeyOf(binary.BigEndian.AppendUint64(nil, uint64(0)))); !ok || got != 0 {
			t.Fatalf("after %d others, what is asked for all the time is forgotten", i)
		}
	}
	if kept := len(m.recent) + len(m.older); kept > 2*size {
		t.Errorf("%d results are remembered, want at most %d", kept, 2*size)
	}
}

func TestKeyTellsContentsApart(t *testing.T) {
	seen := map[Key]string{}
	for _, contents := range [][][]byte{nil, {nil}, {nil, nil}, {[]byte("ab")}, {[]byte("a"), []byte("b")}, {[]byte("ab"), nil}, {nil, []byte("ab")}} {
		what, key := fmt.Sprintf("%q", contents), KeyOf(contents...)
		if other, ok := seen[key]; ok {
			t.Errorf("%s has the key of %s", what, other)
		}
		seen[key] = what
	}
}
