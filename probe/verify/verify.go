package verify

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/erldist"
)

// A Target is a node, and how it is to be reached.
type Target struct {
	// Node is the full name of the node.
	Node string
	// FixedPort is the distribution port of a node that runs without epmd. 0 means
	// that epmd knows.
	FixedPort uint16
	// Ports is the range that the port that epmd gives must lie in: its peers
	// reach no other. The zero range is any port.
	Ports PortRange
	// EPMDPort is the port of epmd. 0 means 4369.
	EPMDPort uint16
	// NotPlaintext has a node that does not answer in TLS not be tried in plaintext: it was
	// tried already.
	NotPlaintext bool
	// Network is tcp4 for a node that runs inet_tls, tcp6 for inet6_tls. Empty means
	// whatever address its host has.
	Network string
	// Runtime is what the cluster takes its image for; empty outside of ErlangClusters.
	Runtime v1alpha1.Runtime
}

// PortRange is a range of TCP ports, both ends included.
type PortRange struct{ Min, Max uint16 }

func (r PortRange) contains(port uint16) bool {
	return r == PortRange{} || r.Min <= port && port <= r.Max
}

// Limits are how long the stages may take. The follow-up, where one symptom has several
// causes, is part of its stage.
type Limits struct {
	Resolve, Connect, Lookup, ConnectDistribution, TLS, Handshake, Call time.Duration

	// Tries is how long two tries of a node that does not answer may take together: the second one is
	// cut off then. It is what one may take that hangs in TLS.
	Tries time.Duration
	// Link is how long a node may take to connect to another. OTP itself gives up
	// after net_setuptime, 7 s.
	Link time.Duration
	// Answer is how long a node may take to answer another over a link.
	Answer time.Duration
	// Confirm is how long nodes may take to answer over sessions that were kept open. It adds to
	// the time after which one that hangs is reported; one that is busy is verified anew.
	Confirm time.Duration
}

// DefaultLimits leave room for some lost packets or an intercontinental round trip, and
// detect a dead node in time. A lost SYN is retransmitted after one second, and again
// after three. Nodes give up on each other after net_setuptime, 7 s: who answers sooner is
// busy, and no worse.
func DefaultLimits() Limits {
	return Limits{
		Resolve: 3 * time.Second, Connect: 4 * time.Second, Lookup: 3 * time.Second, ConnectDistribution: 4 * time.Second,
		TLS: 8 * time.Second, Handshake: 7 * time.Second, Call: 5 * time.Second, Tries: 8 * time.Second,
		Link: 9 * time.Second, Answer: 5 * time.Second, Confirm: 200 * time.Millisecond,
	}
}

// maxFrame is far above what the names of some hundred nodes take.
const maxFrame = 1 << 20

// A Verifier verifies nodes with the credentials of their cluster. It may be used
// by several goroutines at once.
type Verifier struct {
	Credentials Credentials
	Limits      Limits

	// Plaintext is for nodes that do not run distribution over TLS.
	Plaintext bool

	// MinTLS is the oldest version of TLS to accept; 0 means TLS 1.3.
	MinTLS uint16

	// Resolve finds the addresses of a host; nil means DNS.
	Resolve func(ctx context.Context, host string) ([]string, error)

	// FullNames has DNS look up hosts as they stand, not in the search domains of the
	// system.
	FullNames bool

	// Published waits until DNS is likely to have a record of a host, or reports that it has none
	// yet. Until then DNS is not asked: servers remember for half a minute that a name does not
	// exist, and then the peers of the node do not find it either. nil asks at once.
	Published func(ctx context.Context, host string) bool

	// Located has the addresses of a host that Kubernetes publishes; nil where only DNS is to be
	// asked.
	Located func(host string) []string

	// Lookups remembers what DNS has answered; nil to ask it each time. It needs Located.
	Lookups *Lookups

	// DialContext opens TCP connections to addresses; nil means that of a net.Dialer.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// Now is the time at which certificates must be valid; nil means time.Now.
	Now func() time.Time
}

