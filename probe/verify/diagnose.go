package verify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/erldist"
)

// finding is what is concluded of a node.
type finding struct {
	Stage   v1alpha1.Stage
	Reason  string
	Message string
}

// maxMessage is the most that the API takes.
const maxMessage = 1024

// diagnose concludes from an error, and from all else that was seen, why a node
// could not be verified.
func diagnose(err error, seen observation) finding {
	if err == nil {
		return seen.passing()
	}
	failed := new(erldist.StageError)
	if !errors.As(err, &failed) {
		return seen.found(v1alpha1.StageCall, v1alpha1.ReasonCallFailed,
			"answers a remote call with what no Erlang node says (%v)", "see what runs on its distribution port", err)
	}
	switch failed.Stage {
	case erldist.StageResolve:
		return seen.resolving(failed)
	case erldist.StageConnect:
		return seen.connecting(failed, v1alpha1.StageConnect, "epmd", "see that a BEAM runs there and is distributed (a pod's command must start one that heeds ERL_ZFLAGS), that epmd, which it starts, has not died or been kept from it by -start_epmd false, and that no network policy closes its port to us")
	case erldist.StageLookup:
		return seen.lookingUp(failed)
	case erldist.StageConnectDistribution:
		return seen.connectingDistribution(failed)
	case erldist.StageTLS:
		if seen.secured {
			return seen.presenting(failed)
		}
		return seen.securing(failed)
	case erldist.StageHandshake:
		return seen.shakingHands(failed)
	default:
		return seen.calling(failed)
	}
}

// slow is how long a connection may take before it is worth a word: two nodes give
// up on each other after net_setuptime, 7 s, and are on their way there.
const slow = 2500 * time.Millisecond

// passing is about a node of which every stage passed.
func (o observation) passing() finding {
	var took time.Duration
	for _, timing := range o.timings {
		if timing.Stage != v1alpha1.StageResolve && timing.Stage != v1alpha1.StageCall {
			took += timing.Duration
		}
	}
	if took < slow {
		return finding{Stage: v1alpha1.StageCall, Reason: v1alpha1.ReasonVerified}
	}
	return o.found(v1alpha1.StageCall, v1alpha1.ReasonSlowHandshake,
		"is verified, but took more than %[2]s to connect",
		"see whether it or its machine is overloaded, and what the network loses or delays on the way: nodes give up on each other after net_setuptime, 7 s", slow)
}

// found words a finding: "NODE cause; remedy".
func (o observation) found(stage v1alpha1.Stage, reason, cause, remedy string, args ...any) finding {
	message := fmt.Sprintf("%s "+cause+"; "+remedy, append([]any{o.target.Node}, args...)...)
	return finding{Stage: stage, Reason: reason, Message: clip(message)}
}

// clip bounds a message whose parts somebody else may have chosen.
func clip(message string) string {
	message = strings.ToValidUTF8(message, "?")
	if utf8.RuneCountInString(message) <= maxMessage {
		return message
	}
	return string([]rune(message)[:maxMessage-1]) + "…"
}

func (o observation) resolving(err *erldist.StageError) finding {
	const stage, reason = v1alpha1.StageResolve, v1alpha1.ReasonNameResolutionFailed
	malformed, unanswered := new(net.AddrError), new(net.DNSError)
	switch {
	case errors.As(err, &malformed):
		return o.found(stage, reason,
			"is no full node name", "give it as name@host")
	case errors.As(err, &unanswered) && unanswered.IsNotFound:
		return o.found(stage, reason,
			"cannot be found: its host has no DNS record",
			"see that its pod exists and has an address, and that its headless Service publishes addresses that are not ready")
	default:
		return o.found(stage, reason,
			"cannot be found: DNS gave no answer about its host", "see that the DNS servers run and can be reached")
	}
}

// connecting is about a TCP connection, to whom of the two is there.
func (o observation) connecting(err *erldist.StageError, stage v1alpha1.Stage, whom, remedy string) finding {
	if errors.Is(err, syscall.ECONNREFUSED) || isHangUp(err) {
		return o.found(stage, v1alpha1.ReasonConnectionRefused,
			"cannot be reached: %[2]s at %[3]s refuses connections", remedy, whom, err.Address)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return o.found(stage, v1alpha1.ReasonConnectionTimedOut,
			"cannot be reached: %[2]s at %[3]s does not answer", remedy, whom, err.Address)
	}
	return o.found(stage, v1alpha1.ReasonConnectionTimedOut,
		"cannot be reached: the network has no way to %[2]s at %[3]s", "see that its pod and its machine run, and what the network says of that address", whom, err.Address)
}

