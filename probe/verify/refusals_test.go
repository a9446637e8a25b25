package verify

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
)

// TestRefusal: only a TLS alert, or a close that cannot be that of net_setuptime, is a
// refusal. Everything else proves nothing.
func TestRefusal(t *testing.T) {
	ours := certstest.NewAuthority("ours")
	pool := x509.NewCertPool()
	pool.AddCert(ours.Certificate)
	lax := &tls.Config{Certificates: []tls.Certificate{issue(ours)}}
	strict := &tls.Config{Certificates: []tls.Certificate{issue(ours)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	for name, tc := range map[string]struct {
		node     func(net.Conn)
		accepted bool
		proven   bool
	}{
		"an alert":               {node: over(strict, silent), proven: true},
		"a close at once":        {node: func(net.Conn) {}, proven: true},
		"a close after the name": {node: over(lax, func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)) }), proven: true},
		"net_setuptime is over": {node: over(lax, func(conn net.Conn) {
			_ = conn.SetReadDeadline(time.Now().Add(7 * time.Second))
			silent(conn)
		})},
		"silence":                     {node: silent},
		"another protocol":            {node: over(lax, says("HTTP/1.1 400 Bad Request\r\n\r\n"))},
		"a certificate of another CA": {node: over(&tls.Config{Certificates: []tls.Certificate{issue(certstest.NewAuthority("foreign"))}}, silent)},
		"a status": {
			node: over(lax, func(conn net.Conn) {
				_, _ = bufio.NewReader(conn).ReadByte()
				_, _ = io.WriteString(conn, "\x00\x00\x00\x03sok")
				silent(conn)
			}),
			accepted: true, proven: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verifier := &Verifier{Credentials: Credentials{Trust: certs.Trust{}.With(ours.Certificate)}, Limits: DefaultLimits()}
			foreign, err := foreignCertificate("probe", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			address := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(server(t, tc.node))))
			ctx, cancel := context.WithTimeout(t.Context(), longestTrial)
			defer cancel()
			accepted, err := verifier.tryConnection(ctx, address, verifier.clientTLS("localhost", foreign))
			if accepted != tc.accepted || (err == nil) != tc.proven {
				t.Errorf("accepted: %t, %v; want %t, proven: %t", accepted, err, tc.accepted, tc.proven)
			}
		})
	}
}
