package verify

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/erlang-operator/erlang-operator/erldist"
)

// Confirm asks a node for its peers over a session that was kept open. It is an error if the
// node's host has another address by now: another node may have its name. It also is if the node
// has another cookie, which no open connection shows.
func (v *Verifier) Confirm(ctx context.Context, target Target, session *Session) (peers []string, err error) {
	addresses, err := v.locate(ctx, target, session.host)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", session.host, err)
	}
	if !slices.ContainsFunc(addresses, session.isAt) {
		return nil, fmt.Errorf("the session with %s is at %s, and its host is at %v", session.node, session.conn.RemoteAddr(), addresses)
	}
	peers, cookie, err := session.peersAndCookie(ctx)
	if err == nil && !cookie.Equal(v.Credentials.Cookie) {
		err = fmt.Errorf("the cookie of %s was changed in the node", session.node)
	}
	return peers, err
}

// locate finds the addresses of a target's host where Kubernetes tells them, without DNS.
func (v *Verifier) locate(ctx context.Context, target Target, host string) ([]string, error) {
	if v.Located != nil {
		return v.Located(host), nil
	}
	return v.resolve(target)(ctx, host)
}

// peersAndCookie asks for both in one call: to be woken costs a node most.
func (s *Session) peersAndCookie(ctx context.Context) (peers []string, cookie erldist.Cookie, err error) {
	answers, err := s.conn.CallAll(ctx,
		erldist.MFA{Module: "erlang", Function: "nodes"}, erldist.MFA{Module: "erlang", Function: "get_cookie"})
	if err != nil {
		// The cause is left out: it may quote the answer.
		return nil, cookie, fmt.Errorf("ask %s for its peers over the session that was kept: no answer", s.node)
	}
	peers, ok := erldist.Atoms(answers[0])
	text, isAtom := answers[1].(erldist.Atom)
	if !ok || !isAtom {
		return nil, cookie, fmt.Errorf("ask %s for its peers: the answer has the wrong types", s.node)
	}
	return peers, erldist.NewCookie(string(text)), nil
}

// isAt reports whether the session is a connection to an address.
func (s *Session) isAt(address string) bool {
	remote, err := netip.ParseAddrPort(s.conn.RemoteAddr().String())
	if err != nil {
		return false
	}
	wanted, err := netip.ParseAddr(address)
	return err == nil && remote.Addr().Unmap() == wanted.Unmap()
}

// Peers asks the node for its peers alone.
func (s *Session) Peers(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Call)
	defer cancel()
	answer, err := s.conn.Call(ctx, "erlang", "nodes")
	if err != nil {
		return nil, fmt.Errorf("ask %s for its peers: %w", s.node, err)
	}
	if peers, ok := erldist.Atoms(answer); ok {
		return peers, nil
	}
	return nil, fmt.Errorf("ask %s for its peers: the answer to erlang:nodes/0 has the wrong type", s.node)
}
