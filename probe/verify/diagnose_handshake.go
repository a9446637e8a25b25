package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/erldist"
)

func (o observation) diagnoseHandshake(err *erldist.StageError) diagnosis {
	const stage = v1alpha1.StageHandshake
	status, another, lacking := new(erldist.StatusError), new(erldist.NameMismatchError), new(erldist.FlagsError)
	switch {
	case errors.Is(err, erldist.ErrCookieRejected) && o.timedOutThere:
		return o.diagnosis(stage, v1alpha1.ReasonHandshakeTimedOut, "closed the connection when net_setuptime, 7 s, was over",
			"check whether it is overloaded, and what the network loses or delays")
	case errors.Is(err, erldist.ErrCookieRejected) && !o.answersAgain:
		return o.diagnosis(stage, v1alpha1.ReasonHandshakeRejected, "closed the connection on our proof of the cookie, and accepts no other connection",
			"check its log to see whether it is stopping")
	case errors.Is(err, erldist.ErrCookieRejected):
		return o.diagnosis(stage, v1alpha1.ReasonCookieMismatch,
			"runs with another cookie than the cluster's: it closed the connection on our proof of the cookie",
			"restart it, so that it takes the cluster's cookie, or call erlang:set_cookie/1 on it")
	case errors.Is(err, erldist.ErrPeerCookie):
		return o.diagnosis(stage, v1alpha1.ReasonCookieMismatch,
			"accepted our proof of the cookie and could not prove that it knows the cookie itself",
			"check what runs on its distribution port, and do not trust it")
	case errors.As(err, &another):
		return o.diagnosis(stage, v1alpha1.ReasonNodeNameMismatch,
			fmt.Sprintf("was expected at %s, and %q answered", err.Address, another.Got),
			o.nameRemedy(another.Got))
	case errors.As(err, &lacking):
		return o.diagnosis(stage, v1alpha1.ReasonUnsupportedFlags,
			fmt.Sprintf("is too old: it lacks the distribution flags %s", lacking.Missing), "run OTP 25 or later")
	case errors.As(err, &status):
		return o.diagnoseStatus(status.Status)
	default:
		return o.diagnoseNoHandshake(err)
	}
}

// diagnoseNoHandshake is about a peer that did not follow the protocol of the handshake.
func (o observation) diagnoseNoHandshake(err *erldist.StageError) diagnosis {
	const stage = v1alpha1.StageHandshake
	malformed := new(erldist.MalformedError)
	switch {
	case errors.Is(err, erldist.ErrSpeaksTLS):
		return o.diagnosis(stage, v1alpha1.ReasonHandshakeRejected,
			fmt.Sprintf("runs distribution over TLS at %s, and was spoken to in plaintext", err.Address), "verify it with a certificate, not in plaintext")
	case errors.As(err, &malformed):
		return o.diagnosis(stage, v1alpha1.ReasonNotErlang,
			fmt.Sprintf("is not the program that listens at %s: that one does not speak Erlang distribution", err.Address), "check what runs on that port")
	case errors.Is(err, context.DeadlineExceeded):
		return o.diagnosis(stage, v1alpha1.ReasonHandshakeTimedOut,
			"does not finish the distribution handshake", "check whether it is overloaded or suspended (a break handler, a full run queue, a stopped process)")
	case isHangUp(err):
		return o.diagnosis(stage, v1alpha1.ReasonHandshakeRejected,
			"closed the connection in the distribution handshake, before the exchange of cookies",
			"check its log for the cause, and whether net_kernel:allow/1 or a verify_fun excludes the host of our certificate")
	default:
		return o.diagnosis(stage, v1alpha1.ReasonHandshakeRejected,
			fmt.Sprintf("aborts the distribution handshake (%v)", innermost(err.Err)), "check its log for the cause")
	}
}

// diagnoseStatus is about the status with which the node answered our name.
func (o observation) diagnoseStatus(status string) diagnosis {
	const stage = v1alpha1.StageHandshake
	switch status {
	case "alive", "ok_simultaneous":
		return o.diagnosis(stage, v1alpha1.ReasonNodeNameInUse,
			fmt.Sprintf("already has a connection under the name that it gave us (status %s)", status), "check nodes(hidden) on the node for who else uses it")
	case "not_allowed":
		return o.diagnosis(stage, v1alpha1.ReasonHandshakeRejected,
			fmt.Sprintf("does not allow us to connect (status %s)", status),
			"check its log to see whether net_kernel:allow/1 excludes us, or whether its release of OTP requires a newer version of this program")
	default:
		return o.diagnosis(stage, v1alpha1.ReasonHandshakeRejected,
			fmt.Sprintf("refuses to connect (status %q)", status), "check its log for the cause")
	}
}

func (o observation) diagnoseCall(err *erldist.StageError) diagnosis {
	const stage, reason = v1alpha1.StageCall, v1alpha1.ReasonCallFailed
	failed := new(erldist.CallError)
	switch {
	case errors.As(err, &failed):
		return o.diagnosis(stage, reason, fmt.Sprintf("fails a remote call (%v)", failed), "check its log for what happened to the process rex")
	case errors.Is(err, context.DeadlineExceeded):
		return o.diagnosis(stage, reason, "does not answer a remote call", "check whether it is overloaded, or the process rex is suspended")
	default:
		return o.diagnosis(stage, reason, "closed the connection during a remote call", "check its log to see whether it is stopping")
	}
}
