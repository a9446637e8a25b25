package verify

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/erlang-operator/erlang-operator/erldist"
)

// firstAttempt is the part of a stage's time that leaves enough for the follow-up: of the
// default limit of TLS, net_setuptime.
func firstAttempt(limit time.Duration) time.Duration { return limit * 7 / 8 }

// followUp tells several causes of one symptom apart, in what is left of the stage's time.
func (v *Verifier) followUp(ctx context.Context, err error, seen *observation) {
	failed := new(erldist.StageError)
	if !errors.As(err, &failed) {
		return
	}
	switch {
	case v.Located != nil && (failed.Stage == erldist.StageConnect || failed.Stage == erldist.StageConnectDistribution):
		_, host, _ := erldist.SplitNodeName(seen.target.Node)
		seen.published = slices.Sorted(slices.Values(v.Located(host)))
	case failed.Stage == erldist.StageLookup && errors.Is(err, erldist.ErrNotRegistered):
		ctx, cancel := context.WithDeadline(ctx, seen.began.Add(v.Limits.Lookup))
		defer cancel()
		var ports []uint16
		seen.registered, ports = v.registeredAt(ctx, seen.target)
		if len(ports) == 1 {
			seen.runsAs = v.nameAt(ctx, failed.Address, ports[0], seen)
		}
	case errors.Is(err, erldist.ErrCookieRejected):
		ctx, cancel := context.WithDeadline(ctx, seen.began.Add(v.Limits.Handshake))
		defer cancel()
		if seen.timedOutThere = seen.setup() > netSetuptime; !seen.timedOutThere {
			seen.answersAgain = v.answersAgain(ctx, failed.Address, seen)
		}
	case failed.Stage == erldist.StageTLS && !seen.secured && failed.Received == 0:
		took := time.Since(seen.began)
		ctx, cancel := context.WithDeadline(ctx, seen.began.Add(v.Limits.TLS))
		defer cancel()
		if took < firstAttempt(v.Limits.TLS)*6/7 {
			seen.closesIdle = isHangUp(err) && v.closesIdleConnections(ctx, failed.Address)
		} else if !seen.target.NotPlaintext {
			seen.triedPlaintext = true
			seen.plaintext = v.speaksPlaintext(ctx, failed.Address)
		}
	}
}

// isOtherThanTLS reports whether the answer was not TLS.
func isOtherThanTLS(err error) bool {
	return errors.As(err, &tls.RecordHeaderError{})
}

// isHangUp reports whether the peer closed the connection.
func isHangUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// registeredAt lists the names that epmd on the node's host knows, and their ports; nil when
// it does not answer.
func (v *Verifier) registeredAt(ctx context.Context, target Target) (names []string, ports []uint16) {
	_, host, _ := erldist.SplitNodeName(target.Node)
	dialer := v.anonymousDialer()
	dialer.EPMDPort = target.EPMDPort
	dialer.Network = target.Network
	dialer.Resolve = v.resolve(target)
	lines, err := dialer.Names(ctx, host)
	if err != nil {
		return nil, nil
	}
	names = []string{}
	for _, line := range lines {
		names, ports = append(names, line.Name), append(ports, line.Port)
	}
	return names, ports
}

// nameAt is the full name of the node that listens on a port of epmd's host, which it tells
// before any proof of the cookie; empty when it does not.
func (v *Verifier) nameAt(ctx context.Context, epmd string, port uint16, seen *observation) string {
	host, _, err := net.SplitHostPort(epmd)
	if err != nil || !seen.target.Ports.contains(port) {
		return ""
	}
	_, err = v.tryHandshake(ctx, net.JoinHostPort(host, strconv.Itoa(int(port))), v.ourTLS(seen))
	if another := new(erldist.NameMismatchError); errors.As(err, &another) {
		return another.Got
	}
	return ""
}

// netSetuptime is after how long a node closes a connection that is not made by then, less
// what the begin of it may differ by.
const netSetuptime = 6500 * time.Millisecond

// answersAgain reports whether a node takes part in another handshake, up to the cookie. One
// that is stopping does not.
func (v *Verifier) answersAgain(ctx context.Context, address string, seen *observation) bool {
	answered, _ := v.tryHandshake(ctx, address, v.ourTLS(seen))
	return answered
}

// ourTLS is for another connection to the same host; nil in plaintext.
func (v *Verifier) ourTLS(seen *observation) *tls.Config {
	if v.Plaintext {
		return nil
	}
	return v.clientTLS(seen.host(), v.Credentials.Certificate)
}

// speaksPlaintext reports whether a port answers the distribution handshake in plaintext. A
// node in plaintext takes the beginning of TLS for that of a long message: it says nothing,
// and closes the connection after net_setuptime. One over TLS that is busy for as long logs
// what looks like an attack.
func (v *Verifier) speaksPlaintext(ctx context.Context, address string) bool {
	answered, _ := v.tryHandshake(ctx, address, nil)
	return answered
}

// closesIdleConnections reports whether a port closes connections on which nothing was
// sent. Otherwise it is chance whether we see an end or a reset: it depends on whether our
// data had arrived.
func (v *Verifier) closesIdleConnections(ctx context.Context, address string) bool {
	conn, err := v.anonymousDialer().DialContext(ctx, "tcp", address)
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

// noSuchNode is the name of no node. A peer accepts a handshake before it tells its own
// name, and only then does erldist find that it is another one, and disconnect. So how far
// a peer lets us proceed is seen without any proof of the cookie.
const noSuchNode = "nobody@invalid"

// tryHandshake reports whether a distribution port takes part in a handshake, as far as a
// client gets that does not know the cookie.
func (v *Verifier) tryHandshake(ctx context.Context, address string, config *tls.Config) (answered bool, err error) {
	ctx = erldist.WithTrace(ctx, &erldist.Trace{Status: func(string) { answered = true }})
	dialer := v.anonymousDialer()
	dialer.TLS = config
	conn, err := dialer.DialAddress(ctx, noSuchNode, address)
	if err == nil {
		_ = conn.Close() // No node has that name.
	}
	return answered, err
}
