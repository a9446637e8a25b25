package sweep

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/probetest"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// settled is a network that was swept until nothing was wrong, and whose sessions are kept.
type settled struct {
	network
	verifier *verify.Verifier
	members  []Member
	kept     Kept
}

func newSettled(t *testing.T, size int) *settled {
	n := newNetwork(t, size)
	return settle(t, n, n.Verifier())
}

func settle(t *testing.T, n network, verifier *verify.Verifier) *settled {
	s, size := &settled{network: n, verifier: verifier, members: n.members()}, len(n.Peers)
	t.Cleanup(s.kept.Close)
	s.sweep()
	if result := s.sweep(); !result.Mesh.Whole() || len(s.kept.nodes) != size {
		t.Fatalf("%d sessions are kept: %+v", len(s.kept.nodes), result.Outcomes)
	}
	return s
}

func (s *settled) sweep() Result {
	result := Run(s.t.Context(), s.verifier, s.members, Options{Concurrency: 16, HealingTime: 5 * time.Second, Kept: &s.kept})
	for i, outcome := range result.Outcomes {
		if outcome.Refusals != nil {
			s.members[i].ProvenAt = outcome.Refusals.Incarnation
		}
	}
	return result
}

// verified counts how often each node was verified.
func (s *settled) verified() (times []int) {
	for _, peer := range s.Peers {
		times = append(times, peer.Called("init:get_argument"))
	}
	return times
}

// verifiedSince counts how often each node was verified since.
func (s *settled) verifiedSince(before []int) (times []int) {
	for i, now := range s.verified() {
		times = append(times, now-before[i])
	}
	return times
}

