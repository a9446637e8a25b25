package verify

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/erldist"
)

const node = "chat@chat-0.chat-nodes.default.svc.cluster.local"

// TestDiagnose has one case at least for each way of failing; what real nodes do is
// tested on real nodes.
func TestDiagnose(t *testing.T) {
	timeout := &erldist.TimeoutError{}
	secured := func(o *observation) { o.secured = true }
	for name, tc := range map[string]struct {
		at     erldist.Stage
		err    error
		seen   func(*observation)
		stage  v1alpha1.Stage // of the verdict, if another one
		reason string
		says   string
	}{
		"a node without a host":                  {at: erldist.StageResolve, err: &net.AddrError{Err: "no host", Addr: "chat"}, reason: v1alpha1.ReasonNameResolutionFailed, says: "name@host"},
		"no record":                              {at: erldist.StageResolve, err: &net.DNSError{IsNotFound: true}, reason: v1alpha1.ReasonNameResolutionFailed, says: "headless Service"},
		"DNS hangs":                              {at: erldist.StageResolve, err: timeout, reason: v1alpha1.ReasonNameResolutionFailed, says: "DNS servers"},
		"epmd refuses":                           {at: erldist.StageConnect, err: syscall.ECONNREFUSED, reason: v1alpha1.ReasonConnectionRefused, says: "epmd"},
		"epmd is behind a black hole":            {at: erldist.StageConnect, err: timeout, reason: v1alpha1.ReasonConnectionTimedOut, says: "epmd"},
		"no BEAM that is distributed":            {at: erldist.StageConnect, err: syscall.ECONNREFUSED, seen: func(o *observation) { o.target.Runtime = v1alpha1.RuntimeCustom }, reason: v1alpha1.ReasonConnectionRefused, says: "set spec.runtime to Erl"},
		"no route to epmd":                       {at: erldist.StageConnect, err: syscall.EHOSTUNREACH, reason: v1alpha1.ReasonConnectionTimedOut, says: "no route"},
		"DNS has a former address":               {at: erldist.StageConnect, err: timeout, seen: func(o *observation) { o.published = []string{"10.0.0.9"} }, stage: v1alpha1.StageResolve, reason: v1alpha1.ReasonNameResolutionFailed, says: "and Kubernetes publishes 10.0.0.9"},
		"epmd does not know it":                  {at: erldist.StageLookup, err: erldist.ErrNotRegistered, reason: v1alpha1.ReasonNodeNotRegistered, says: `does not know "chat";`},
		"epmd knows others":                      {at: erldist.StageLookup, err: erldist.ErrNotRegistered, seen: func(o *observation) { o.registered = []string{"pay", "web"} }, reason: v1alpha1.ReasonNodeNotRegistered, says: `only "pay", "web"`},
		"epmd knows none":                        {at: erldist.StageLookup, err: erldist.ErrNotRegistered, seen: func(o *observation) { o.registered = []string{} }, reason: v1alpha1.ReasonNodeNotRegistered, says: "nor any other name"},
		"epmd answers nonsense":                  {at: erldist.StageLookup, err: &erldist.MalformedError{Message: "PORT2_RESP"}, reason: v1alpha1.ReasonEPMDUnreachable},
		"epmd answers about another":             {at: erldist.StageLookup, err: &erldist.NameMismatchError{Got: "pay"}, reason: v1alpha1.ReasonNodeNameMismatch, says: `"pay"`},
		"port out of range":                      {at: erldist.StageConnectDistribution, err: &portOutOfRangeError{port: 40000}, stage: v1alpha1.StageLookup, reason: v1alpha1.ReasonPortOutOfRange, says: "40000"},
		"distribution port refuses":              {at: erldist.StageConnectDistribution, err: syscall.ECONNREFUSED, reason: v1alpha1.ReasonConnectionRefused, says: "registered with epmd"},
		"fixed port refuses":                     {at: erldist.StageConnectDistribution, err: syscall.ECONNREFUSED, seen: func(o *observation) { o.target.FixedPort = 9100 }, reason: v1alpha1.ReasonConnectionRefused, says: "listens there"},
		"TLS hangs":                              {at: erldist.StageTLS, err: timeout, reason: v1alpha1.ReasonHandshakeTimedOut},
		"TLS hangs, plaintext does not":          {at: erldist.StageTLS, err: timeout, seen: func(o *observation) { o.plaintext = true }, reason: v1alpha1.ReasonPlaintextDistribution, says: "-proto_dist inet_tls"},
		"TLS ends at once":                       {at: erldist.StageTLS, err: io.EOF, reason: v1alpha1.ReasonHandshakeRejected},
		"TLS is reset":                           {at: erldist.StageTLS, err: &net.OpError{Op: "read", Err: syscall.ECONNRESET}, reason: v1alpha1.ReasonHandshakeRejected},
		"TLS is reset, as are idle connections":  {at: erldist.StageTLS, err: &net.OpError{Op: "read", Err: syscall.ECONNRESET}, seen: func(o *observation) { o.closesIdle = true }, reason: v1alpha1.ReasonCertificateUnusable, says: "cannot read"},
		"not TLS":                                {at: erldist.StageTLS, err: tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, reason: v1alpha1.ReasonNotErlang},
		"older TLS":                              {at: erldist.StageTLS, err: &erldist.AlertError{Number: alertProtocolVersion}, reason: v1alpha1.ReasonTLSVersionMismatch, says: "tlsv1.3"},
		"no certificate for the name":            {at: erldist.StageTLS, err: &erldist.AlertError{Number: alertUnrecognizedName}, reason: v1alpha1.ReasonCertificateNameMismatch},
		"internal error of TLS":                  {at: erldist.StageTLS, err: &erldist.AlertError{Number: 80}, reason: v1alpha1.ReasonCertificateUnusable, says: "alert 80"},
		"key of another certificate":             {at: erldist.StageTLS, err: errors.New("tls: invalid signature"), seen: func(o *observation) { o.chain = []*x509.Certificate{{}} }, reason: v1alpha1.ReasonCertificateUnusable, says: "does not fit"},
		"our CA is not known":                    {at: erldist.StageTLS, err: &erldist.AlertError{Number: alertUnknownCA}, seen: secured, reason: v1alpha1.ReasonClientCertificateRejected, says: "does not trust its CA"},
		"our certificate is not liked":           {at: erldist.StageTLS, err: &erldist.AlertError{Number: 42}, seen: secured, reason: v1alpha1.ReasonClientCertificateRejected, says: "alert 42"},
		"another cookie":                         {at: erldist.StageHandshake, err: erldist.ErrCookieRejected, seen: func(o *observation) { o.answersAgain = true }, reason: v1alpha1.ReasonCookieMismatch, says: "restart it"},
		"a node that is stopping":                {at: erldist.StageHandshake, err: erldist.ErrCookieRejected, reason: v1alpha1.ReasonHandshakeRejected, says: "stopping"},
		"a node that closes after net_setuptime": {at: erldist.StageHandshake, err: erldist.ErrCookieRejected, seen: func(o *observation) { o.timedOutThere = true }, reason: v1alpha1.ReasonHandshakeTimedOut, says: "net_setuptime"},
		"a node that does not know the cookie":   {at: erldist.StageHandshake, err: erldist.ErrPeerCookie, reason: v1alpha1.ReasonCookieMismatch, says: "do not trust it"},
		"another node":                           {at: erldist.StageHandshake, err: &erldist.NameMismatchError{Want: node, Got: "pay@pay-0"}, reason: v1alpha1.ReasonNodeNameMismatch, says: `"pay@pay-0"`},
		"too old":                                {at: erldist.StageHandshake, err: &erldist.FlagsError{Missing: erldist.FlagHandshake23}, reason: v1alpha1.ReasonUnsupportedFlags, says: "HANDSHAKE_23"},
		"our name is taken":                      {at: erldist.StageHandshake, err: &erldist.StatusError{Status: "alive"}, reason: v1alpha1.ReasonNodeNameInUse},
		"not allowed":                            {at: erldist.StageHandshake, err: &erldist.StatusError{Status: "not_allowed"}, reason: v1alpha1.ReasonHandshakeRejected, says: "net_kernel:allow/1"},
		"refused with nok":                       {at: erldist.StageHandshake, err: &erldist.StatusError{Status: "nok"}, reason: v1alpha1.ReasonHandshakeRejected, says: `"nok"`},
		"not Erlang":                             {at: erldist.StageHandshake, err: &erldist.MalformedError{Message: "status"}, reason: v1alpha1.ReasonNotErlang},
		"TLS where we spoke plaintext":           {at: erldist.StageHandshake, err: erldist.ErrSpeaksTLS, reason: v1alpha1.ReasonHandshakeRejected, says: "over TLS"},
		"the handshake hangs":                    {at: erldist.StageHandshake, err: timeout, reason: v1alpha1.ReasonHandshakeTimedOut},
		"the handshake ends":                     {at: erldist.StageHandshake, err: fmt.Errorf("wait for the status: %w", io.EOF), reason: v1alpha1.ReasonHandshakeRejected, says: "before the exchange of cookies"},
		"a call fails":                           {at: erldist.StageCall, err: &erldist.CallError{Module: "lists", Function: "zipwith3", Class: "badrpc"}, reason: v1alpha1.ReasonCallFailed, says: "lists:zipwith3"},
		"a call hangs":                           {at: erldist.StageCall, err: timeout, reason: v1alpha1.ReasonCallFailed, says: "does not answer"},
		"the connection ends in a call":          {at: erldist.StageCall, err: io.EOF, reason: v1alpha1.ReasonCallFailed, says: "stopping"},
		"a hostile answer is kept short":         {at: erldist.StageHandshake, err: &erldist.NameMismatchError{Got: strings.Repeat("\xff", 4000)}, reason: v1alpha1.ReasonNodeNameMismatch, says: "…"},
	} {
		t.Run(name, func(t *testing.T) {
			seen := observation{target: Target{Node: node, Ports: PortRange{9100, 9109}}}
			if tc.seen != nil {
				tc.seen(&seen)
			}
			got := diagnose(&erldist.StageError{Stage: tc.at, Node: node, Address: "10.0.0.7:9100", Err: tc.err}, seen)
			if want := cmp.Or(tc.stage, v1alpha1.Stage(tc.at.String())); got.Stage != want || got.Reason != tc.reason {
				t.Errorf("diagnosis is %s at %s, want %s at %s", got.Reason, got.Stage, tc.reason, want)
			}
			checkSentence(t, got.Message, tc.says)
		})
	}
}

