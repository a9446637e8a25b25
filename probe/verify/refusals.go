package verify

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/erldist"
)

// Trials are the ways in that a node must refuse, in the order tried.
func Trials() []v1alpha1.RefusalTrial {
	return []v1alpha1.RefusalTrial{
		v1alpha1.TrialNoCertificate, v1alpha1.TrialForeignCA, v1alpha1.TrialPlaintext, v1alpha1.TrialWrongCookie,
	}
}

// TryRefusals tries at a node that was verified what it must refuse, one after the
// other, and names what it let in. An error says that a trial came to no end: then
// nothing is proven, and all of them are to be tried again.
//
// Each trial costs the node a line in its log, so they are for once in its life.
func (v *Verifier) TryRefusals(ctx context.Context, session *Session) (accepted []v1alpha1.RefusalTrial, err error) {
	for _, trial := range Trials() {
		letIn, err := v.try(ctx, trial, session)
		if err != nil {
			return nil, fmt.Errorf("try what %s must refuse, %s: %w", session.node, trial, err)
		}
		if letIn {
			accepted = append(accepted, trial)
		}
	}
	return accepted, nil
}

func (v *Verifier) try(ctx context.Context, trial v1alpha1.RefusalTrial, session *Session) (letIn bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, v.Limits.TLS+v.Limits.Handshake)
	defer cancel()
	address := session.conn.RemoteAddr().String()

	switch trial {
	case v1alpha1.TrialNoCertificate:
		return refused(v.knock(ctx, address, v.clientTLS(session.host, tls.Certificate{})))
	case v1alpha1.TrialForeignCA:
		foreign, err := foreignCertificate(v.Credentials.host(), v.now())
		if err != nil {
			return false, err
		}
		return refused(v.knock(ctx, address, v.clientTLS(session.host, foreign)))
	case v1alpha1.TrialPlaintext:
		return refused(v.knock(ctx, address, nil))
	default:
		return v.tryWrongCookie(ctx, session, address)
	}
}

// refused tells a refusal, which is any answer but taking part, from no answer.
func refused(letIn bool, err error) (bool, error) {
	failed := new(erldist.StageError)
	switch {
	case letIn:
		return true, nil
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		return false, err
	case errors.As(err, &failed) && failed.Stage == erldist.StageConnectDistribution:
		return false, err
	default:
		return false, nil
	}
}

// tryWrongCookie is let in by a node that closes no connection on a wrong proof.
func (v *Verifier) tryWrongCookie(ctx context.Context, session *Session, address string) (letIn bool, err error) {
	dialer := v.stranger()
	dialer.Cookie = erldist.NewCookie(rand.Text())
	if !v.Plaintext {
		dialer.TLS = v.clientTLS(session.host, v.Credentials.Certificate)
	}
	conn, err := dialer.DialAddress(ctx, session.node, address)
	switch {
	case err == nil:
		_ = conn.Close() // We have no business there.
		return true, nil
	case errors.Is(err, erldist.ErrPeerCookie):
		return true, nil
	case errors.Is(err, erldist.ErrCookieRejected):
		return false, nil
	default:
		return false, err
	}
}

// clientTLS trusts what the cluster trusts, and shows a certificate of one's choice.
func (v *Verifier) clientTLS(host string, certificate tls.Certificate) *tls.Config {
	config := erldist.ClientTLS(v.Credentials.Trust.Pool(), certificate)
	config.ServerName = host
	config.Time = v.now
	return config
}
