package erldist

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// authority issues certificates.
type authority struct {
	t           *testing.T
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	a.certificate, a.key = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageCertSign,
		BasicConstraintsValid: true, IsCA: true,
	})
	return a
}

func (a *authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return certificate, key
}

func (a *authority) issue(host string) tls.Certificate {
	a.t.Helper()
	certificate, key := a.sign(&x509.Certificate{
		DNSNames: []string{host}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return tls.Certificate{Certificate: [][]byte{certificate.Raw}, PrivateKey: key}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// secureNode is a node that requires a certificate of the authority.
func (a *authority) secureNode(host string) *node {
	n := newNode()
	n.tls = &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{a.issue(host)},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.pool(),
	}
	return n
}

func TestHandshakeOverTLS(t *testing.T) {
	ca := newAuthority(t, "ours")
	for name, wrap := range map[string]func(io.Writer) io.Writer{
		"at once":      func(w io.Writer) io.Writer { return w },
		"byte by byte": func(w io.Writer) io.Writer { return slowly{w} },
	} {
		t.Run(name, func(t *testing.T) {
			n := ca.secureNode("chat-0.example.org")
			n.wrap = wrap
			conn, err := n.dial(t, &Dialer{TLS: ClientTLS(ca.pool(), ca.issue("probe"))})
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.Ping(testContext(t)); err != nil {
				t.Error(err)
			}
			if state := conn.TLS(); state == nil || state.Version != tls.VersionTLS13 || len(state.VerifiedChains) != 1 {
				t.Errorf("TLS state %+v", conn.TLS())
			}
		})
	}
}

func TestTLSFailures(t *testing.T) {
	ca, foreign := newAuthority(t, "ours"), newAuthority(t, "foreign")
	alert := func(number uint8) func(error) bool {
		return func(err error) bool {
			var a *AlertError
			return errors.As(err, &a) && a.Number == number
		}
	}
	for name, test := range map[string]struct {
		host   string
		old    bool // a node without TLS 1.3
		client *tls.Config
		want   func(error) bool
	}{
		"no certificate": {client: ClientTLS(ca.pool(), tls.Certificate{}), want: alert(116)},
		"foreign certificate, sent although the node does not ask for one of its authority": {
			// Go's server, unlike OTP's, calls an unknown authority bad_certificate.
			client: ClientTLS(ca.pool(), foreign.issue("probe")), want: func(err error) bool { return alert(48)(err) || alert(42)(err) },
		},
		"node of another authority": {
			client: ClientTLS(foreign.pool(), ca.issue("probe")),
			want:   func(err error) bool { return errors.As(err, new(x509.UnknownAuthorityError)) },
		},
		"node without TLS 1.3": {
			old: true, client: ClientTLS(ca.pool(), ca.issue("probe")), want: alert(70),
		},
		"node with another name": {
			host: "chat-1.example.org", client: ClientTLS(ca.pool(), ca.issue("probe")),
			want: func(err error) bool { return errors.As(err, new(x509.HostnameError)) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			host := test.host
			if host == "" {
				host = "chat-0.example.org"
			}
			n := ca.secureNode(host)
			if test.old {
				n.tls.MinVersion, n.tls.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
			}
			var closed atomic.Bool
			_, err := n.dial(t, &Dialer{TLS: test.client, DialContext: dialWatched(&closed)})
			if !closed.Load() {
				t.Error("the connection is left open")
			}
			var failed *StageError
			if !errors.As(err, &failed) || failed.Stage != StageTLS || !test.want(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// dialWatched dials connections that report when they are closed.
func dialWatched(closed *atomic.Bool) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return &watchedConn{conn, closed}, err
	}
}

type watchedConn struct {
	net.Conn
	closed *atomic.Bool
}

func (c *watchedConn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

// A node that refuses our certificate may have closed the connection before we send our
// name. The alert, not the failure to send, is the reason.
func TestAlertBehindFailedWrite(t *testing.T) {
	ca := newAuthority(t, "ours")
	n := ca.secureNode("chat-0.example.org")
	reset := new(atomic.Bool)
	ctx := WithTrace(testContext(t), &Trace{StageDone: func(r StageReport) { reset.Store(r.Stage == StageTLS) }})
	_, err := n.dialContext(ctx, t, &Dialer{
		TLS: ClientTLS(ca.pool(), tls.Certificate{}),
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return &resetConn{conn, reset}, err
		},
	})
	var failed *StageError
	var alert *AlertError
	if !errors.As(err, &alert) || alert.Number != 116 || !errors.As(err, &failed) || failed.Stage != StageTLS {
		t.Errorf("got %v", err)
	}
}

// resetConn fails writes as a connection does that the peer has reset.
type resetConn struct {
	net.Conn
	reset *atomic.Bool
}

func (c *resetConn) Write(p []byte) (int, error) {
	if c.reset.Load() {
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return c.Conn.Write(p)
}

// A TLS server that is not Erlang.
func TestOtherServiceOverTLS(t *testing.T) {
	ca := newAuthority(t, "ours")
	address := listen(t, func(conn net.Conn) {
		secured := tls.Server(conn, ca.secureNode("chat-0.example.org").tls)
		_, _ = io.WriteString(secured, "HTTP/1.1 400 Bad Request\r\n\r\n")
		_ = secured.Close()
	})
	d := Dialer{TLS: ClientTLS(ca.pool(), ca.issue("probe"))}
	_, err := d.DialAddress(testContext(t), testNode, address)
	var failed *StageError
	var m *MalformedError
	if !errors.As(err, &failed) || failed.Stage != StageHandshake || !errors.As(err, &m) || string(m.Excerpt[:8]) != "HTTP/1.1" {
		t.Errorf("got %v", err)
	}
}
