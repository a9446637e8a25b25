package verify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/erldist"
)

const cookie = "N0tTheRealCookie"

// issue signs a certificate that is good for localhost but for the changes.
func issue(ca certstest.Authority, changes ...func(*x509.Certificate)) tls.Certificate {
	return ca.Pair("localhost", append([]func(*x509.Certificate){certstest.ValidNow}, changes...)...)
}

// server answers connections, until the test ends.
func server(t *testing.T, answer func(net.Conn)) uint16 {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
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
	return netip.MustParseAddrPort(listener.Addr().String()).Port()
}

func silent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

func says(text string) func(net.Conn) {
	return func(conn net.Conn) { _, _ = io.WriteString(conn, text) }
}

// over speaks TLS first.
func over(config *tls.Config, answer func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		secured := tls.Server(conn, config)
		if secured.Handshake() == nil {
			answer(secured)
		}
	}
}

// TestVerify is about all that can stand at a node's address without being one, and
// about how long a verdict takes. What is a node is tested in test/erlang.
func TestVerify(t *testing.T) {
	ours, foreign := certstest.NewAuthority("ours"), certstest.NewAuthority("foreign")
	with := func(certificate tls.Certificate) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{certificate}}
	}
	foreignCAs := x509.NewCertPool()
	foreignCAs.AddCert(foreign.Certificate)

	for name, tc := range map[string]struct {
		epmd, node func(net.Conn) // nothing listens where there is none
		resolve    error
		hangs      bool // the last stage, or a second look, lasts for as long as it may
		stage      v1alpha1.Stage
		reason     string
	}{
		"DNS fails": {
			resolve: &net.DNSError{IsTimeout: true},
			stage:   v1alpha1.StageResolve, reason: v1alpha1.ReasonNameResolutionFailed,
		},
		"nothing listens": {
			stage: v1alpha1.StageConnectDistribution, reason: v1alpha1.ReasonConnectionRefused,
		},
		"epmd is silent": {
			epmd: silent, hangs: true,
			stage: v1alpha1.StageLookup, reason: v1alpha1.ReasonEPMDUnreachable,
		},
		"epmd talks nonsense": {
			epmd:  says("HTTP/1.1 400 Bad Request\r\n"),
			stage: v1alpha1.StageLookup, reason: v1alpha1.ReasonEPMDUnreachable,
		},
		"epmd does not know it": {
			epmd:  says("\x77\x01"),
			stage: v1alpha1.StageLookup, reason: v1alpha1.ReasonNodeNotRegistered,
		},
		"epmd gives a port that no peer reaches": {
			epmd:  says("\x77\x00\x13\x88M\x00\x00\x06\x00\x05\x00\x04chat\x00\x00"),
			stage: v1alpha1.StageLookup, reason: v1alpha1.ReasonPortOutOfRange,
		},
		"silence": {
			node: silent, hangs: true,
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonHandshakeTimedOut,
		},
		"another protocol": {
			node:  says("220 mail.example\r\n"),
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonNotErlang,
		},
		"a hang-up": {
			node: func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1<<16)) }, hangs: true, // in the second look
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonHandshakeRejected,
		},
		"a reset": {
			node: func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 1<<16))
				_ = conn.(*net.TCPConn).SetLinger(0)
			},
			hangs: true,
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonHandshakeRejected,
		},
		"an end before a word": {
			node:  func(net.Conn) {},
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonCertificateUnusable,
		},
		"the certificate of another CA": {
			node:  over(with(issue(foreign)), silent),
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonCertificateUntrusted,
		},
		"an expired certificate": {
			node:  over(with(issue(ours, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })), silent),
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonCertificateExpired,
		},
		"the certificate of another host": {
			node:  over(with(issue(ours, func(c *x509.Certificate) { c.DNSNames = []string{"elsewhere"} })), silent),
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonCertificateNameMismatch,
		},
		"a certificate for servers only": {
			node:  over(with(issue(ours, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] })), silent),
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonCertificateUnusable,
		},
		"a key of its own": {
			node:  over(with(tls.Certificate{Certificate: issue(ours).Certificate, PrivateKey: ours.Pair("elsewhere").PrivateKey}), silent),
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonCertificateUnusable,
		},
		"TLS 1.2": {
			node:  over(&tls.Config{Certificates: []tls.Certificate{issue(ours)}, MaxVersion: tls.VersionTLS12}, silent),
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonTLSVersionMismatch,
		},
		"trust in another CA": {
			node: over(&tls.Config{
				Certificates: []tls.Certificate{issue(ours)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: foreignCAs,
			}, silent),
			stage: v1alpha1.StageTLS, reason: v1alpha1.ReasonClientCertificateRejected,
		},
		"silence over TLS": {
			node: over(with(issue(ours)), silent), hangs: true,
			stage: v1alpha1.StageHandshake, reason: v1alpha1.ReasonHandshakeTimedOut,
		},
		"another protocol over TLS": {
			node:  over(with(issue(ours)), says("HTTP/1.1 400 Bad Request\r\n\r\n")),
			stage: v1alpha1.StageHandshake, reason: v1alpha1.ReasonNotErlang,
		},
		"a hang-up over TLS": {
			node: over(with(issue(ours)), func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 1<<16))
			}),
			stage: v1alpha1.StageHandshake, reason: v1alpha1.ReasonHandshakeRejected,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Only what hangs uses up its limit. The others have time for a busy machine.
			limit := 30 * time.Second
			if tc.hangs {
				limit = 2 * time.Second
			}
			verifier := &Verifier{
				Credentials: Credentials{
					Cookie: erldist.NewCookie(cookie), Certificate: issue(ours), Trust: certs.Trust{}.With(ours.Certificate),
				},
				Limits: Limits{
					Resolve: limit, Connect: limit, Lookup: limit, ConnectDistribution: limit,
					TLS: limit, Handshake: limit, Call: limit, Link: limit,
				},
				Resolve: func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, tc.resolve },
			}
			target := Target{Node: "chat@localhost", FixedPort: 1, Ports: PortRange{9100, 9109}}
			if tc.epmd != nil {
				target.FixedPort, target.EPMDPort = 0, server(t, tc.epmd)
			}
			if tc.node != nil {
				target.FixedPort = server(t, tc.node)
			}

			begun := time.Now()
			verdict, session := verifier.Verify(t.Context(), target)
			took := time.Since(begun)
			if session != nil {
				t.Error("a session with what is no node")
			}
			if verdict.Stage != tc.stage || verdict.Reason != tc.reason {
				t.Errorf("verdict is %s at %s, want %s at %s: %s", verdict.Reason, verdict.Stage, tc.reason, tc.stage, verdict.Message)
			}
			checkTimings(t, verdict)
			if strings.Contains(verdict.Message, cookie) {
				t.Errorf("the message %q holds the cookie", verdict.Message)
			}
			// Only the last stage takes any time, a second look included. TestTimeToVerdict measures it.
			if took > 12*time.Second {
				t.Errorf("the verdict took %s: %v", took, verdict.Timings)
			}
		})
	}
}

