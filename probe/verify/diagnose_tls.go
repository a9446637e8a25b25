package verify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/erldist"
)

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

// diagnoseTLS is about a TLS handshake that failed. In TLS 1.3 the node judges our
// certificate after the handshake has ended for us.
func (o observation) diagnoseTLS(err *erldist.StageError) diagnosis {
	if o.secured {
		return o.diagnoseClientCertificate(err)
	}
	alert, unusable, unverified := new(erldist.AlertError), new(certificateError), new(tls.CertificateVerificationError)
	switch {
	case o.plaintext:
		return o.diagnosePlaintext(err.Address)
	case errors.As(err, &unusable):
		return o.diagnoseCertificate(unusable.fault.Reason, unusable.fault.Detail)
	case errors.As(err, &alert) && len(o.chain) > 0: // TLS 1.2: the node judges it before the end
		return o.diagnoseClientCertificate(err)
	case errors.As(err, &alert):
		return o.diagnoseAlert(alert.Number)
	case errors.As(err, &unverified):
		if fault := o.fault(); fault != nil {
			return o.diagnoseCertificate(fault.Reason, fault.Detail)
		}
		return o.diagnoseCertificate(v1alpha1.ReasonCertificateUntrusted, fmt.Sprintf("cannot be verified: %v", innermost(unverified.Err)))
	case len(o.chain) > 0 && !isHangUp(err) && !errors.Is(err, context.DeadlineExceeded):
		return o.diagnosis(v1alpha1.StageTLS, v1alpha1.ReasonCertificateUnusable, "serves a certificate that does not fit its private key",
			"issue it a new certificate, key and certificate in one file, and restart it")
	default:
		return o.diagnoseNoTLS(err)
	}
}

func (o observation) diagnosePlaintext(address string) diagnosis {
	return o.diagnosis(v1alpha1.StageTLS, v1alpha1.ReasonPlaintextDistribution,
		fmt.Sprintf("runs distribution in plaintext at %s", address),
		"start it with -proto_dist inet_tls exactly once (given twice, OTP up to 27.0 silently falls back to plaintext): "+
			"check its command, ERL_FLAGS, ERL_AFLAGS, ERL_ZFLAGS and vm.args")
}

// diagnoseNoTLS is about a peer that answered nothing in TLS.
func (o observation) diagnoseNoTLS(err *erldist.StageError) diagnosis {
	const stage = v1alpha1.StageTLS
	switch {
	case isOtherThanTLS(err):
		return o.diagnosis(stage, v1alpha1.ReasonNotErlang,
			fmt.Sprintf("is not the program that listens at %s: that one speaks neither TLS nor Erlang distribution", err.Address), "check what runs on that port")
	case o.closesIdle:
		return o.diagnosis(stage, v1alpha1.ReasonCertificateUnusable,
			"closes each connection before any data is sent, as a node does that cannot read its own certificate, key or CA file",
			"check its log for the file that it misses, and check that its Secret and ConfigMap are mounted")
	case isHangUp(err):
		return o.diagnosis(stage, v1alpha1.ReasonHandshakeRejected,
			fmt.Sprintf("closes each connection to %s on the first message of TLS", err.Address), "check its log for the cause, and check what runs on that port")
	case errors.Is(err, context.DeadlineExceeded):
		return o.diagnosis(stage, v1alpha1.ReasonHandshakeTimedOut,
			fmt.Sprintf("accepts connections at %s and does not finish a TLS handshake", err.Address),
			"check whether it is overloaded, and whether a client holds idle connections to that port: a node performs as many TLS handshakes at a time as it has schedulers")
	default:
		return o.diagnosis(stage, v1alpha1.ReasonCertificateUnusable,
			fmt.Sprintf("fails the TLS handshake (%v)", innermost(err.Err)), "check its log for the cause")
	}
}

// certificateRemedies are for a faulty certificate that the node serves.
var certificateRemedies = map[string]string{
	v1alpha1.ReasonCertificateExpired:      "check why its certificate was not renewed (see the Certificate's status), or not loaded since",
	v1alpha1.ReasonCertificateNotYetValid:  "correct the clocks of the issuer and of this machine",
	v1alpha1.ReasonCertificateNameMismatch: "issue it a certificate with that SAN, and check that this address is the node's: a stale DNS record leads to another node",
	v1alpha1.ReasonCertificateUntrusted:    "issue it a certificate of a CA in the trust bundle, or add its CA to the bundle",
	v1alpha1.ReasonCertificateUnusable:     "issue it a certificate for both server auth and client auth",
}

func (o observation) diagnoseCertificate(reason, detail string) diagnosis {
	remedy, known := certificateRemedies[reason]
	if !known {
		remedy = "check that its Secret holds a good certificate and that the node has loaded it: it reads its files every two minutes"
	}
	return o.diagnosis(v1alpha1.StageTLS, reason, "serves a certificate that "+detail, remedy)
}

// diagnoseAlert is about an alert that the node sent during the TLS handshake.
func (o observation) diagnoseAlert(number uint8) diagnosis {
	const stage = v1alpha1.StageTLS
	switch number {
	case alertProtocolVersion, alertInsufficientSecurity, alertHandshakeFailure:
		return o.diagnosis(stage, v1alpha1.ReasonTLSVersionMismatch, fmt.Sprintf("does not accept TLS 1.3 as the probe speaks it (alert %d)", number),
			"allow tlsv1.3 in the versions of its server options in -ssl_dist_optfile (the default of OTP 25 is tlsv1.2 alone), and restrict neither ciphers nor groups")
	case alertUnrecognizedName:
		return o.diagnosis(stage, v1alpha1.ReasonCertificateNameMismatch, fmt.Sprintf("has no certificate for its own host name (alert %d)", number),
			"issue it a certificate with that SAN")
	default:
		return o.diagnosis(stage, v1alpha1.ReasonCertificateUnusable, fmt.Sprintf("aborts the TLS handshake (alert %d)", number),
			"check its log for the option or file at fault")
	}
}

// diagnoseClientCertificate is about the certificate that we sent.
func (o observation) diagnoseClientCertificate(err *erldist.StageError) diagnosis {
	cause, remedy := "rejects our certificate", "check its log for the cause"
	alert := new(erldist.AlertError)
	if errors.As(err, &alert) {
		switch alert.Number {
		case alertUnknownCA:
			cause = "rejects our certificate: it does not trust its CA"
			remedy = "add the CA to the trust bundle that the node runs with (cacertfile), and check that the node has loaded it: it reads its files every two minutes"
		case alertCertificateExpired:
			cause, remedy = "rejects our certificate as expired or not yet valid", "renew it, and correct the node's clock"
		case alertCertificateRequired:
			cause, remedy = "reports that we sent no certificate", "add the CA of our certificate to the trust bundle that the node runs with (cacertfile)"
		}
		cause = fmt.Sprintf("%s (alert %d)", cause, alert.Number)
	}
	return o.diagnosis(v1alpha1.StageTLS, v1alpha1.ReasonClientCertificateRejected, cause, remedy)
}