// Verify takes every stage with a node. The session is open when the verdict is Verified,
// and the caller closes it; otherwise it is nil.
func (v *Verifier) Verify(ctx context.Context, target Target) (Verdict, *Session) {
	seen := &observation{target: target, trust: v.Credentials.Trust, now: v.now()}
	session, info, err := v.reach(erldist.WithTrace(ctx, seen.trace()), target, seen)
	if err != nil {
		seen.keepChain(err)
		v.followUp(ctx, err, seen)
	}
	seen.release = info.release
	diagnosis := diagnose(err, *seen)
	if err != nil {
		seen.markFailed(diagnosis.Stage)
	}
	verdict := Verdict{
		Node: target.Node, Stage: diagnosis.Stage, Reason: diagnosis.Reason, Message: diagnosis.Message,
		TimedOut: errors.Is(err, context.DeadlineExceeded),
		Timings:  seen.timings, TriedPlaintext: seen.triedPlaintext || target.NotPlaintext,
		Incarnation: seen.peer.Creation,
		OTPRelease:  info.OTPRelease, Uptime: info.Uptime, Peers: info.Peers, PodUID: info.PodUID,
	}
	if len(seen.chain) > 0 {
		if issuer := seen.issuer(); issuer != nil {
			verdict.CertificateNotAfter = seen.chain[0].NotAfter
			verdict.CertificateSerial = certs.Serial(seen.chain[0])
			verdict.CertificateAuthority = certs.Identity(issuer)
			verdict.ValidUntil = v.validUntil(seen)
		}
	}
	return verdict, session
}

func (v *Verifier) reach(ctx context.Context, target Target, seen *observation) (*Session, Info, error) {
	conn, err := v.dialer(target, seen).Dial(ctx, target.Node)
	if err != nil {
		return nil, Info{}, err
	}
	session := &Session{node: target.Node, host: seen.host(), conn: conn, limits: v.Limits}
	info, err := session.Info(ctx)
	if err == nil {
		err = checkMember(info)
	}
	if err == nil && info.PodUID != "" && info.process != (process{}) {
		err = session.checkProcess(ctx, info.process)
	}
	if err != nil {
		session.Close()
		return nil, info, err
	}
	return session, info, nil
}

// validUntil is when the first of the node's certificate, our own, and the CAs of both expires.
func (v *Verifier) validUntil(seen *observation) time.Time {
	until := seen.leaf().ValidUntil(seen.trust, seen.now)
	if ours := v.Credentials.leaf(); ours.X509 != nil && ours.ValidUntil(seen.trust, seen.now).Before(until) {
		until = ours.ValidUntil(seen.trust, seen.now)
	}
	return until
}

// Holds reports whether no certificate has expired by now that a verdict depends on.
func (v *Verifier) Holds(verdict Verdict) bool { return !v.now().After(verdict.ValidUntil) }

func (v *Verifier) now() time.Time {
	if v.Now == nil {
		return time.Now()
	}
	return v.Now()
}

// dialer connects to the target, and records what it observes.
func (v *Verifier) dialer(target Target, seen *observation) *erldist.Dialer {
	d := v.anonymousDialer()
	d.Cookie = v.Credentials.Cookie
	d.Port = target.FixedPort
	d.EPMDPort = target.EPMDPort
	d.Network = target.Network
	d.Resolve = v.resolve(target)
	d.MaxFrame = maxFrame
	d.Timeouts = map[erldist.Stage]time.Duration{
		erldist.StageResolve:             v.Limits.Resolve,
		erldist.StageConnect:             v.Limits.Connect,
		erldist.StageLookup:              v.Limits.Lookup,
		erldist.StageConnectDistribution: v.Limits.ConnectDistribution,
		erldist.StageTLS:                 firstAttempt(v.Limits.TLS),
		erldist.StageHandshake:           v.Limits.Handshake,
	}
	d.DialContext = seen.within(d.DialContext)
	if !v.Plaintext {
		d.TLS = v.clientTLS(seen.host(), v.Credentials.Certificate)
		d.TLS.VerifyConnection = seen.judge
	}
	return d
}

// anonymousDialer has neither the cookie nor a certificate.
func (v *Verifier) anonymousDialer() *erldist.Dialer {
	d := &erldist.Dialer{Host: v.Credentials.host(), Resolve: v.Resolve, DialContext: v.DialContext}
	if d.DialContext == nil {
		d.DialContext = new(net.Dialer).DialContext
	}
	return d
}
