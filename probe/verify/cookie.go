package verify

import (
	"context"
	"fmt"

	"github.com/erlang-operator/erlang-operator/erldist"
)

// ChangeCookie takes a node that still runs with the cookie before to the one of now.
// The node's links stay: a cookie is for making new ones (auth(3kernel)). An error
// says why the node could not be reached with the cookie before, either.
func (v *Verifier) ChangeCookie(ctx context.Context, target Target) error {
	former := *v
	former.Credentials.Cookie = v.Credentials.FormerCookie
	verdict, session := former.Verify(ctx, target)
	if session == nil {
		return fmt.Errorf("reach %s with the cookie before: %s", target.Node, verdict.Reason)
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
		// The cause stays out: a node tells a failed call by its arguments.
		return fmt.Errorf("erlang:set_cookie/2 failed at %s", s.node)
	}
	if answer != erldist.Term(erldist.Atom("true")) {
		return fmt.Errorf("erlang:set_cookie/2 at %s did not return true", s.node)
	}
	return nil
}
