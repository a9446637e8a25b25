package verify

import (
	"context"
	"crypto/subtle"
	"fmt"

	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/erldist"
)

// VerifyFormer is Verify with the cookie that the nodes change from.
func (v *Verifier) VerifyFormer(ctx context.Context, target Target) (Verdict, *Session) {
	former := *v
	former.Credentials.Cookie = v.Credentials.FormerCookie
	return former.Verify(ctx, target)
}

// ChangeCookie changes the cookie of a node, unless the file from which the other BEAMs of
// its container take the cookie has another one: then it reports that nothing changed. The
// node's links are kept: a cookie matters for new ones only (auth(3kernel)).
func (s *Session) ChangeCookie(ctx context.Context, cookie erldist.Cookie) (changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Call)
	defer cancel()

	switch has, err := s.fileHas(ctx, cookie); {
	case err != nil:
		return false, err
	case !has:
		return false, nil
	}
	answer, err := s.conn.Call(ctx, "erlang", "set_cookie", erldist.Atom(s.node), erldist.Atom(cookie.Reveal()))
	if err != nil {
		// The cause is left out: it may quote the arguments of the call.
		return false, fmt.Errorf("erlang:set_cookie/2 failed at %s", s.node)
	}
	if answer != erldist.Term(erldist.Atom("true")) {
		return false, fmt.Errorf("erlang:set_cookie/2 at %s did not return true", s.node)
	}
	return true, nil
}

// fileHas reports whether the node's file has the cookie. A node that has no such file does
// not share its cookie with others by it, so it counts as one that has.
func (s *Session) fileHas(ctx context.Context, cookie erldist.Cookie) (bool, error) {
	answer, err := s.conn.Call(ctx, "file", "read_file", erldist.String(naming.CookieFile))
	if err != nil {
		// The cause is left out: it may quote the answer.
		return false, fmt.Errorf("file:read_file/1 failed at %s", s.node)
	}
	result, ok := answer.(erldist.Tuple)
	if !ok || len(result) != 2 {
		return false, errUnexpectedAnswer
	}
	content, read := result[1].(erldist.Binary)
	return !read || subtle.ConstantTimeCompare(content, []byte(cookie.Reveal())) == 1, nil
}
