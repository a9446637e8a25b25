package sweep

import (
	"context"
	"sync"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// A visitor of a node takes the cookie from the file in its container. So a node is given
// the current cookie when its file has it: from then until the change, and no longer,
// visitors are refused. The manager has the kubelets update the files when the nodes are
// reported to wait for them.
const (
	// filePoll is how often a node is asked for its file.
	filePoll = 200 * time.Millisecond
	// fileWait is how long a pass waits in the end. The next one continues.
	fileWait = 10 * time.Second
)

// tryCookies verifies a node with the cookie that it is likely to have, and then with the
// other. One that has the former cookie is given the current one if its file has that;
// otherwise it is verified with the former one, and changes while the pass goes on.
func (p *Pass) tryCookies(ctx context.Context, i int) (verify.Verdict, *verify.Session) {
	target, credentials := p.members[i].Target, p.verifier.Credentials
	p.outcomes[i].FormerCookie = false
	if credentials.FormerCookie.IsZero() || !p.members[i].FormerCookie {
		verdict, session := p.verifier.Verify(ctx, target)
		if verdict.Reason != v1alpha1.ReasonCookieMismatch || credentials.FormerCookie.IsZero() {
			return verdict, session
		}
	}
	verdict, session := p.verifier.VerifyFormer(ctx, target)
	if session == nil && verdict.Reason != v1alpha1.ReasonCookieMismatch {
		return verdict, nil
	}
	if session != nil && p.options.ReadOnly() {
		p.outcomes[i].FormerCookie = true
		return verdict, session
	}
	if session != nil {
		if changed, err := session.ChangeCookie(ctx, credentials.Cookie); !changed && err == nil {
			p.outcomes[i].FormerCookie = true
			// It outlasts this try, and ends with the session.
			p.changes.begin(context.WithoutCancel(ctx), session, credentials.Cookie, p.options.ReadOnly)
			return verdict, session
		}
		session.Close()
	}
	return p.verifier.Verify(ctx, target)
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

// begin asks a node for its file until the cookie is changed, or the session ends, or nothing
// may be changed any more.
func (c changes) begin(ctx context.Context, session *verify.Session, cookie erldist.Cookie, readOnly func() bool) {
	c.group.Go(func() {
		for {
			select {
			case <-c.closed:
				return
			case <-time.After(filePoll): // A node does not announce that a file has changed.
			}
			if readOnly() {
				return
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
