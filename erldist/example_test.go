package erldist_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/erlang-operator/erlang-operator/erldist"
)

// Connect to a node over mutual TLS and ask it for the other members.
func ExampleDialer_Dial() {
	members := func(ctx context.Context, node string) ([]string, error) {
		ca, err := os.ReadFile("ca.crt")
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca)
		certificate, err := tls.LoadX509KeyPair("tls.crt", "tls.key")
		if err != nil {
			return nil, err
		}
		cookie, err := os.ReadFile("cookie")
		if err != nil {
			return nil, err
		}
		dialer := erldist.Dialer{
			Cookie: erldist.NewCookie(strings.TrimSpace(string(cookie))),
			TLS:    erldist.ClientTLS(roots, certificate),
		}
		conn, err := dialer.Dial(ctx, node)
		if err != nil {
			return nil, err
		}
		defer func() { _ = conn.Close() }()
		nodes, err := conn.Call(ctx, "erlang", "nodes")
		if err != nil {
			return nil, err
		}
		names, _ := erldist.Atoms(nodes)
		return names, nil
	}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(members(ctx, "chat@chat-0.chat.default.svc.cluster.local"))
}

// Print why a node cannot be reached.
func ExampleStageError() {
	dialer := erldist.Dialer{Cookie: erldist.NewCookie("secret"), Port: 9100}
	_, err := dialer.Dial(context.Background(), "chat@127.0.0.1")

	var failed *erldist.StageError
	var alert *erldist.AlertError
	var status *erldist.StatusError
	switch {
	case err == nil:
		fmt.Println("it can be reached")
	case errors.Is(err, erldist.ErrNotRegistered):
		fmt.Println("EPMD does not know it")
	case errors.Is(err, erldist.ErrCookieRejected):
		fmt.Println("it has another cookie")
	case errors.As(err, &alert):
		fmt.Println("it refuses our certificate with alert", alert.Number)
	case errors.As(err, &status):
		fmt.Println("it refuses us with status", status.Status)
	case errors.As(err, &failed):
		fmt.Println("it fails in stage", failed.Stage)
	}
}

// Print the stages as they run.
func ExampleWithTrace() {
	ctx := erldist.WithTrace(context.Background(), &erldist.Trace{
		StageDone: func(r erldist.StageReport) { fmt.Println(r.Stage, r.Address, r.Duration, r.Err) },
	})
	dialer := erldist.Dialer{Cookie: erldist.NewCookie("secret")}
	if _, err := dialer.Names(ctx, "127.0.0.1"); err != nil {
		log.Print(err)
	}
}