// TestSweepsAskOverSessions: while nothing is wrong, each node is verified once in sixty
// sweeps, one at a time, and asked in all.
func TestSweepsAskOverSessions(t *testing.T) {
	s := newSettled(t, 3)
	before := s.verified()
	var at []int // sweeps in which a node was verified
	for sweep := range 2 * renewal {
		earlier := s.verified()
		result := s.sweep()
		checkReasons(t, result, "Verified", "Verified", "Verified")
		if !result.Mesh.Whole() || len(result.Outcomes[0].Peers) != 2 || result.Outcomes[0].OTPRelease != "27" {
			t.Fatalf("sweep %d: parts are %v: %+v", sweep, result.Mesh.Components(), result.Outcomes[0])
		}
		for range s.sum(s.verifiedSince(earlier)) {
			at = append(at, sweep%renewal)
		}
	}
	if diff := cmp.Diff([]int{2, 2, 2}, s.verifiedSince(before)); diff != "" {
		t.Errorf("verifications (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(at[:3], at[3:]); diff != "" || at[0] == at[1] || at[1] == at[2] {
		t.Errorf("nodes were verified in the sweeps %v", at)
	}
	for _, peer := range s.Peers {
		if asked := peer.Called("erlang:nodes"); asked < 2*renewal {
			t.Errorf("%s was asked in %d of %d sweeps", peer.Name, asked, 2*renewal)
		}
	}
	if calls := s.Peers[2].Called("rpc:multicall"); calls > 8 {
		t.Errorf("the last node, whose links the others ask over, asked %d times", calls)
	}
}

func (s *settled) sum(numbers []int) (sum int) {
	for _, number := range numbers {
		sum += number
	}
	return sum
}

// TestOddSweepsVerify: whatever is wrong or changes, every node is verified anew in the same
// sweep, and nothing that an open session says is believed.
func TestOddSweepsVerify(t *testing.T) {
	for name, tc := range map[string]struct {
		odd    func(s *settled)
		sweeps int // until it shows; 0 for 1
		want   []string
		links  int
	}{
		"a link is lost":         {odd: func(s *settled) { s.Unlink(s.Peers[0].Name, s.Peers[1].Name) }, links: 3},
		"a node does not answer": {odd: func(s *settled) { s.Peers[1].Set(func(p *probetest.Peer) { p.Unanswered = 1 }) }, links: 3},
		"a link is silent":       {odd: func(s *settled) { s.Silence(s.Peers[0].Name, s.Peers[2].Name, true) }, sweeps: 3, links: 2},
		"a cookie is changed":    {odd: func(s *settled) { s.Peers[1].Set(func(p *probetest.Peer) { p.NewCookie = "An0therCookie" }) }, links: 3},
		"a session has ended":    {odd: func(s *settled) { s.kept.nodes[2].session.Close() }, links: 3},
		"the hosts have moved": {
			odd: func(s *settled) {
				s.verifier.Resolve = func(context.Context, string) ([]string, error) { return []string{"127.0.0.2"}, nil }
			},
			want: []string{"ConnectionRefused", "ConnectionRefused", "ConnectionRefused"},
		},
		"the trust bundle changes": {odd: func(s *settled) {
			s.verifier.Credentials.Trust = s.verifier.Credentials.Trust.With(certstest.NewAuthority("another").Certificate)
		}, links: 3},
		"our certificate changes":   {odd: func(s *settled) { s.verifier.Credentials.Certificate = s.Issue("renewed-probe") }, links: 3},
		"a certificate was renewed": {odd: func(s *settled) { s.members[1].Stored = "12" }, links: 3},
		"a node is to be removed":   {odd: func(s *settled) { s.members = s.members[:2] }, want: []string{"Verified", "Verified"}, links: 1},
		"the cookie changes": {
			odd:  func(s *settled) { s.verifier.Credentials.Cookie = erldist.NewCookie("An0therCookie") },
			want: []string{"CookieMismatch", "CookieMismatch", "CookieMismatch"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSettled(t, 3)
			tc.odd(s)
			before := s.verified()
			var result Result
			for range max(tc.sweeps, 1) {
				result = s.sweep()
			}
			if tc.want == nil {
				tc.want = []string{"Verified", "Verified", "Verified"}
			}
			checkReasons(t, result, tc.want...)
			for i, times := range s.verifiedSince(before)[:len(tc.want)] {
				if times == 0 && tc.want[i] == "Verified" {
					t.Errorf("%s was not verified anew", s.Peers[i].Name)
				}
			}
			if tc.links > 0 && result.Mesh.Links() != tc.links {
				t.Errorf("%d links, want %d", result.Mesh.Links(), tc.links)
			}
		})
	}
}

// TestSweepsAfterExpiry: when a certificate of a node expires, our own, or the CA, the next sweep
// asks nothing over sessions that were made with it.
func TestSweepsAfterExpiry(t *testing.T) {
	soon := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(10 * time.Minute) } // The others are valid for an hour.
	for name, tc := range map[string]struct {
		expires func(n network, verifier *verify.Verifier)
		want    []string
	}{
		"a node's certificate": {func(n network, _ *verify.Verifier) {
			n.Peers[1].Certificate = n.CA.Pair("localhost", certstest.ValidNow, soon)
		}, []string{"Verified", "CertificateExpired"}},
		"our own": {func(n network, verifier *verify.Verifier) {
			verifier.Credentials.Certificate = n.CA.Pair("probe", certstest.ValidNow, soon)
		}, []string{"Verified", "Verified"}}, // The clock of the nodes says otherwise.
		"the CA": {func(_ network, verifier *verify.Verifier) {
			verifier.Credentials.Trust = certs.Trust{}.With(certstest.NewAuthority("ca", soon).Certificate)
		}, []string{"CertificateExpired", "CertificateExpired"}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(t, 2)
			verifier := n.Verifier()
			tc.expires(n, verifier)
			s := settle(t, n, verifier)
			var dialled atomic.Int32
			verifier.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				dialled.Add(1)
				return new(net.Dialer).DialContext(ctx, network, address)
			}
			begun := time.Now()
			for s.sweep(); dialled.Swap(0) > 0; s.sweep() { // A busy machine may have made the last one slow.
				if time.Since(begun) > time.Minute {
					t.Fatal("each sweep makes connections before it expires")
				}
			}
			verifier.Now = func() time.Time { return time.Now().Add(11 * time.Minute) }
			checkReasons(t, s.sweep(), tc.want...)
			if dialled.Load() == 0 {
				t.Error("nothing was verified anew")
			}
		})
	}
}