func (o observation) lookingUp(err *erldist.StageError) finding {
	const stage = v1alpha1.StageLookup
	name, _, _ := erldist.SplitNodeName(o.target.Node)
	another := new(erldist.NameMismatchError)
	switch {
	case errors.Is(err, erldist.ErrNotRegistered):
		return o.found(stage, v1alpha1.ReasonNodeNotRegistered,
			"is not running under that name: epmd at %[2]s does not know %[3]q%[4]s",
			"wait until it has started, and else see its log, and with which -name or -sname it is started",
			err.Address, name, o.knownNames())
	case errors.As(err, &another):
		return o.found(stage, v1alpha1.ReasonNodeNameMismatch,
			"was asked for, and epmd at %[2]s answers about %[3]q", "see what runs on that port instead of epmd", err.Address, another.Got)
	default:
		return o.found(stage, v1alpha1.ReasonEPMDUnreachable,
			"cannot be looked up: what listens at %[2]s does not answer as epmd does", "see what runs on that port, and restart epmd", err.Address)
	}
}

// knownNames are the names that epmd does know.
func (o observation) knownNames() string {
	switch known := o.registered; {
	case known == nil:
		return ""
	case len(known) == 0:
		return ", nor any other name"
	default:
		return fmt.Sprintf(", only %s", strings.Join(quoted(known[:min(len(known), 5)]), ", "))
	}
}

func quoted(names []string) []string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	return quoted
}

func (o observation) connectingDistribution(err *erldist.StageError) finding {
	outOfRange := new(portOutOfRangeError)
	if errors.As(err, &outOfRange) {
		return o.found(v1alpha1.StageLookup, v1alpha1.ReasonPortOutOfRange,
			"listens on port %[2]d, outside of %[3]d to %[4]d, where its peers cannot reach it",
			"give it -kernel inet_dist_listen_min %[3]d inet_dist_listen_max %[4]d, and see what else sets them first: its command, vm.args, ERL_AFLAGS or ERL_FLAGS",
			outOfRange.port, o.target.Ports.Min, o.target.Ports.Max)
	}
	remedy := "see in its log whether it runs and listens there, and that no network policy closes the port to us"
	if o.target.FixedPort == 0 {
		remedy = "see in its log whether it still runs, for epmd believes so, and that no network policy closes the port to us"
	}
	return o.connecting(err, v1alpha1.StageConnectDistribution, "the distribution port", remedy)
}

// TLS alerts, RFC 8446 section 6.
const (
	alertHandshakeFailure     = 40
	alertCertificateExpired   = 45
	alertUnknownCA            = 48
	alertProtocolVersion      = 70
	alertInsufficientSecurity = 71
	alertUnrecognizedName     = 112
	alertCertificateRequired  = 116
)

