package certs

import (
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"math/big"
	"net/url"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/certs/memo"
)

// Whatever was asked before, and at whatever time, every answer is that of a process that has
// just started.
func TestWhatIsRememberedChangesNoAnswer(t *testing.T) {
	const host = "chat-0.chat-nodes.shop.svc.cluster.local"
	lives := func(from, until int) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = certstest.Start.AddDate(0, 0, from), certstest.Start.AddDate(0, 0, until)
		}
	}
	blue, renewed, namesake := certstest.NewAuthority("blue", lives(0, 20)), certstest.NewAuthority("blue", lives(10, 40)), certstest.NewAuthority("blue", func(c *x509.Certificate) { c.IsCA = false })
	green := certstest.NewAuthority("green")
	short := blue.Intermediate("middle", lives(5, 15))
	long := green.Intermediate("middle", lives(0, 40))
	closed := green.Intermediate("middle", func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true })
	cas := []*x509.Certificate{blue.Certificate, renewed.Certificate, namesake.Certificate, green.Certificate, short.Certificate, long.Certificate, closed.Certificate}
	leaves := []*x509.Certificate{blue.Issue(host), blue.Issue(host, lives(8, 12)), green.Issue(host), short.Issue(host), long.Issue(host, lives(0, 60)), short.Certificate, closed.Certificate}
	rapid.Check(t, func(t *rapid.T) {
		some, few := rapid.Permutation(cas).Draw(t, "CAs")[:3], rapid.Permutation(leaves).Draw(t, "leaves")[:2]
		var questions []func() []any
		for range 20 {
			leaf := Certificate{X509: rapid.SampledFrom(few).Draw(t, "leaf"), Issuers: some[:2*rapid.IntRange(0, 1).Draw(t, "issuers")]}
			trust := Trust{}.With(some[rapid.IntRange(0, 1).Draw(t, "trust"):]...)
			now := certstest.Start.AddDate(0, 0, rapid.IntRange(-1, 61).Draw(t, "day")).Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "ns")))
			questions = append(questions, func() []any {
				above := leaf.IssuingCA(trust)
				return []any{leaf.Validate(host, trust, now), leaf.ValidateIntermediate(trust, now), leaf.HasRoot(trust),
					above != nil && above.IsCA, trust.IssuersOf([]*x509.Certificate{leaf.X509}).PEM(), parsedAs(t, leaf)}
			})
		}
		var remembered [][]any
		for _, ask := range questions {
			remembered = append(remembered, ask())
		}
		for i, ask := range questions {
			forgetAll()
			if diff := cmp.Diff(ask(), remembered[i]); diff != "" {
				t.Fatalf("the answer to question %d is another (-afresh +remembered):\n%s", i, diff)
			}
		}
	})
}

// parsedAs is the text of a certificate after it was parsed.
func parsedAs(t *rapid.T, leaf Certificate) string {
	parsed, err := ParseCertificate(certstest.PEM(append([]*x509.Certificate{leaf.X509}, leaf.Issuers...)...), certstest.PEM(leaf.X509))
	if err != nil {
		t.Fatal(err)
	}
	return string(certstest.PEM(append([]*x509.Certificate{parsed.X509}, parsed.Issuers...)...))
}

// A chain that is remembered is shared by those who ask for it with different CAs.
func TestParsedChainsAreNotOverwritten(t *testing.T) {
	blue, green, red := certstest.NewAuthority("blue"), certstest.NewAuthority("green"), certstest.NewAuthority("red")
	text := certstest.PEM(slices.Repeat([]*x509.Certificate{blue.Certificate}, 5)...) // A slice of 5 has room for more.
	parse := func(ca certstest.Authority) Certificate {
		parsed, err := ParseCertificate(text, certstest.PEM(ca.Certificate))
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	first := parse(green)
	parse(red)
	if last := first.Issuers[len(first.Issuers)-1]; !last.Equal(green.Certificate) {
		t.Errorf("the CA has become %q", last.Subject)
	}
}

// Whoever writes Secrets can write ever new ones, of any size. What is remembered of them is small.
func TestLittleMemoryIsTakenByWhatIsRemembered(t *testing.T) {
	ca := certstest.NewAuthority("blue")
	trust := Trust{}.With(ca.Certificate)
	for _, names := range []int{1, 100, 120, 2000} {
		leaf := ca.Issue("chat-0.example.com", func(c *x509.Certificate) {
			c.URIs = slices.Repeat([]*url.URL{{Scheme: "a", Opaque: "b"}}, names)
		})
		text, empty := certstest.PEM(leaf), heapAfter(forgetAll)
		full := heapAfter(func() {
			for i := range 1024 { // as many as are ever remembered
				certificate, err := ParseCertificate(fmt.Appendf(nil, "%d\n%s", i, text), nil)
				if err != nil {
					t.Fatal(err)
				}
				if certificate.Issuers = slices.Repeat(trust.cas, 1+i%256); certificate.Validate("chat-0.example.com", trust, certstest.Start) != nil {
					t.Fatal("not valid")
				}
			}
		})
		if full-empty > 48<<20 {
			t.Errorf("certificates with %d names take %d MB", names, (full-empty)>>20)
		}
	}
}

func heapAfter(act func()) int {
	var stats runtime.MemStats
	act()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}

// An ordinary chain is remembered: a leaf with RSA keys, an intermediate and a root.
func TestOrdinaryChainIsRemembered(t *testing.T) {
	root := certstest.NewAuthority("root")
	middle := root.Intermediate("middle")
	key := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 4095), E: 65537}
	chain := []*x509.Certificate{middle.IssueTo("chat-0.chat-nodes.shop.svc.cluster.local", key), middle.Certificate, root.Certificate}
	var last *x509.Certificate
	for range 2 {
		parsed, err := ParseCertificate(certstest.PEM(chain...), nil)
		if err != nil || last != nil && parsed.X509 != last {
			t.Errorf("a chain that takes %d bytes is parsed again, %v", memoryOf(chain), err)
		}
		last = parsed.X509
	}
}

func forgetAll() {
	parsed, signed, validated = memo.Memo[[]*x509.Certificate]{}, memo.Memo[bool]{}, memo.Memo[validation]{}
}
