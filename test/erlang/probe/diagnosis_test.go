//go:build erlang

package probe

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/command"
	"github.com/erlang-operator/erlang-operator/probe/verify"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// scene is one host, on which a faulty node may run.
type scene struct {
	*cluster
	otp    string
	host   *beam.Host
	target verify.Target
}

func newScene(t testing.TB, otp string) *scene {
	s := &scene{cluster: newCluster(t), otp: otp}
	s.host = s.Host("chat-0")
	s.target = verify.Target{Node: "chat@" + s.host.Name, FixedPort: port, Network: "tcp4"}
	return s
}

// node starts a node that is valid except for the changes.
func (s *scene) node(changes ...func(*beam.Options)) *beam.Node {
	return s.host.Start(s.options(changes))
}

func (s *scene) options(changes []func(*beam.Options)) beam.Options {
	options := beam.Options{OTP: s.otp, Cookie: cookie, FixedPort: port, TLS: s.tls(s.host)}
	for _, change := range changes {
		change(&options)
	}
	return options
}

// ended starts a node that does not come up, and waits for its end.
func (s *scene) ended(changes ...func(*beam.Options)) {
	node := s.host.Launch(s.options(changes))
	select {
	case <-node.Ended():
	case <-deadline(s.t).Done():
		s.t.Fatalf("the node does not end:\n%s", node.Log())
	}
}

// certificate changes the node's.
func (s *scene) certificate(changes ...func(*x509.Certificate)) func(*beam.Options) {
	return func(o *beam.Options) { o.TLS = s.tls(s.host, changes...) }
}

// show gives the verifier a certificate.
func (s *scene) show(identity beam.Identity) {
	s.verifier.Credentials = s.credentials(identity, s.ca.PEM)
}

// serve answers every connection to a port by something that is not Erlang.
func (s *scene) serve(on uint16, answer func(net.Conn)) {
	listener := s.host.Listen(on)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				answer(conn)
			}()
		}
	}()
}

// serveTLS is serve over TLS, with a valid certificate.
func (s *scene) serveTLS(answer func(net.Conn)) {
	config := &tls.Config{Certificates: []tls.Certificate{s.ca.Issue(s.host.Name).TLS}}
	s.serve(port, func(conn net.Conn) { answer(tls.Server(conn, config)) })
}

// idle opens a connection to the node and sends nothing.
func (s *scene) idle() {
	conn, err := s.DialContext(s.t.Context(), "tcp4", net.JoinHostPort(s.host.Address, fmt.Sprint(port)))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
}

// epmd has the verifier ask epmd for the port.
func (s *scene) epmd() { s.target.FixedPort = 0 }

// startEPMD runs epmd on the node's host, and has the verifier ask it for the port.
func (s *scene) startEPMD() *beam.EPMD {
	s.epmd()
	return s.host.EPMD(s.otp)
}

func withEPMD(o *beam.Options)  { o.FixedPort = 0 }
func plaintext(o *beam.Options) { o.TLS = nil }

func args(args ...string) func(*beam.Options) {
	return func(o *beam.Options) { o.Args = args }
}

// options replaces a text in the TLS options file.
func options(old, new string) func(*beam.Options) {
	return func(o *beam.Options) { o.TLS.OptionsFile = strings.ReplaceAll(beam.DefaultOptionsFile, old, new) }
}

// noNode is for where no node runs, so that its release does not matter.
var noNode = []string{"None"}

