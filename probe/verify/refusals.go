package verify

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/erldist"
)

// Trials are the connections that a node must refuse, in the order tried.
func Trials() []v1alpha1.RefusalTrial {
	return []v1alpha1.RefusalTrial{
		v1alpha1.TrialNoCertificate, v1alpha1.TrialForeignCA, v1alpha1.TrialPlaintext, v1alpha1.TrialWrongCookie,
	}
}

// TryRefusals tries the connections that a verified node must refuse, one after the other,
// and names those that it accepted. With an error a trial was not completed: then nothing
// is proven, and all of them are to be tried again.
//
// Each trial adds a line to the node's log, so they run once in its life.
func (v *Verifier) TryRefusals(ctx context.Context, session *Session) (accepted []v1alpha1.RefusalTrial, err error) {
	limit, err := session.trialLimit(ctx)
	if err != nil {
		return nil, err
	}
	for _, trial := range Trials() {
		ok, err := v.try(ctx, trial, session, limit)
		if err != nil {
			return nil, fmt.Errorf("try what %s must refuse, %s: %w", session.node, trial, err)
		}
		if ok {
			accepted = append(accepted, trial)
		}
	}
	return accepted, nil
}

func (v *Verifier) try(ctx context.Context, trial v1alpha1.RefusalTrial, session *Session, limit time.Duration) (accepted bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	address := session.conn.RemoteAddr().String()
	switch trial {
	case v1alpha1.TrialNoCertificate:
		return v.tryConnection(ctx, address, v.clientTLS(session.host, tls.Certificate{}))
	case v1alpha1.TrialForeignCA:
		foreign, err := foreignCertificate(v.Credentials.host(), v.now())
		if err != nil {
			return false, err
		}
		return v.tryConnection(ctx, address, v.clientTLS(session.host, foreign))
	case v1alpha1.TrialPlaintext:
		return v.tryConnection(ctx, address, nil)
	default:
		return v.tryWrongCookie(ctx, session, address)
	}
}

// longestTrial is below the default of net_setuptime, 7 s.
const longestTrial = 6 * time.Second

// trialLimit is how long a trial at a node may take: less than its net_setuptime, after
// which it closes every connection that is not made by then. A close before that is a
// refusal.
func (s *Session) trialLimit(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Call)
	defer cancel()
	answer, err := s.conn.Call(ctx, "application", "get_env", erldist.Atom("kernel"), erldist.Atom("net_setuptime"))
	if err != nil {
		return 0, fmt.Errorf("ask %s for its net_setuptime: %w", s.node, err)
	}
	if set, ok := answer.(erldist.Tuple); ok && len(set) == 2 {
		if seconds, ok := set[1].(erldist.Int); ok && 0 < seconds && seconds < 7 {
			return time.Duration(seconds) * longestTrial / 7, nil
		}
	}
	return longestTrial, nil
}

// tryConnection reports whether a node takes part in a handshake. A refusal is a TLS alert,
// or a close within the limit. Anything else proves nothing, and is an error.
func (v *Verifier) tryConnection(ctx context.Context, address string, config *tls.Config) (accepted bool, err error) {
	answered, err := v.tryHandshake(ctx, address, config)
	failed := new(erldist.StageError)
	switch {
	case answered:
		return true, nil
	case errors.As(err, &failed) && failed.Stage == erldist.StageConnectDistribution:
		return false, err
	case errors.As(err, new(*erldist.AlertError)) || errors.Is(err, erldist.ErrSpeaksTLS) || isHangUp(err):
		return false, nil
	default:
		return false, err
	}
}

// tryWrongCookie is accepted by a node that does not close the connection on a wrong proof.
func (v *Verifier) tryWrongCookie(ctx context.Context, session *Session, address string) (accepted bool, err error) {
	dialer := v.anonymousDialer()
	dialer.Cookie = erldist.NewCookie(rand.Text())
	if !v.Plaintext {
		dialer.TLS = v.clientTLS(session.host, v.Credentials.Certificate)
	}
	conn, err := dialer.DialAddress(ctx, session.node, address)
	switch {
	case err == nil:
		_ = conn.Close() // Only whether it would be accepted matters.
		return true, nil
	case errors.Is(err, erldist.ErrPeerCookie):
		return true, nil
	case errors.Is(err, erldist.ErrCookieRejected):
		return false, nil
	default:
		return false, err
	}
}

// clientTLS trusts what the cluster trusts, and sends the given certificate.
func (v *Verifier) clientTLS(host string, certificate tls.Certificate) *tls.Config {
	config := erldist.ClientTLS(v.Credentials.Trust.Pool(), certificate)
	config.ServerName = host
	if v.MinTLS != 0 {
		config.MinVersion = v.MinTLS
	}
	config.Time = v.now
	return config
}