// checkTimings wants the timings to say what the verdict says: the stage that failed is
// the last one, and no other failed.
func checkTimings(t *testing.T, verdict Verdict) {
	t.Helper()
	for i, timing := range verdict.Timings {
		if last := i == len(verdict.Timings)-1; timing.Failed != last || last && timing.Stage != verdict.Stage {
			t.Errorf("failed at %s, and the stages are %+v", verdict.Stage, verdict.Timings)
		}
	}
	if len(verdict.Timings) == 0 {
		t.Errorf("failed at %s, and no stage was tried", verdict.Stage)
	}
}

// TestVerifyNoName: what is no name of a node gets a verdict too.
func TestVerifyNoName(t *testing.T) {
	verdict, _ := new(Verifier).Verify(t.Context(), Target{Node: "chat"})
	if verdict.Stage != v1alpha1.StageResolve || verdict.Reason != v1alpha1.ReasonNameResolutionFailed {
		t.Errorf("verdict is %s at %s: %s", verdict.Reason, verdict.Stage, verdict.Message)
	}
	checkTimings(t, verdict)
}

// TestVerifyFormerAddress: DNS has an address that the pod no longer has, and nobody answers there.
func TestVerifyFormerAddress(t *testing.T) {
	for _, target := range []Target{{Node: "chat@chat-0"}, {Node: "chat@chat-0", FixedPort: 9100}} {
		for published, says := range map[string]string{"10.0.0.9": "DNS has the address 10.0.0.7 for it, and Kubernetes publishes 10.0.0.9", "10.0.0.7": "refuses connections"} {
			verifier := Verifier{
				Limits:      DefaultLimits(),
				Resolve:     func(context.Context, string) ([]string, error) { return []string{"10.0.0.7"}, nil },
				Located:     func(string) []string { return []string{published} },
				DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED },
			}
			verdict, _ := verifier.Verify(t.Context(), target)
			if !strings.Contains(verdict.Message, says) {
				t.Errorf("with %s: %s at %s: %s", published, verdict.Reason, verdict.Stage, verdict.Message)
			}
			checkTimings(t, verdict)
		}
	}
}