// Every fault of a node has its own reason, on every release.
func TestDiagnosis(t *testing.T) {
	for name, tc := range map[string]struct {
		given  func(*scene)
		otps   []string // default: all
		stage  v1alpha1.Stage
		reason string
		says   string // is in the message
	}{
		"valid node, fixed port": {
			given: func(s *scene) { s.node() },
			stage: v1alpha1.StageCall, reason: v1alpha1.ReasonVerified,
		},
		"valid node, epmd": {
			given: func(s *scene) {
				s.startEPMD()
				s.target.Ports = verify.PortRange{Min: 9100, Max: 9109}
				s.node(withEPMD)
			},
			stage: v1alpha1.StageCall, reason: v1alpha1.ReasonVerified,
		},
		"no DNS record": {
			given: func(s *scene) { s.SetName(s.host.Name) },
			otps:  noNode,
			stage: v1alpha1.StageResolve, reason: v1alpha1.ReasonNameResolutionFailed, says: "no DNS record",
		},
		"nothing listens": {
			given: func(*scene) {},
			otps:  noNode,
			stage: v1alpha1.StageConnectDistribution, reason: v1alpha1.ReasonConnectionRefused,
		},
		"epmd is down": {
			given: func(s *scene) {
				epmd := s.startEPMD()
				s.node(withEPMD)
				epmd.Kill()
			},
			stage: v1alpha1.StageConnect, reason: v1alpha1.ReasonConnectionRefused, says: "epmd",
		},
		"black hole": {
			given: func(s *scene) { s.node(); s.host.Blackhole() },
			stage: v1alpha1.StageConnectDistribution, reason: v1alpha1.ReasonConnectionTimedOut,
		},
		"black hole, epmd": {
			given: func(s *scene) { s.epmd(); s.host.Blackhole() },
			otps:  noNode,
			stage: v1alpha1.StageConnect, reason: v1alpha1.ReasonConnectionTimedOut, says: "epmd",
		},
		"DNS leads to an unused address": {
			given: func(s *scene) { s.SetName(s.host.Name, "10.77.0.222") },
			otps:  noNode,
			stage: v1alpha1.StageConnectDistribution, reason: v1alpha1.ReasonConnectionTimedOut, says: "10.77.0.222",
		},
		"TLS options file missing, so the node ends": {
			given: func(s *scene) { s.ended(func(o *beam.Options) { o.Files = map[string][]byte{"dist.conf": nil} }) },
			stage: v1alpha1.StageConnectDistribution, reason: v1alpha1.ReasonConnectionRefused, says: "check its log",
		},
		"TLS options file is invalid, so the node ends": {
			given: func(s *scene) { s.ended(func(o *beam.Options) { o.TLS.OptionsFile = "[{server," }) },
			stage: v1alpha1.StageConnectDistribution, reason: v1alpha1.ReasonConnectionRefused, says: "check its log",
		},
		"-ssl_dist_optfile twice, so the node ends": {
			given: func(s *scene) { s.ended(args("-ssl_dist_optfile", "/mnt/dist.conf")) },
			stage: v1alpha1.StageConnectDistribution, reason: v1alpha1.ReasonConnectionRefused, says: "check its log",
		},
		"-erl_epmd_port twice, so the node listens elsewhere": {
			given: func(s *scene) { s.node(args("-erl_epmd_port", "9100")) },
			otps:  []string{"25"},
			stage: v1alpha1.StageConnectDistribution, reason: v1alpha1.ReasonConnectionRefused, says: "check its log",
		},
		"-erl_epmd_port twice, so the node ends": {
			given: func(s *scene) { s.ended(args("-erl_epmd_port", "9100")) },
			otps:  []string{"27", "29"},
			stage: v1alpha1.StageConnectDistribution, reason: v1alpha1.ReasonConnectionRefused, says: "check its log",
		},
		"no such carrier, so the node ends": { // as in a release that lacks ssl
			given: func(s *scene) { s.ended(plaintext, args("-proto_dist", "inet_nosuch")) },
			stage: v1alpha1.StageConnectDistribution, reason: v1alpha1.ReasonConnectionRefused, says: "check its log",
		},
		"port taken, so the node ends": {
			given: func(s *scene) {
				s.serve(port, func(conn net.Conn) { _, _ = io.WriteString(conn, "220 mail.example\r\n") })
				s.ended()
			},
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonNotErlang, says: "that port",
		},
		"name taken, so a second node ends": {
			given: func(s *scene) {
				s.startEPMD()
				s.node(withEPMD)
				s.ended(withEPMD)
			},
			stage: v1alpha1.StageCall, reason: v1alpha1.ReasonVerified,
		},
		"epmd does not know the node": {
			given: func(s *scene) {
				s.startEPMD()
				s.node(withEPMD, func(o *beam.Options) { o.Name = "other" })
			},
			stage: v1alpha1.StageLookup, reason: v1alpha1.ReasonNodeNotRegistered, says: `does not know "chat", only "other@chat-0.`,
		},
		"epmd is silent": {
			given: func(s *scene) {
				s.epmd()
				s.serve(4369, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
			},
			otps:  noNode,
			stage: v1alpha1.StageLookup, reason: v1alpha1.ReasonEPMDUnreachable,
		},
		"epmd answers about another node": {
			given: func(s *scene) {
				s.epmd()
				s.serve(4369, func(conn net.Conn) {
					_, _ = io.ReadFull(conn, make([]byte, 2+1+len("chat")))
					_, _ = conn.Write([]byte("\x77\x00\x23\x8cM\x00\x00\x06\x00\x05\x00\x05other\x00\x00"))
				})
			},
			otps:  noNode,
			stage: v1alpha1.StageLookup, reason: v1alpha1.ReasonNodeNameMismatch, says: `"other"`,
		},
		"port out of range": {
			given: func(s *scene) {
				s.startEPMD()
				s.target.Ports = verify.PortRange{Min: 9200, Max: 9209}
				s.node(withEPMD)
			},
			stage: v1alpha1.StageLookup, reason: v1alpha1.ReasonPortOutOfRange, says: "inet_dist_listen_min 9200",
		},
		"plaintext distribution": {
			given: func(s *scene) { s.node(plaintext) },
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonPlaintextDistribution,
		},
		"-proto_dist twice, which is plaintext": {
			given: func(s *scene) { s.node(args("-proto_dist", "inet_tls")) },
			otps:  []string{"25"},
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonPlaintextDistribution, says: "exactly once",
		},
		"-proto_dist twice, the first counts": {
			given: func(s *scene) { s.node(args("-proto_dist", "inet_tls")) },
			otps:  []string{"27", "29"},
			stage: v1alpha1.StageCall, reason: v1alpha1.ReasonVerified,
		},
		"we speak plaintext, the node TLS": {
			given: func(s *scene) { s.node(); s.verifier.Plaintext = true },
			stage: v1alpha1.StageHandshake, reason: v1alpha1.ReasonHandshakeRejected, says: "over TLS",
		},
		"TLS 1.2 only": {
			given: func(s *scene) { s.node(options("tlsv1.3", "tlsv1.2")) },
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonTLSVersionMismatch,
		},
		"certificate of a foreign CA": {
			given: func(s *scene) { s.node(func(o *beam.Options) { o.TLS.Identity = s.foreign.Issue(s.host.Name) }) },
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonCertificateUntrusted,
		},
		"expired certificate": {
			given: func(s *scene) { s.node(s.certificate(beam.Expired)) },
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonCertificateExpired,
		},
		"certificate not yet valid": {
			given: func(s *scene) { s.node(s.certificate(beam.NotYetValid)) },
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonCertificateNotYetValid,
		},
		"our clock is behind": {
			given: func(s *scene) {
				s.node()
				s.verifier.Now = func() time.Time { return time.Now().Add(-2 * time.Hour) }
			},
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonCertificateNotYetValid, says: "clocks",
		},
		"certificate of another host": {
			given: func(s *scene) {
				s.node(s.certificate(func(c *x509.Certificate) { c.DNSNames = []string{"wrong." + beam.Domain} }))
			},
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonCertificateNameMismatch,
		},
		"DNS leads to another node": {
			given: func(s *scene) {
				other := s.start(s.otp, 1)
				s.SetName(s.host.Name, other.Host.Address)
			},
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonCertificateNameMismatch, says: "stale DNS",
		},
		"DNS leads to another node's epmd": {
			given: func(s *scene) {
				other := s.Host("chat-1")
				other.EPMD(s.otp)
				s.epmd()
				other.Start(beam.Options{OTP: s.otp, Cookie: cookie, TLS: &beam.TLS{
					Identity: s.ca.Issue("*." + beam.Domain), CAs: s.ca.PEM,
				}})
				s.SetName(s.host.Name, other.Address)
			},
			stage: v1alpha1.StageHandshake, reason: v1alpha1.ReasonNodeNameMismatch, says: `"chat@chat-1.`,
		},
		"certificate for servers only": {
			given: func(s *scene) { s.node(s.certificate(beam.OnlyFor(x509.ExtKeyUsageServerAuth))) },
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonCertificateUnusable, says: "clientAuth",
		},
		"certificate for clients only": {
			given: func(s *scene) { s.node(s.certificate(beam.OnlyFor(x509.ExtKeyUsageClientAuth))) },
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonCertificateUnusable, says: "serverAuth",
		},
		"certificate file missing": {
			given: func(s *scene) { s.node(func(o *beam.Options) { o.TLS.Identity.CertPEM = nil }) },
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonCertificateUnusable, says: "cannot read",
		},
		"CA file missing": {
			given: func(s *scene) { s.node(func(o *beam.Options) { o.TLS.CAs = nil }) },
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonCertificateUnusable, says: "cannot read",
		},
		"key of another certificate": {
			given: func(s *scene) {
				s.node(func(o *beam.Options) { o.TLS.Identity.KeyPEM = s.ca.Issue(s.host.Name).KeyPEM })
			},
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonCertificateUnusable, says: "does not fit",
		},
		"our certificate is of a foreign CA": {
			given: func(s *scene) { s.node(); s.show(s.foreign.Issue("probe." + beam.Domain)) },
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonClientCertificateRejected, says: "does not trust its CA",
		},
		"our certificate is expired": {
			given: func(s *scene) { s.node(); s.show(s.ca.Issue("probe."+beam.Domain, beam.Expired)) },
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonClientCertificateRejected, says: "expired",
		},
		"our certificate is not yet valid": { // as it seems to a node whose clock is behind
			given: func(s *scene) { s.node(); s.show(s.ca.Issue("probe."+beam.Domain, beam.NotYetValid)) },
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonClientCertificateRejected, says: "the node's clock",
		},
		"our certificate is for servers only": {
			given: func(s *scene) {
				s.node()
				s.show(s.ca.Issue("probe."+beam.Domain, beam.OnlyFor(x509.ExtKeyUsageServerAuth)))
			},
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonClientCertificateRejected,
		},
		"we have no certificate": {
			given: func(s *scene) { s.node(); s.show(beam.Identity{}) },
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonClientCertificateRejected, says: "no certificate",
		},
		"the node trusts another CA": {
			given: func(s *scene) { s.node(func(o *beam.Options) { o.TLS.CAs = s.foreign.PEM }) },
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonClientCertificateRejected, says: "does not trust its CA",
		},
		"another cookie": {
			given: func(s *scene) { s.node(func(o *beam.Options) { o.Cookie = "An0therCookie" }) },
			stage: v1alpha1.StageHandshake, reason: v1alpha1.ReasonCookieMismatch, says: "another cookie",
		},
		"another name": {
			given: func(s *scene) { s.node(func(o *beam.Options) { o.Name = "other" }) },
			stage: v1alpha1.StageHandshake, reason: v1alpha1.ReasonNodeNameMismatch, says: `"other@`,
		},
		"short name": {
			given: func(s *scene) { s.node(func(o *beam.Options) { o.ShortName = true }) },
			stage: v1alpha1.StageHandshake, reason: v1alpha1.ReasonNodeNameMismatch, says: `"chat@chat-0"`,
		},
		"short name, epmd": {
			given: func(s *scene) {
				s.startEPMD()
				s.node(withEPMD, func(o *beam.Options) { o.ShortName = true })
			},
			stage: v1alpha1.StageHandshake, reason: v1alpha1.ReasonNodeNameMismatch, says: `"chat@chat-0"`,
		},
		"net_kernel:allow/1 leaves us out": {
			given: func(s *scene) {
				node := s.node()
				s.call(s.dial(node, cookie), "net_kernel", "allow", erldist.AtomList("chat@somewhere.else"))
			},
			stage: v1alpha1.StageHandshake, reason: v1alpha1.ReasonHandshakeRejected, says: "net_kernel:allow/1",
		},
		"net_kernel:allow/1 has our host": { // the name before it does not count
			given: func(s *scene) {
				node := s.node()
				s.call(s.dial(node, cookie), "net_kernel", "allow", erldist.AtomList("chat@probe."+beam.Domain))
			},
			stage: v1alpha1.StageCall, reason: v1alpha1.ReasonVerified,
		},
		"net_kernel:allow/1 has another host of our certificate": {
			given: func(s *scene) {
				node := s.node()
				s.call(s.dial(node, cookie), "net_kernel", "allow", erldist.AtomList("chat@also."+beam.Domain))
				s.show(s.ca.Issue("probe."+beam.Domain, func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "also."+beam.Domain) }))
			},
			stage: v1alpha1.StageHandshake, reason: v1alpha1.ReasonHandshakeRejected, says: "not_allowed",
		},
		"net_kernel:allow/1 leaves us out, in plaintext": {
			given: func(s *scene) {
				s.verifier.Plaintext = true
				s.node(plaintext, func(o *beam.Options) {
					o.Args = []string{"-eval", "net_kernel:allow(['chat@somewhere.else'])."}
				})
			},
			stage: v1alpha1.StageHandshake, reason: v1alpha1.ReasonHandshakeRejected, says: "not_allowed",
		},
		"bad client options": { // which show only in links: see TestHealSilentClient
			given: func(s *scene) {
				s.node(options(`{verify,verify_peer},{versions`, `{verify,verify_peer},{fail_if_no_peer_cert,true},{versions`))
			},
			stage: v1alpha1.StageCall, reason: v1alpha1.ReasonVerified,
		},
		"frozen": {
			given: func(s *scene) { s.node().Freeze() },
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonHandshakeTimedOut, says: "does not finish a TLS handshake",
		},
		"idle connection to a node on one processor": {
			given: func(s *scene) {
				s.node(args("+S", "1"))
				s.idle()
			},
			otps:  []string{"27", "29"}, // 25 takes 128 at a time
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonHandshakeTimedOut, says: "idle connections",
		},
		"a silent server": {
			given: func(s *scene) { s.serve(port, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }) },
			otps:  noNode,
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonHandshakeTimedOut,
		},
		"a server of another protocol": {
			given: func(s *scene) {
				s.serve(port, func(conn net.Conn) { _, _ = io.WriteString(conn, "220 mail.example\r\n") })
			},
			otps:  noNode,
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonNotErlang,
		},
		"a TLS server that is not Erlang": {
			given: func(s *scene) {
				s.serveTLS(func(conn net.Conn) { _, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n") })
			},
			otps:  noNode,
			stage: v1alpha1.StageHandshake, reason: v1alpha1.ReasonNotErlang,
		},
		"a server that sends a gigabyte": {
			given: func(s *scene) { s.serveTLS(func(conn net.Conn) { _, _ = io.WriteString(conn, "\x40\x00\x00\x00s") }) },
			otps:  noNode,
			stage: v1alpha1.StageHandshake, reason: v1alpha1.ReasonNotErlang,
		},
		"a silent TLS server": {
			given: func(s *scene) { s.serveTLS(func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }) },
			otps:  noNode,
			stage: v1alpha1.StageHandshake, reason: v1alpha1.ReasonHandshakeTimedOut,
		},
		"400 ms each way, fixed port": {
			given: func(s *scene) {
				s.node()
				s.host.Degrade(beam.Wire{Delay: 400 * time.Millisecond})
			},
			stage: v1alpha1.StageCall, reason: v1alpha1.ReasonSlowHandshake,
		},
		"400 ms each way, epmd": {
			given: func(s *scene) {
				s.startEPMD()
				s.node(withEPMD)
				s.host.Degrade(beam.Wire{Delay: 400 * time.Millisecond})
			},
			stage: v1alpha1.StageCall, reason: v1alpha1.ReasonSlowHandshake, says: "is verified",
		},
		"3 in 10 packets lost": {
			given: func(s *scene) {
				s.node()
				s.host.Degrade(beam.Wire{Loss: 0.3})
			},
			stage: v1alpha1.StageCall, reason: v1alpha1.ReasonVerified,
		},
		"hidden": {
			given: func(s *scene) { s.node(args("-hidden")) },
			stage: v1alpha1.StageCall, reason: v1alpha1.ReasonHiddenNode, says: "-hidden",
		},
		"rex hangs": {
			given: func(s *scene) {
				conn := s.dial(s.node(), cookie)
				rex := s.call(conn, "erlang", "whereis", erldist.Atom("rex"))
				s.call(conn, "sys", "suspend", rex)
			},
			stage: v1alpha1.StageCall, reason: v1alpha1.ReasonCallFailed, says: "does not answer",
		},
	} {
		t.Run(name, func(t *testing.T) {
			otps := tc.otps
			if otps == nil {
				otps = beam.Releases
			}
			for _, otp := range otps {
				t.Run("OTP"+otp, func(t *testing.T) {
					t.Parallel()
					s := newScene(t, otp)
					tc.given(s)
					verdict := s.verify()
					for tries := 1; tc.reason == v1alpha1.ReasonPlaintextDistribution && verdict.Reason == v1alpha1.ReasonHandshakeTimedOut && tries < 5; tries++ {
						verdict = s.verify() // The second look, in plaintext, has a second, in which the machine may be busy.
					}
					s.wantVerdict(verdict, tc.stage, tc.reason, tc.says)
				})
			}
		})
	}
}

