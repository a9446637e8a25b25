// Package memo remembers the latest results of pure functions by the contents that they depend on.
package memo

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"sync"
)

// size is how many results are remembered at least by default, enough for a cluster of 100 nodes.
const size = 512

// Key is the SHA-256 of contents.
type Key [sha256.Size]byte

// KeyOf has the length of each content, so that those of others do not add up to the same.
func KeyOf(contents ...[]byte) (key Key) {
	hash := sha256.New()
	for _, content := range contents {
		_, _ = hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(content)))) // It never fails.
		_, _ = hash.Write(content)
	}
	hash.Sum(key[:0])
	return key
}

// A Memo remembers the latest results, and forgets half of them when it is full.
type Memo[V any] struct {
	// Size is how many it remembers at least; 512 by default.
	Size int

	mutex         sync.Mutex
	recent, older map[Key]V
}

// Get returns a result; false when it is not known.
func (m *Memo[V]) Get(key Key) (value V, known bool) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if value, known = m.recent[key]; known {
		return value, true
	}
	if value, known = m.older[key]; known {
		m.keep(key, value)
	}
	return value, known
}

// Put remembers a result.
func (m *Memo[V]) Put(key Key, value V) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.keep(key, value)
}

func (m *Memo[V]) keep(key Key, value V) {
	if m.recent == nil || len(m.recent) >= cmp.Or(m.Size, size) {
		m.recent, m.older = map[Key]V{}, m.recent
	}
	m.recent[key] = value
}