// checkSentence requires a node, a cause and a remedy, within the bounds of the API.
func checkSentence(t *testing.T, message, says string) {
	t.Helper()
	if !strings.HasPrefix(message, node+" ") || !strings.Contains(message, says) {
		t.Errorf("message %q does not begin with the node, or does not say %q", message, says)
	}
	if length := len([]rune(message)); length > maxMessage {
		t.Errorf("message of %d characters", length)
	} else if length < maxMessage && strings.Count(message, "; ") != 1 {
		t.Errorf("message %q is not one cause and one remedy", message)
	}
	if strings.Contains(message, "%!") || strings.Contains(message, "<nil>") {
		t.Errorf("message %q is not worded well", message)
	}
}

// TestDiagnoseNoMember is about nodes that answer, and cannot be members.
func TestDiagnoseNoMember(t *testing.T) {
	for name, tc := range map[string]struct {
		info   Info
		reason string
		says   string
	}{
		"hidden":       {Info{OTPRelease: "27", Hidden: true}, v1alpha1.ReasonHiddenNode, "-hidden"},
		"old":          {Info{OTPRelease: "24"}, v1alpha1.ReasonUnsupportedFlags, `OTP "24"`},
		"very old":     {Info{OTPRelease: "R16B03"}, v1alpha1.ReasonUnsupportedFlags, "R16B03"},
		"of no number": {Info{OTPRelease: strings.Repeat("7", 60_000)}, v1alpha1.ReasonUnsupportedFlags, "OTP"},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkMember(tc.info)
			got := diagnose(err, observation{target: Target{Node: node}})
			if got.Stage != v1alpha1.StageCall || got.Reason != tc.reason {
				t.Errorf("diagnosis is %s at %s, want %s", got.Reason, got.Stage, tc.reason)
			}
			checkSentence(t, got.Message, tc.says)
		})
	}
	for _, release := range []string{"25", "29"} {
		if err := checkMember(Info{OTPRelease: release}); err != nil {
			t.Errorf("OTP %s: %v", release, err)
		}
	}
}

