package verify

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/erlang-operator/erlang-operator/erldist"
)

// firstLook is the part of a stage's time that leaves enough for a second look.
func firstLook(limit time.Duration) time.Duration { return limit * 3 / 5 }

// lookAgain tries what tells the several causes of one symptom apart, in what is
// left of the stage's time.
func (v *Verifier) lookAgain(ctx context.Context, err error, seen *observation) {
	failed := new(erldist.StageError)
	if !errors.As(err, &failed) {
		return
	}
	switch {
	case failed.Stage == erldist.StageLookup && errors.Is(err, erldist.ErrNotRegistered):
		ctx, cancel := context.WithDeadline(ctx, seen.began.Add(v.Limits.Lookup))
		defer cancel()
		seen.registered = v.namesAt(ctx, seen.target)
	case failed.Stage == erldist.StageTLS && !seen.secured && isSilent(err):
		ctx, cancel := context.WithDeadline(ctx, seen.began.Add(v.Limits.TLS))
		defer cancel()
		seen.plaintext = v.speaksPlaintext(ctx, failed.Address)
		seen.deaf = !seen.plaintext && isHangUp(err) && v.hangsUp(ctx, failed.Address)
	}
}

// isSilent says that a TLS handshake got no answer in TLS.
func isSilent(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || isHangUp(err) || isOtherThanTLS(err)
}

// isOtherThanTLS says that what came back was not TLS.
func isOtherThanTLS(err error) bool {
	return errors.As(err, &tls.RecordHeaderError{})
}

// isHangUp says that the peer closed the connection without a word.
func isHangUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// namesAt lists what is registered with epmd on the node's host; nil when it does
// not say.
func (v *Verifier) namesAt(ctx context.Context, target Target) []string {
	_, host, _ := erldist.SplitNodeName(target.Node)
	dialer := v.stranger()
	dialer.EPMDPort = target.EPMDPort
	dialer.Network = target.Network
	lines, err := dialer.Names(ctx, host)
	if err != nil {
		return nil
	}
	names := make([]string, len(lines))
	for i, line := range lines {
		names[i] = line.Name
	}
	return names
}

// nobody is a node that no node is. A peer takes us in before it says its own name,
// and only then does erldist see that it is another, and leave: so how far a peer
// lets us come is seen without a word about the cookie.
const nobody = "nobody@invalid"

// speaksPlaintext says that a port answers the distribution handshake in
// plaintext.
func (v *Verifier) speaksPlaintext(ctx context.Context, address string) bool {
	answered, _ := v.knock(ctx, address, nil)
	return answered
}

// hangsUp says that a port breaks connections off on which nothing was said. Whether we
// see the end of one, or a reset, is chance: it depends on whether our words had come.
func (v *Verifier) hangsUp(ctx context.Context, address string) bool {
	conn, err := v.stranger().DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	if deadline, limited := ctx.Deadline(); limited {
		if err := conn.SetReadDeadline(deadline); err != nil {
			return false
		}
	}
	_, err = conn.Read(make([]byte, 1))
	return isHangUp(err)
}

// knock says whether a distribution port takes part in a handshake, as far as
// somebody comes who does not know the cookie.
func (v *Verifier) knock(ctx context.Context, address string, config *tls.Config) (answered bool, err error) {
	ctx = erldist.WithTrace(ctx, &erldist.Trace{Status: func(string) { answered = true }})
	dialer := v.stranger()
	dialer.TLS = config
	conn, err := dialer.DialAddress(ctx, nobody, address)
	if err == nil {
		_ = conn.Close() // Whoever calls itself nobody is no node.
	}
	return answered, err
}
