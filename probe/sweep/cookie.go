package sweep

import (
	"context"
	"sync"
	"time"

	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// A visitor of a node takes the cookie from the file in its container. So a node is given
// the current cookie at the time that its file has it: from then until the change, and no
// longer, visitors are refused.
const (
	// filePoll is how often a node is asked for its file.
	filePoll = 250 * time.Millisecond
	// fileWait is how long a pass waits in the end. The next one continues.
	fileWait = 5 * time.Second
)

// changeCookie reports whether a node has just been given the current cookie. One whose
// file does not have that yet is verified with the former one, and changes while the pass
// goes on.
func (p *Pass) changeCookie(ctx context.Context, i int) bool {
	current := p.verifier.Credentials.Cookie
	if p.verifier.Credentials.FormerCookie.IsZero() {
		return false
	}
	verdict, session := p.verifier.VerifyFormer(ctx, p.members[i].Target)
	if session == nil {
		return false
	}
	changed, err := session.ChangeCookie(ctx, current)
	if changed || err != nil {
		session.Close()
		return changed
	}
	p.outcomes[i].Verdict, p.sessions[i], p.outcomes[i].FormerCookie = verdict, session, true
	p.changes.begin(ctx, session, current)
	return false
}

// cookiesChange reports whether a node that is verified still has the former cookie. Nodes
// of different cookies cannot be linked, and OTP has others disconnect from the two.
func (p *Pass) cookiesChange() bool {
	for _, outcome := range p.outcomes {
		if outcome.FormerCookie {
			return true
		}
	}
	return false
}

// changes are the changes of cookies that wait for the files of their nodes.
type changes struct {
	group  *sync.WaitGroup
	closed chan struct{}
}

func newChanges() changes { return changes{&sync.WaitGroup{}, make(chan struct{})} }

// begin asks a node for its file until the cookie is changed, or the session ends.
func (c changes) begin(ctx context.Context, session *verify.Session, cookie erldist.Cookie) {
	c.group.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-c.closed:
				return
			case <-time.After(filePoll): // A node does not announce that a file has changed.
			}
			if changed, err := session.ChangeCookie(ctx, cookie); changed || err != nil {
				return
			}
		}
	})
}

// await waits until every change is made or has failed, but not for long.
func (c changes) await(ctx context.Context) {
	made := make(chan struct{})
	go func() { defer close(made); c.group.Wait() }()
	select {
	case <-made:
	case <-ctx.Done():
	case <-time.After(fileWait):
	}
}

// close ends the changes that are still waiting.
func (c changes) close() {
	close(c.closed)
	c.group.Wait()
}