// verify verifies the target.
func (s *scene) verify() verify.Verdict {
	s.t.Helper()
	begun := time.Now()
	verdict, session := s.verifier.Verify(deadline(s.t), s.target)
	if session != nil {
		session.Close()
	}
	s.t.Logf("%s at %s: %s", verdict.Reason, verdict.Stage, verdict.Message)
	if verdict.Verified() != (session != nil) {
		s.t.Errorf("session of a node that is %s: %v", verdict.Reason, session)
	}
	// Unit tests measure it to the millisecond; here other nodes boot meanwhile, and a lost SYN is sent again after a second.
	if took, most := time.Since(begun), s.verifier.Limits.TLS+30*time.Second; took > most && !verdict.Verified() {
		s.t.Errorf("the verdict took %s, more than a stage may: %v", took, verdict.Timings)
	}
	s.wantAgreement(verdict)
	return verdict
}

// wantVerdict compares a verdict with the expected one.
func (s *scene) wantVerdict(verdict verify.Verdict, stage v1alpha1.Stage, reason, says string) {
	s.t.Helper()
	if verdict.Stage != stage || verdict.Reason != reason && unhurried(verdict.Reason) != reason {
		s.t.Errorf("verdict is %s at %s, want %s at %s; stages: %v", verdict.Reason, verdict.Stage, reason, stage, verdict.Timings)
	}
	if !strings.Contains(verdict.Message, says) {
		s.t.Errorf("message %q does not contain %q", verdict.Message, says)
	}
}

