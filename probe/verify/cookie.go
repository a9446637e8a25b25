package verify

import (
	"context"
	"fmt"

	"github.com/erlang-operator/erlang-operator/erldist"
)

// ChangeCookie changes the cookie of a node from the former one to the current one. The
// node's links are kept: a cookie matters for new ones only (auth(3kernel)).
func (v *Verifier) ChangeCookie(ctx context.Context, target Target) error {
	former := *v
	former.Credentials.Cookie = v.Credentials.FormerCookie
	verdict, session := former.Verify(ctx, target)
	if session == nil {
		return fmt.Errorf("reach %s with the former cookie: %s", target.Node, verdict.Reason)
	}
	defer session.Close()
	return session.setCookie(ctx, v.Credentials.Cookie)
}

// setCookie gives the node another cookie, for itself and for all of its peers.
func (s *Session) setCookie(ctx context.Context, cookie erldist.Cookie) error {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Call)
	defer cancel()

	answer, err := s.conn.Call(ctx, "erlang", "set_cookie", erldist.Atom(s.node), erldist.Atom(cookie.Reveal()))
	if err != nil {
		// The cause is left out: it may quote the arguments of the call.
		return fmt.Errorf("erlang:set_cookie/2 failed at %s", s.node)
	}
	if answer != erldist.Term(erldist.Atom("true")) {
		return fmt.Errorf("erlang:set_cookie/2 at %s did not return true", s.node)
	}
	return nil
}