// TestDiagnosisIsStable: our port, which is another one each time, is in no message.
func TestDiagnosisIsStable(t *testing.T) {
	for _, stage := range []erldist.Stage{erldist.StageTLS, erldist.StageHandshake} {
		message := func(port int) string {
			failed := &net.OpError{
				Op: "read", Net: "tcp", Err: syscall.ENETDOWN,
				Source: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: port}, Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 9100},
			}
			err := &erldist.StageError{Stage: stage, Node: node, Address: "10.0.0.7:9100", Err: fmt.Errorf("wait for the status: %w", failed)}
			return diagnose(err, observation{target: Target{Node: node}}).Message
		}
		if one, other := message(40001), message(40002); one != other {
			t.Errorf("messages %q and %q", one, other)
		}
	}
}

func TestDiagnoseGoodNode(t *testing.T) {
	if got, want := diagnose(nil, observation{}), (diagnosis{Stage: v1alpha1.StageCall, Reason: v1alpha1.ReasonVerified}); got != want {
		t.Errorf("diagnosis %+v, want %+v", got, want)
	}
}

func TestDiagnoseSlowNode(t *testing.T) {
	seen := observation{target: Target{Node: node}, timings: []Timing{
		{Stage: v1alpha1.StageResolve, Duration: time.Minute}, // not the node's doing
		{Stage: v1alpha1.StageTLS, Duration: slow / 2},
		{Stage: v1alpha1.StageHandshake, Duration: slow/2 - 1},
	}}
	if got := diagnose(nil, seen); got.Reason != v1alpha1.ReasonVerified {
		t.Errorf("diagnosis of a node just in time is %+v", got)
	}
	seen.timings[2].Duration++
	got := diagnose(nil, seen)
	if got.Stage != v1alpha1.StageCall || got.Reason != v1alpha1.ReasonSlowHandshake {
		t.Errorf("diagnosis of a slow node is %+v", got)
	}
	checkSentence(t, got.Message, "2.5s")
	if !(Verdict{Reason: got.Reason}).Verified() {
		t.Error("a slow node does not count as verified")
	}
}