// TestVerifyDualStack: epmd listens on an address on which the node does not.
func TestVerifyDualStack(t *testing.T) {
	port := server(t, member{name: "chat@localhost", cookie: cookie}.play)
	epmd, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = epmd.Close() })
	go func() {
		for {
			conn, err := epmd.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 100))
			answer := append([]byte("\x77\x00"), byte(port>>8), byte(port))
			_, _ = conn.Write(append(answer, "M\x00\x00\x06\x00\x05\x00\x04chat\x00\x00"...))
			_ = conn.Close()
		}
	}()
	verifier := &Verifier{
		Credentials: Credentials{Cookie: erldist.NewCookie(cookie)}, Limits: DefaultLimits(), Plaintext: true,
		Resolve: func(context.Context, string) ([]string, error) { return []string{"127.0.0.2", "127.0.0.1"}, nil },
	}
	verifier.Limits.Call = 100 * time.Millisecond
	target := Target{Node: "chat@localhost", EPMDPort: netip.MustParseAddrPort(epmd.Addr().String()).Port()}
	if verdict, _ := verifier.Verify(t.Context(), target); verdict.Stage != v1alpha1.StageCall {
		t.Errorf("verdict is %s at %s: %s", verdict.Reason, verdict.Stage, verdict.Message)
	}
}

// TestVerifyOlderTLS: with TLS 1.2, which has to be asked for, a node judges our certificate
// before the handshake is over.
func TestVerifyOlderTLS(t *testing.T) {
	ours, foreign := certstest.NewAuthority("ours"), x509.NewCertPool()
	foreign.AddCert(certstest.NewAuthority("foreign").Certificate)
	older := &tls.Config{Certificates: []tls.Certificate{issue(ours)}, MaxVersion: tls.VersionTLS12}
	strict := older.Clone()
	strict.ClientAuth, strict.ClientCAs = tls.RequireAndVerifyClientCert, foreign
	for _, tc := range []struct {
		config *tls.Config
		reason string
	}{{older, v1alpha1.ReasonHandshakeTimedOut}, {strict, v1alpha1.ReasonClientCertificateRejected}} {
		verifier := &Verifier{
			Credentials: Credentials{Cookie: erldist.NewCookie(cookie), Certificate: issue(ours), Trust: certs.Trust{}.With(ours.Certificate)},
			Limits:      DefaultLimits(), MinTLS: tls.VersionTLS12, Resolve: net.DefaultResolver.LookupHost,
		}
		verifier.Limits.Handshake = 100 * time.Millisecond
		verdict, _ := verifier.Verify(t.Context(), Target{Node: "chat@localhost", FixedPort: server(t, over(tc.config, silent)), Network: "tcp4"})
		if verdict.Reason != tc.reason {
			t.Errorf("verdict is %s at %s, want %s: %s", verdict.Reason, verdict.Stage, tc.reason, verdict.Message)
		}
	}
}
