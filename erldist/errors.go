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
	// ErrNotRegistered means that no node of that name is registered with EPMD.
	ErrNotRegistered = errors.New("no node of this name is registered with EPMD")

	// ErrCookieRejected means that the peer closed the connection after our proof of the
	// cookie: it has another one. (dist_util.erl closes without a message and logs
	// "Invalid challenge reply".)
	ErrCookieRejected = errors.New("the peer closed the connection on our proof of the cookie: it has another cookie")

	// ErrPeerCookie means that the peer accepted our proof of the cookie but failed to
	// prove it itself: whatever it is, it does not know the cookie.
	ErrPeerCookie = errors.New("the peer's own proof of the cookie is wrong")

	// ErrSpeaksTLS means that the peer answered a plaintext attempt with a TLS alert.
	ErrSpeaksTLS = errors.New("the peer speaks TLS, not plaintext distribution")

	// ErrClosed means that the connection was closed by Close.
	ErrClosed = errors.New("the distribution connection is closed")
)

// StageError is the type of all errors of Dial, Lookup, Names and remote calls.
type StageError struct {
	// Stage is the one that failed.
	Stage Stage
	// Node is the name of the node, or the host if only EPMD was asked.
	Node string
	// Address is the remote address, or the host if it was not resolved.
	Address string
	// Received is the number of bytes received on this connection. It distinguishes a
	// silent peer from one that sent something unexpected.
	Received int64
	// Err is the cause.
	Err error
}

func (e *StageError) Error() string {
	return fmt.Sprintf("%s: %s (%s): %v", e.Node, e.Stage, e.Address, e.Err)
}

// Unwrap returns the cause.
func (e *StageError) Unwrap() error { return e.Err }

// TimeoutError means that a stage exceeded its time limit or the context's deadline. It
// wraps context.DeadlineExceeded.
type TimeoutError struct {
	// After is how long the stage had been running.
	After time.Duration
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("no answer within %s", e.After.Round(time.Millisecond))
}

// Unwrap returns context.DeadlineExceeded.
func (e *TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// Timeout makes TimeoutError a timeout in the sense of net.Error.
func (e *TimeoutError) Timeout() bool { return true }

// StatusError is a refusal by the message send_status of the handshake
// (erl_dist_protocol).
type StatusError struct {
	// Status is the status as sent: "nok", "not_allowed", "alive", or another one,
	// truncated.
	Status string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the peer refused the handshake with status %q", e.Status)
}

// NameMismatchError means that another node answered than the expected one.
type NameMismatchError struct {
	Want, Got string
}

func (e *NameMismatchError) Error() string {
	return fmt.Sprintf("the peer is %q, not %q", e.Got, e.Want)
}

// FlagsError means that the peer lacks distribution flags (dist.hrl) that this package
// needs: it is older than OTP 25.
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

// MalformedError means that the peer sent a message that violates the protocol
// (erl_dist_protocol, erl_ext_dist).
type MalformedError struct {
	// Message is the protocol's name of the message, such as "PORT2_RESP".
	Message string
	// Problem describes what is wrong with it.
	Problem string
	// Excerpt is the beginning of the message, at most MaxExcerpt bytes. It is empty for
	// messages after our proof of the cookie, because a hostile peer could send our
	// secrets back.
	Excerpt []byte
}

// MaxExcerpt is the maximum length of MalformedError.Excerpt.
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

// CallError means that a remote call failed on the node: {badrpc, Reason} of rpc, an
// exception reported by erpc, or an answer of net_kernel to a ping other than yes.
type CallError struct {
	// Module and Function were called. The arguments are omitted, as they may be secret.
	Module, Function string
	// Class is "badrpc" for Call and CallAll; "throw", "exit" or "error" for ERPC;
	// "refused" for Ping.
	Class string
	// Reason is the full reason. It often contains the call's arguments, so it must not
	// be printed where they may be secret; Error omits it.
	Reason Term
}

func (e *CallError) Error() string {
	return fmt.Sprintf("remote call %s:%s failed: %s (%s)", e.Module, e.Function, e.Class, reasonName(e.Reason))
}

// plainReasons are the exit reasons that can be shown: atoms of the runtime system,
// which cannot contain an argument of the call.
var plainReasons = map[Atom]bool{
	"EXIT": true, "undef": true, "badarg": true, "badarith": true, "function_clause": true,
	"case_clause": true, "if_clause": true, "badmatch": true, "badfun": true, "badarity": true,
	"noproc": true, "nodedown": true, "noconnection": true, "timeout": true, "timeout_value": true,
	"killed": true, "kill": true, "normal": true, "shutdown": true, "system_limit": true,
	"exception": true, "signal": true, "not_alive": true, "calling_self": true,
}

// reasonName returns the outermost well-known atom of a reason.
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

// alertNumber returns the alert that crypto/tls wraps in an unexported integer type:
// &net.OpError{Op: "remote error", Err: alert(n)}.
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

// isTimeout reports whether an error is a deadline's, of the program or of the kernel.
func isTimeout(err error) bool {
	var n net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &n) && n.Timeout()
}
