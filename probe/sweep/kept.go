package sweep

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// A handshake costs a node as much as fifteen questions. So after a sweep that found nothing
// wrong the sessions stay open, and the next ones ask over them. They verify a few nodes anew, in
// turn: that new connections work is known only from making some.
const (
	// linksLimit is how long they may take to answer each other, and to be verified anew, before all
	// are verified.
	linksLimit = 2 * time.Second
	// renewal is after how many sweeps a node is verified anew: within five minutes, by default.
	renewal = 60
	// asking is in which sweeps the nodes ask each other over their links: by default every
	// 14.4 s, a little more often than nodes send ticks (every 15 s, net_ticktime), which are not
	// needed then. To be woken costs a node more than to answer.
	asking = 3
)

// Kept are the sessions that the last sweep left open, one for each node; none when anything was
// wrong. They save handshakes, and decide nothing: a sweep that finds anything else than before
// verifies every node anew. The zero Kept has none.
type Kept struct {
	// Lost is called when a node ends one: it may have died. nil for nothing.
	Lost    func()
	told    time.Time  // when it was called last
	telling bool       // and it will be called
	mutex   sync.Mutex // guards told and telling

	credentials verify.Credentials
	nodes       []keptNode
	sweeps      int // since the sessions are kept
}

type keptNode struct {
	target  verify.Target
	verdict verify.Verdict
	session *verify.Session
	at      time.Time // when it was kept; the verdict, and the uptime in it, is a little older
}

// Close ends the sessions.
func (k *Kept) Close() {
	for _, node := range k.nodes {
		node.session.Close()
	}
	k.credentials, k.nodes, k.sweeps = verify.Credentials{}, nil, 0
}

// fit reports whether there is a session for each member, made with the credentials of now, and
// nothing changes that would show only in a new one, such as that a certificate expires.
func (k *Kept) fit(p *Pass) bool {
	now := p.verifier.Credentials
	if len(k.nodes) == 0 || len(k.nodes) != len(p.members) || !now.Equal(k.credentials) || !now.FormerCookie.IsZero() || now.Canary != nil {
		return false
	}
	for i, member := range p.members {
		target, verdict := member.Target, k.nodes[i].verdict
		target.NotPlaintext = k.nodes[i].target.NotPlaintext
		replaced := member.Stored != "" && member.Stored != verdict.CertificateSerial
		if target != k.nodes[i].target || replaced || !p.verifier.Holds(verdict) {
			return false
		}
	}
	return len(p.options.Suspects) == 0
}

// keep takes the sessions of a sweep that found nothing wrong, and reports whether it did.
func (k *Kept) keep(p *Pass) bool {
	if k == nil || !p.isSettled() && !p.isCalm() {
		return false
	}
	k.credentials, k.nodes = p.verifier.Credentials, make([]keptNode, len(p.members))
	for i, member := range p.members {
		k.nodes[i] = keptNode{member.Target, p.outcomes[i].Verdict, p.sessions[i], time.Now()}
		p.sessions[i].OnLoss(k.tell)
	}
	return true
}

// tellAgain is after how long another end of a session is told: a node that ends each one at once
// is not to be verified again and again.
const tellAgain = 5 * time.Second

// tell calls Lost, once for all sessions that end until then.
func (k *Kept) tell() {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.Lost == nil || k.telling {
		return
	}
	k.telling = true
	time.AfterFunc(tellAgain-time.Since(k.told), func() {
		k.mutex.Lock()
		k.telling, k.told = false, time.Now()
		k.mutex.Unlock()
		k.Lost()
	})
}

// confirm reports whether nothing is wrong by what the nodes say over the sessions that were kept,
// and by those that are verified anew in this sweep. If not, nothing is known of any node but
// these: so nobody waits for one that hangs a second time.
func (p *Pass) confirm(ctx context.Context) bool {
	kept := p.options.Kept
	if kept == nil {
		return false
	}
	if !kept.fit(p) {
		kept.Close()
		return false
	}
	for i, node := range kept.nodes {
		p.outcomes[i].Verdict, p.sessions[i] = node.verdict, node.session
		p.outcomes[i].Uptime += time.Since(node.at)
	}
	kept.nodes = nil // They are the pass's now.
	kept.sweeps++
	if p.confirmPeers(ctx) && p.confirmLinks(ctx) && p.renew(ctx) {
		return true
	}
	kept.sweeps = 0
	for i := range p.members {
		if !p.renewed[i] {
			p.sessions[i].Close()
			p.outcomes[i], p.sessions[i] = Outcome{}, nil
		}
	}
	return false
}

// confirmPeers asks every node for its peers.
func (p *Pass) confirmPeers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, p.verifier.Limits.Confirm)
	defer cancel()
	var odd atomic.Bool
	p.each(func(i int) {
		peers, err := p.verifier.Confirm(ctx, p.members[i].Target, p.sessions[i])
		if err != nil {
			odd.Store(true)
			cancel()
		}
		p.outcomes[i].Peers = peers
	})
	return !odd.Load() && p.isCalm()
}

// confirmLinks has, in some sweeps, the nodes ask each other: one end of each link, since an
// answer takes both directions. They have just reported these links, and are not connected by it.
func (p *Pass) confirmLinks(ctx context.Context) bool {
	if p.options.Kept.sweeps%asking != 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, linksLimit)
	defer cancel()
	var odd atomic.Bool
	p.each(func(i int) {
		silent, err := p.sessions[i].Silent(ctx, p.linkedAmong(i, p.nodes()[i+1:]))
		if err != nil || len(silent) > 0 {
			odd.Store(true)
			cancel()
		}
	})
	return !odd.Load()
}

// renew verifies the nodes anew whose turn it is. If one of them takes long it may hang, and others,
// too: these do not wait for it.
func (p *Pass) renew(ctx context.Context) bool {
	for i := range p.members {
		p.renewed[i] = (p.options.Kept.sweeps+i*renewal/len(p.members))%renewal == 0
	}
	if !slices.Contains(p.renewed, true) {
		return true
	}
	p.renewals = make(chan struct{})
	go func() {
		defer close(p.renewals)
		p.each(func(i int) {
			if p.renewed[i] {
				p.sessions[i].Close()
				p.outcomes[i], p.sessions[i] = Outcome{}, nil
				p.verify(ctx, i)
			}
		})
	}()
	select {
	case <-p.renewals:
		return p.isCalm()
	case <-time.After(linksLimit):
		return false
	}
}

// isSettled reports whether nothing is wrong by what the nodes said over kept sessions, and none
// has to refuse anything: none has restarted.
func (p *Pass) isSettled() bool {
	if !p.confirmed {
		return false
	}
	for i, member := range p.members {
		if member.ProvenAt != p.outcomes[i].Incarnation {
			return false
		}
	}
	return true
}

// isCalm reports whether nothing is wrong with any node or link, and nothing changes.
func (p *Pass) isCalm() bool {
	for i, outcome := range p.outcomes {
		verified := p.sessions[i] != nil && outcome.Verified() && outcome.Reason != v1alpha1.ReasonSlowHandshake
		changes := outcome.FormerCookie || outcome.Outdated || outcome.Canary != nil
		incomplete := outcome.RefusalsError != nil || outcome.CertificatesError != nil
		if !verified || changes || incomplete || len(outcome.Silent) > 0 {
			return false
		}
	}
	return len(p.failed) == 0 && p.lost == 0 && p.mesh().Whole()
}
