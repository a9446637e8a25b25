package verify

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/erlang-operator/erlang-operator/erldist"
)

// Confirm asks a node for its peers over a session that was kept open. It is an error if the
// node's host has another address by now: another node may have its name.
func (v *Verifier) Confirm(ctx context.Context, target Target, session *Session) (peers []string, err error) {
	addresses, err := v.resolve(target)(ctx, session.host)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", session.host, err)
	}
	if !slices.ContainsFunc(addresses, session.isAt) {
		return nil, fmt.Errorf("the session with %s is at %s, and its host is at %v", session.node, session.conn.RemoteAddr(), addresses)
	}
	return session.Peers(ctx)
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

// Peers asks the node for its peers alone, which costs it a third of Info.
func (s *Session) Peers(ctx context.Context) ([]string, error) {
	answer, err := s.conn.Call(ctx, "erlang", "nodes")
	if err != nil {
		return nil, fmt.Errorf("ask %s for its peers: %w", s.node, err)
	}
	if peers, ok := erldist.Atoms(answer); ok {
		return peers, nil
	}
	return nil, fmt.Errorf("ask %s for its peers: the answer to erlang:nodes/0 has the wrong type", s.node)
}
