package erldist

import (
	"context"
	"time"
)

// Stage is a step of a connection to a node. The constants are in the order in which
// the steps are taken.
type Stage int

const (
	// StageResolve resolves the host part of the node's name.
	StageResolve Stage = iota + 1
	// StageConnect connects to EPMD. Skipped if the port is fixed.
	StageConnect
	// StageLookup asks EPMD for the node's distribution port. Skipped if the port is
	// fixed.
	StageLookup
	// StageConnectDistribution connects to the distribution port.
	StageConnectDistribution
	// StageTLS is the TLS handshake, in which both sides verify each other (ssl's
	// inet_tls_dist.erl). Skipped in plaintext. With TLS 1.3 the peer's refusal of our
	// certificate arrives with the first read of the next stage; it is reported as a
	// failure of this one.
	StageTLS
	// StageHandshake is the distribution handshake: names, flags and cookie
	// (erl_dist_protocol, "Distribution Handshake").
	StageHandshake
	// StageCall is a remote call on an established connection.
	StageCall
)

var stageNames = [...]string{
	StageResolve: "Resolve", StageConnect: "Connect", StageLookup: "Lookup",
	StageConnectDistribution: "ConnectDistribution", StageTLS: "TLS",
	StageHandshake: "Handshake", StageCall: "Call",
}

// String returns the stage's name as used in conditions and metrics.
func (s Stage) String() string {
	if s < StageResolve || s > StageCall {
		return "Unknown"
	}
	return stageNames[s]
}

// MarshalText returns the stage's name.
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// StageReport is the result of a stage.
type StageReport struct {
	Stage    Stage
	Address  string // the remote address; the host in StageResolve
	Start    time.Time
	Duration time.Duration
	Err      error // nil if the stage passed, else a *StageError
}

// Trace is a set of functions to be called while a connection is made and used. Any of
// them may be nil. They are called in order, on the caller's goroutine, and must not
// block.
type Trace struct {
	// StageStart is called before a stage.
	StageStart func(stage Stage, address string)
	// StageDone is called after a stage, whether it passed or failed.
	StageDone func(StageReport)
	// Resolved is called with the addresses of the node's host.
	Resolved func(addresses []string)
	// Registered is called with EPMD's answer.
	Registered func(Registration)
	// Status is called with the status of message 2 of the handshake: "ok",
	// "nok", "not_allowed", "alive" or "named".
	Status func(status string)
	// Named is called with what the peer reports about itself in message 3, before its
	// name is compared with the expected one and before our proof of the cookie.
	Named func(Peer)
}

type traceKey struct{}

// WithTrace returns a context with which Dial, Lookup, Names and the remote calls of a
// Conn call the functions of trace.
func WithTrace(ctx context.Context, trace *Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, trace)
}

// traceOf never returns nil.
func traceOf(ctx context.Context) *Trace {
	if t, ok := ctx.Value(traceKey{}).(*Trace); ok && t != nil {
		return t
	}
	return &Trace{}
}