// securing is about a TLS handshake that did not pass: the node's side of it.
func (o observation) securing(err *erldist.StageError) finding {
	const stage = v1alpha1.StageTLS
	alert, unusable, unverified := new(erldist.AlertError), new(certificateError), new(tls.CertificateVerificationError)
	switch {
	case o.plaintext:
		return o.found(stage, v1alpha1.ReasonPlaintextDistribution,
			"runs distribution in plaintext at %[2]s",
			"start it with -proto_dist inet_tls exactly once (given twice, OTP up to 27.0 silently falls back to plaintext): see its command, ERL_FLAGS, ERL_AFLAGS, ERL_ZFLAGS and vm.args", err.Address)
	case errors.As(err, &unusable):
		return o.certificate(unusable.fault.Reason, unusable.fault.Detail)
	case errors.As(err, &alert):
		return o.alerted(alert.Number)
	case errors.As(err, &unverified):
		if fault := o.fault(); fault != nil {
			return o.certificate(fault.Reason, fault.Detail)
		}
		return o.certificate(v1alpha1.ReasonCertificateUntrusted, fmt.Sprintf("is not verified: %v", unverified.Err))
	case len(o.chain) > 0 && !isHangUp(err) && !errors.Is(err, context.DeadlineExceeded):
		return o.found(stage, v1alpha1.ReasonCertificateUnusable,
			"serves a certificate that its private key does not fit", "issue it a new certificate, key and certificate in one file, and restart it")
	case isOtherThanTLS(err):
		return o.found(stage, v1alpha1.ReasonNotErlang,
			"is not what listens at %[2]s: that speaks neither TLS nor Erlang distribution", "see what runs on that port", err.Address)
	case o.deaf:
		return o.found(stage, v1alpha1.ReasonCertificateUnusable,
			"breaks each connection off before a word is said, as a node does that cannot read its own certificate, key or CA file",
			"see in its log which file it misses, and that its Secret and ConfigMap are mounted")
	case isHangUp(err):
		return o.found(stage, v1alpha1.ReasonHandshakeRejected,
			"closes each connection to %[2]s on our first word of TLS", "see in its log why, and what runs on that port", err.Address)
	case errors.Is(err, context.DeadlineExceeded):
		return o.found(stage, v1alpha1.ReasonHandshakeTimedOut,
			"accepts connections at %[2]s and does not finish a TLS handshake",
			"see whether it is overloaded, and whether somebody holds idle connections to that port: a node accepts one TLS handshake for each scheduler at a time", err.Address)
	default:
		return o.found(stage, v1alpha1.ReasonCertificateUnusable,
			"fails the TLS handshake (%[2]v)", "see in its log what it makes of the connection", err.Err)
	}
}

// certificate is about the certificate that the node serves.
func (o observation) certificate(reason, detail string) finding {
	remedy := "see that its Secret holds a good certificate and that it was loaded: a node looks every two minutes"
	switch reason {
	case v1alpha1.ReasonCertificateExpired:
		remedy = "see why its certificate was not renewed (the Certificate's status says), or not loaded since"
	case v1alpha1.ReasonCertificateNotYetValid:
		remedy = "set the clocks right, of the issuer and of this machine"
	case v1alpha1.ReasonCertificateNameMismatch:
		remedy = "issue it a certificate with that SAN, and see that this address is the node's: a stale DNS record leads to another node"
	case v1alpha1.ReasonCertificateUntrusted:
		remedy = "issue it a certificate of a CA in the trust bundle, or add its CA there"
	case v1alpha1.ReasonCertificateUnusable:
		remedy = "issue it a certificate for both server auth and client auth"
	}
	return o.found(v1alpha1.StageTLS, reason, "serves a certificate that %[2]s", remedy, detail)
}

// alerted is about an alert that the node sent in the midst of the TLS handshake.
func (o observation) alerted(number uint8) finding {
	const stage = v1alpha1.StageTLS
	switch number {
	case alertProtocolVersion, alertInsufficientSecurity, alertHandshakeFailure:
		return o.found(stage, v1alpha1.ReasonTLSVersionMismatch,
			"does not speak TLS 1.3 as we do (alert %[2]d)", "allow tlsv1.3 in the versions of its server options in -ssl_dist_optfile, and restrict neither ciphers nor groups", number)
	case alertUnrecognizedName:
		return o.found(stage, v1alpha1.ReasonCertificateNameMismatch,
			"has no certificate for its own host name (alert %[2]d)", "issue it a certificate with that SAN", number)
	default:
		return o.found(stage, v1alpha1.ReasonCertificateUnusable,
			"breaks the TLS handshake off (alert %[2]d)", "see in its log which of its own options or files it fails on", number)
	}
}

// presenting is about our certificate: the node judges it when, for us, the TLS
// handshake is over.
func (o observation) presenting(err *erldist.StageError) finding {
	cause, remedy := "rejects our certificate", "see in its log what it has against it"
	alert := new(erldist.AlertError)
	if errors.As(err, &alert) {
		switch alert.Number {
		case alertUnknownCA:
			cause, remedy = "rejects our certificate: it does not trust its CA", "bring the CA into the trust bundle that the node runs with (cacertfile), and see that the node has loaded it: it looks every two minutes"
		case alertCertificateExpired:
			cause, remedy = "rejects our certificate as expired or not yet valid", "renew it, and set the node's clock right"
		case alertCertificateRequired:
			cause, remedy = "says that we sent no certificate", "bring the CA of our certificate into the trust bundle that the node runs with (cacertfile)"
		}
		cause = fmt.Sprintf("%s (alert %d)", cause, alert.Number)
	}
	return o.found(v1alpha1.StageTLS, v1alpha1.ReasonClientCertificateRejected, "%[2]s", "%[3]s", cause, remedy)
}

