package probe

import (
	"slices"

	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

// provenCookie is the cookie that nodes were verified with last. If somebody replaces the
// cookie's Secret as a whole, nothing else has the cookie that the nodes run with: they are
// taken over to the new one, as in a rotation, and nodes that start have it already.
type provenCookie struct{ erldist.Cookie }

// complete adds the former cookie to credentials, if their Secret has none.
func (p provenCookie) complete(credentials verify.Credentials) verify.Credentials {
	if credentials.FormerCookie.IsZero() && !p.Equal(credentials.Cookie) {
		credentials.FormerCookie = p.Cookie
	}
	return credentials
}

// learn takes the cookie that nodes were verified with for the proven one. Another replaces
// it only when every node has that.
func (p *provenCookie) learn(cookie erldist.Cookie, result sweep.Result) {
	has := func(o sweep.Outcome) bool { return o.Verified() && !o.FormerCookie }
	lacks := func(o sweep.Outcome) bool { return !has(o) }
	if slices.ContainsFunc(result.Outcomes, has) && (p.IsZero() || !slices.ContainsFunc(result.Outcomes, lacks)) {
		p.Cookie = cookie
	}
}
