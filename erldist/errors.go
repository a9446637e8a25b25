package erldist

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"strconv"
	"time"
)

var (
	// ErrNotRegistered says that EPMD knows no node of that name.
	ErrNotRegistered = errors.New("EPMD knows no node of this name")

	// ErrCookieRejected says that the peer closed the connection in answer to our
	// proof of the cookie: it has another one. (dist_util.erl closes without a
	// message and logs "Invalid challenge reply".)
	ErrCookieRejected = errors.New("the peer closed the connection on our proof of the cookie: it has another cookie")

	// ErrPeerCookie says that the peer took our proof of the cookie but could
	// not give its own: whatever it is, it does not know the cookie.
	ErrPeerCookie = errors.New("the peer's own proof of the cookie is wrong")

	// ErrSpeaksTLS says that a plaintext attempt was answered with a TLS alert.
	ErrSpeaksTLS = errors.New("the peer speaks TLS, not plaintext distribution")

	// ErrClosed says that the connection was closed by our own Close.
	ErrClosed = errors.New("the distribution connection is closed")
)

// StageError is the type of all errors of Dial, Lookup, Names and the calls.
type StageError struct {
	// Stage is the one that failed.
	Stage Stage
	// Node is the wanted node's name, or the host when only EPMD was asked.
	Node string
	// Address is the address spoken to, or the host when it does not resolve.
	Address string
	// Received counts the bytes that the peer sent on this connection. A
	// silent peer and one that says the wrong thing fail alike otherwise.
	Received int64
	// Err is the cause.
	Err error
}

func (e *StageError) Error() string {
	return fmt.Sprintf("%s: %s (%s): %v", e.Node, e.Stage, e.Address, e.Err)
}

// Unwrap returns the cause.
func (e *StageError) Unwrap() error { return e.Err }

// TimeoutError says that a stage took longer than it may, because of the
// stage's own limit or the deadline of the context. errors.Is finds
// context.DeadlineExceeded in it.
type TimeoutError struct {
	// After is how long the stage had been running.
	After time.Duration
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("no answer within %s", e.After.Round(time.Millisecond))
}

// Unwrap returns context.DeadlineExceeded.
func (e *TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// Timeout makes a TimeoutError look like one of package net.
func (e *TimeoutError) Timeout() bool { return true }

// StatusError is a refusal in message 2 of the handshake.
type StatusError struct {
	// Status as sent: "nok", "not_allowed", "alive", or what else the peer said,
	// shortened.
	Status string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the peer refused the handshake with status %q", e.Status)
}

// NameMismatchError says that another node than the wanted one answered.
type NameMismatchError struct {
	Want, Got string
}

func (e *NameMismatchError) Error() string {
	return fmt.Sprintf("the peer is %q, not %q", e.Got, e.Want)
}

// FlagsError says that the peer lacks capabilities that this package needs:
// it is older than OTP 25.
type FlagsError struct {
	Missing Flags
}

func (e *FlagsError) Error() string {
	return fmt.Sprintf("the peer lacks the distribution flags %s", e.Missing)
}

// AlertError is a TLS alert sent by the peer, during the TLS handshake or, with
// TLS 1.3, after it.
type AlertError struct {
	// Number is the AlertDescription of RFC 8446, section 6: 116 is
	// certificate_required, 48 unknown_ca, 45 certificate_expired.
	Number uint8
}

func (e *AlertError) Error() string {
	return "the peer sent TLS alert " + strconv.Itoa(int(e.Number)) + " (" + tls.AlertError(e.Number).Error() + ")"
}

// MalformedError says that the peer sent what the protocol does not allow.
type MalformedError struct {
	// Message is the protocol's name of the message, such as "PORT2_RESP".
	Message string
	// Problem says what is wrong with it.
	Problem string
	// Excerpt is the beginning of the message, at most MaxExcerpt bytes. It is
	// empty for messages after our proof of the cookie, since a hostile peer
	// could send our own secrets back.
	Excerpt []byte
}

// MaxExcerpt bounds MalformedError.Excerpt.
const MaxExcerpt = 32

func (e *MalformedError) Error() string {
	if len(e.Excerpt) == 0 {
		return fmt.Sprintf("malformed %s: %s", e.Message, e.Problem)
	}
	return fmt.Sprintf("malformed %s: %s (begins with %q)", e.Message, e.Problem, e.Excerpt)
}

func malformed(message string, received []byte, format string, args ...any) *MalformedError {
	excerpt := append([]byte(nil), received[:min(len(received), MaxExcerpt)]...)
	return &MalformedError{Message: message, Problem: fmt.Sprintf(format, args...), Excerpt: excerpt}
}

// CallError is a remote call that did not return: rpc's {badrpc, Reason}, the
// exception that erpc reports, or net_kernel's answer to a ping that is not yes.
type CallError struct {
	// Module and Function are the call's; the arguments are kept out.
	Module, Function string
	// Class is "badrpc" for Call and CallAll; "throw", "exit" or "error" for ERPC;
	// "refused" for Ping.
	Class string
	// Reason is the whole reason. It often quotes the call's arguments, so it
	// must not be printed where these may be secret; Error does not.
	Reason Term
}

func (e *CallError) Error() string {
	return fmt.Sprintf("remote call %s:%s failed: %s (%s)", e.Module, e.Function, e.Class, reasonName(e.Reason))
}

// plainReasons are the exit reasons that can be shown: atoms of the runtime
// system, which cannot hold an argument of the call.
var plainReasons = map[Atom]bool{
	"EXIT": true, "undef": true, "badarg": true, "badarith": true, "function_clause": true,
	"case_clause": true, "if_clause": true, "badmatch": true, "badfun": true, "badarity": true,
	"noproc": true, "nodedown": true, "noconnection": true, "timeout": true, "timeout_value": true,
	"killed": true, "kill": true, "normal": true, "shutdown": true, "system_limit": true,
	"exception": true, "signal": true, "not_alive": true, "calling_self": true,
}

// reasonName shows the outermost well-known atoms of a reason.
func reasonName(reason Term) string {
	switch r := reason.(type) {
	case Atom:
		if plainReasons[r] {
			return string(r)
		}
	case Tuple:
		if len(r) == 0 {
			break
		}
		name := reasonName(r[0])
		if name == "EXIT" && len(r) > 1 {
			return reasonName(r[1])
		}
		return name
	}
	return "reason withheld"
}

// alertNumber finds the alert that crypto/tls hides behind an unexported
// integer type: &net.OpError{Op: "remote error", Err: alert(n)}.
func alertNumber(err error) (uint8, bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" || op.Err == nil {
		return 0, false
	}
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false
	}
	return uint8(v.Uint()), true
}

// isTimeout tells deadlines, ours and the kernel's, from other errors.
func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &n) && n.Timeout()
}