// TestTurnFindsFault: a node that takes no new connections is tried in its turn as often as in a
// sweep without sessions, and not a second time because its turn found that.
func TestTurnFindsFault(t *testing.T) {
	s := newSettled(t, 3)
	broken := probetest.NewNetwork(t, 1).Peers[0]
	broken.Serve = func(net.Conn) {} // It hangs up.
	tries, there, instead := 0, fmt.Sprint(":", s.members[1].FixedPort), fmt.Sprint("127.0.0.1:", broken.Listen())
	var mutex sync.Mutex
	s.verifier.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasSuffix(address, there) {
			mutex.Lock()
			defer mutex.Unlock()
			tries++
			address = instead
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	want := Run(t.Context(), s.verifier, s.members, Options{Concurrency: 16, HealingTime: 5 * time.Second, NoLinks: true})
	wantTries := tries
	for range renewal {
		tries = 0
		result := s.sweep()
		if result.Outcomes[1].Verified() {
			continue
		}
		if diff := cmp.Diff(reasons(want), reasons(result)); diff != "" || tries != wantTries {
			t.Errorf("tried %d times, want %d; reasons (-want +got):\n%s", tries, wantTries, diff)
		}
		return
	}
	t.Error("a node takes no new connections, and that is not found")
}

// TestTurnDelaysNobody: a node that hangs when it is its turn to be verified anew does not keep
// another that hangs, too, from being found.
func TestTurnDelaysNobody(t *testing.T) {
	s := newSettled(t, 3)
	limits := &s.verifier.Limits
	limits.ConnectDistribution, limits.TLS, limits.Handshake = time.Minute, time.Minute, time.Minute
	there := func(i int) string { return fmt.Sprint(":", s.members[i].FixedPort) }
	found := make(chan struct{})
	find := sync.OnceFunc(func() { close(found) })
	s.verifier.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		switch {
		case strings.HasSuffix(address, there(2)): // The first one whose turn it is.
			s.Peers[1].Set(func(p *probetest.Peer) { p.Unanswered = 1 << 30 })
			select {
			case <-found:
			case <-ctx.Done():
				t.Errorf("nobody else was verified: %v", ctx.Err())
			}
		case strings.HasSuffix(address, there(1)):
			find()
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	for range renewal {
		result := s.sweep()
		if result.Outcomes[1].Verified() {
			continue
		}
		checkReasons(t, result, "Verified", "CallFailed", "Verified")
		return
	}
	t.Error("no node is verified anew")
}

// TestLostSessionIsTold: the end of a session by the node is told, and a little later that of
// another one that soon follows.
func TestLostSessionIsTold(t *testing.T) {
	s := newSettled(t, 3)
	lost := make(chan struct{}, 1)
	s.kept.Lost = func() { lost <- struct{}{} }
	for _, peer := range s.Peers[:2] {
		s.sweep()
		s.sweep()
		peer.HangUp()
		select {
		case <-lost:
		case <-time.After(time.Minute):
			t.Fatalf("%s has ended its session, and that is not told", peer.Name)
		}
	}
}

// TestSettledSweep: a sweep ends after its first step when nothing has changed, and not when a node
// has yet to refuse what it must.
func TestSettledSweep(t *testing.T) {
	s := newSettled(t, 2)
	if result := s.sweep(); !result.Settled || !result.Healed || !result.Tried || !result.Mesh.Whole() {
		t.Errorf("nothing has changed: %+v", result)
	}
	s.members[1].ProvenAt++
	if result := s.sweep(); result.Settled || result.Outcomes[1].Refusals == nil {
		t.Errorf("a node has restarted: %+v", result)
	}
	if result := s.sweep(); !result.Settled {
		t.Errorf("it refuses what it must: %+v", result)
	}
}
