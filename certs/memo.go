package certs

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"sync"
	"time"
)

// To parse a certificate and to verify its signature is most of the work of a decision, and
// the same certificates are looked at again and again. So what was found is remembered. A key
// is the SHA-256 of all that a result depends on but the time, never a name or a version, so
// nothing counts as verified that was not. A result that depends on the time is used only while
// no certificate in question begins or ceases to be valid.

// memoSize is how many results are remembered at least, enough for a cluster of 100 nodes.
const memoSize = 512

// maxRemembered is the longest text that is remembered, so that large contents do not fill
// the memory: a chain has some 3 kB.
const maxRemembered = 16 << 10

var (
	parsed    memo[[]*x509.Certificate]
	signed    memo[bool]
	validated memo[validation]
)

// digest is of contents.
type digest [sha256.Size]byte

// digestOf has the length of each content, so that those of others do not add up to the same.
func digestOf(contents ...[]byte) (sum digest) {
	hash := sha256.New()
	for _, content := range contents {
		_, _ = hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(content)))) // It never fails.
		_, _ = hash.Write(content)
	}
	hash.Sum(sum[:0])
	return sum
}

// A memo remembers the latest results, and forgets half of them when it is full.
type memo[V any] struct {
	mutex         sync.Mutex
	recent, older map[digest]V
}

func (m *memo[V]) get(key digest) (value V, known bool) {
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

func (m *memo[V]) put(key digest, value V) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.keep(key, value)
}

func (m *memo[V]) keep(key digest, value V) {
	if m.recent == nil || len(m.recent) >= memoSize {
		m.recent, m.older = map[digest]V{}, m.recent
	}
	m.recent[key] = value
}

// isSignedBy reports whether a certificate has a valid signature of a CA. It is no matter of time.
func isSignedBy(certificate, ca *x509.Certificate) bool {
	key := digestOf(certificate.Raw, ca.Raw)
	is, known := signed.get(key)
	if !known {
		is = certificate.CheckSignatureFrom(ca) == nil
		signed.put(key, is)
	}
	return is
}

// A validation has the chains of a certificate that are valid between two instants, at neither
// of which some certificate has begun or ceased to be.
type validation struct {
	chains        [][]*x509.Certificate
	after, before time.Time
}

func (v validation) holdsAt(now time.Time) bool { return now.After(v.after) && now.Before(v.before) }

// validationAt is one at a time, of chains that are made of these certificates.
func validationAt(now time.Time, chains [][]*x509.Certificate, certificates []*x509.Certificate) validation {
	v := validation{chains: chains, after: time.Time{}, before: certificates[0].NotAfter}
	for _, certificate := range certificates {
		for _, boundary := range []time.Time{certificate.NotBefore, certificate.NotAfter} {
			if !boundary.After(now) && boundary.After(v.after) {
				v.after = boundary
			}
			if !boundary.Before(now) && boundary.Before(v.before) {
				v.before = boundary
			}
		}
	}
	return v
}