func (o observation) shakingHands(err *erldist.StageError) finding {
	const stage = v1alpha1.StageHandshake
	status, another, lacking, malformed := new(erldist.StatusError), new(erldist.NameMismatchError), new(erldist.FlagsError), new(erldist.MalformedError)
	switch {
	case errors.Is(err, erldist.ErrCookieRejected):
		return o.found(stage, v1alpha1.ReasonCookieMismatch,
			"runs with another cookie than the cluster's: it closed the connection on our proof of the cookie",
			"restart it, so that it takes the cluster's cookie, or call erlang:set_cookie/1 on it")
	case errors.Is(err, erldist.ErrPeerCookie):
		return o.found(stage, v1alpha1.ReasonCookieMismatch,
			"took our proof of the cookie and could not prove that it knows the cookie itself",
			"see what runs on its distribution port, and do not trust it")
	case errors.As(err, &another):
		return o.found(stage, v1alpha1.ReasonNodeNameMismatch,
			"was asked for at %[2]s, and %[3]q answered", "see that DNS gives the address of the right pod, and with which -name the node is started", err.Address, another.Got)
	case errors.As(err, &lacking):
		return o.found(stage, v1alpha1.ReasonUnsupportedFlags,
			"is too old: it lacks the distribution flags %[2]s", "run OTP 25 or later", lacking.Missing)
	case errors.As(err, &status):
		return o.refused(status.Status)
	case errors.Is(err, erldist.ErrSpeaksTLS):
		return o.found(stage, v1alpha1.ReasonHandshakeRejected,
			"runs distribution over TLS at %[2]s, and we spoke plaintext", "verify it with a certificate, not in plaintext", err.Address)
	case errors.As(err, &malformed):
		return o.found(stage, v1alpha1.ReasonNotErlang,
			"is not what listens at %[2]s: that does not speak Erlang distribution", "see what runs on that port", err.Address)
	case errors.Is(err, context.DeadlineExceeded):
		return o.found(stage, v1alpha1.ReasonHandshakeTimedOut,
			"does not finish the distribution handshake", "see whether it is overloaded or hangs (a break handler, a full run queue, a stopped process)")
	case isHangUp(err):
		return o.found(stage, v1alpha1.ReasonHandshakeRejected,
			"closed the connection in the distribution handshake, before the cookie was asked for",
			"see in its log why, and whether net_kernel:allow/1 or a verify_fun keeps out the host of our certificate")
	default:
		return o.found(stage, v1alpha1.ReasonHandshakeRejected,
			"breaks the distribution handshake off (%[2]v)", "see in its log why", err.Err)
	}
}

// refused is about the status with which the node answered our name.
func (o observation) refused(status string) finding {
	const stage = v1alpha1.StageHandshake
	switch status {
	case "alive", "ok_simultaneous":
		return o.found(stage, v1alpha1.ReasonNodeNameInUse,
			"already has a connection under the name that it gave us (status %[2]s)", "see who else uses it, by nodes(hidden) on the node", status)
	case "not_allowed":
		return o.found(stage, v1alpha1.ReasonHandshakeRejected,
			"does not allow us to connect (status %[2]s)",
			"see in its log whether net_kernel:allow/1 keeps us out, or whether its release of OTP demands what only a newer version of this program has", status)
	default:
		return o.found(stage, v1alpha1.ReasonHandshakeRejected,
			"refuses to connect (status %[2]q)", "see in its log why", status)
	}
}

func (o observation) calling(err *erldist.StageError) finding {
	const stage, reason = v1alpha1.StageCall, v1alpha1.ReasonCallFailed
	failed := new(erldist.CallError)
	switch {
	case errors.As(err, &failed):
		return o.found(stage, reason,
			"fails a remote call (%[2]v)", "see in its log what became of the process rex", failed)
	case errors.Is(err, context.DeadlineExceeded):
		return o.found(stage, reason,
			"does not answer a remote call", "see whether it is overloaded, or the process rex hangs")
	default:
		return o.found(stage, reason,
			"broke the connection off during a remote call", "see in its log whether it is stopping")
	}
}
