package verify

import (
	"context"
	"fmt"

	"github.com/erlang-operator/erlang-operator/erldist"
)

// DropPEMCache has the node read its certificate and trust bundle again for the next
// connection. By itself it reads them every two minutes; ssl:clear_pem_cache/0 clears
// another cache than that of distribution (ssl_pem_cache_dist). Links are kept.
func (s *Session) DropPEMCache(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Call)
	defer cancel()

	request := erldist.Tuple{erldist.Atom("unconditionally_clear_pem_cache"), erldist.Atom("self")}
	if _, err := s.conn.Call(ctx, "gen_server", "call", erldist.Atom("ssl_pem_cache_dist"), request); err != nil {
		return fmt.Errorf("have %s read its certificates again: %w", s.node, err)
	}
	return nil
}

// TryCanary reports whether a verified node accepts the canary. With an error that is not
// known.
func (v *Verifier) TryCanary(ctx context.Context, session *Session) (accepted bool, err error) {
	limit, err := session.trialLimit(ctx)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	address := session.conn.RemoteAddr().String()
	accepted, err = v.tryConnection(ctx, address, v.clientTLS(session.host, v.Credentials.Canary.Certificate))
	if err != nil {
		return false, fmt.Errorf("show %s the canary: %w", session.node, err)
	}
	return accepted, nil
}