// wantAgreement requires that text and JSON agree with the verdict, and hold no secret.
func (s *scene) wantAgreement(verdict verify.Verdict) {
	s.t.Helper()
	var text, document bytes.Buffer
	report := command.NewReport([]verify.Verdict{verdict})
	if err := errors.Join(report.WriteText(&text), report.WriteJSON(&document)); err != nil {
		s.t.Fatal(err)
	}
	s.wantNoSecret(text.String() + document.String() + fmt.Sprintf("%+v %#v", verdict, verdict))

	var failed []string // in the text
	for line := range strings.Lines(text.String()) {
		if stage := strings.Fields(line); len(stage) > 1 && stage[1] == "failed" {
			failed = append(failed, stage[0])
		}
	}
	var want []string
	if !verdict.Verified() {
		want = []string{string(verdict.Stage)}
	}
	if diff := cmp.Diff(want, failed); diff != "" {
		s.t.Errorf("stages marked as failed (-want +got):\n%s%s", diff, text.String())
	}
	var decoded command.Report
	if err := json.Unmarshal(document.Bytes(), &decoded); err != nil {
		s.t.Fatal(err)
	}
	if last := decoded.Nodes[0].Timings[len(decoded.Nodes[0].Timings)-1]; last.Stage != verdict.Stage || last.Failed == verdict.Verified() {
		s.t.Errorf("the last stage of %s at %s is %+v", verdict.Reason, verdict.Stage, last)
	}
}