func TestMessages(t *testing.T) {
	checkSentence(t, AcceptedMessage(node, Trials()), "a client without a certificate, a client with the certificate of a foreign CA")
	for _, err := range []error{ErrNotConnected, ErrLinksLost, context.DeadlineExceeded, io.EOF} {
		checkSentence(t, LinkMessage(node, "chat@chat-1", err), "chat@chat-1")
	}
}

// TestParseProcess: the name of a program may contain anything.
func TestParseProcess(t *testing.T) {
	rest := strings.Repeat(" 0", 17) + " 4711 0 0\n"
	for stat, want := range map[string]process{
		"12 (beam.smp) S 7" + rest:      {pid: 12, parent: 7, start: 4711},
		"12 (a ) R 9 (b) S 7" + rest:    {pid: 12, parent: 7, start: 4711},
		"1 (sh) S 0" + rest:             {pid: 1, start: 4711},
		"":                              {},
		")":                             {},
		"12 (beam.smp) S":               {},
		"x (beam.smp) S 7" + rest:       {},
		"12 (beam.smp) S parent" + rest: {},
	} {
		if got, ok := parseProcess(stat); ok != (want != process{}) || ok && got != want {
			t.Errorf("%q is %+v, %t", stat, got, ok)
		}
	}
}

// TestParseInfo: a node's answers are what they must be, or nothing is believed.
func TestParseInfo(t *testing.T) {
	noFile := erldist.Tuple{erldist.Atom("error"), erldist.Atom("enoent")}
	good := func() []erldist.Term {
		return []erldist.Term{erldist.AtomList("b@c"), erldist.String("27"), erldist.Int(5_000), erldist.Int(-5_000), erldist.Int(1_000), erldist.String("uid"), erldist.Atom("error"), noFile, erldist.Atom("false"), erldist.String("60")}
	}
	info, err := parseInfo(good())
	if err != nil || info.Hidden || info.OTPRelease != "27" || info.Uptime.Seconds() != 10 || len(info.Peers) != 1 || info.Peers[0] != "b@c" || info.PodUID != "uid" || info.release != v1alpha1.RuntimeRelx {
		t.Errorf("info %+v, %v", info, err)
	}
	for i, nonsense := range []erldist.Term{erldist.Atom("b@c"), erldist.Int(27), erldist.Atom("x"), erldist.Float(1), erldist.Int(0), erldist.Int(1)} {
		answers := good()
		answers[i] = nonsense
		if info, err := parseInfo(answers); !errors.Is(err, errUnexpectedAnswer) {
			t.Errorf("%v as answer %d gives %+v, %v", nonsense, i, info, err)
		}
	}
}
