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
	roots := x509.NewCertPool()
	ca, err := os.ReadFile("ca.crt")
	if err != nil {
		log.Fatal(err)
	}
	roots.AppendCertsFromPEM(ca)
	certificate, err := tls.LoadX509KeyPair("tls.crt", "tls.key")
	if err != nil {
		log.Fatal(err)
	}
	cookie, err := os.ReadFile("/etc/chat/cookie")
	if err != nil {
		log.Fatal(err)
	}
	dialer := erldist.Dialer{
		Cookie: erldist.NewCookie(strings.TrimSpace(string(cookie))),
		TLS:    erldist.ClientTLS(roots, certificate),
	}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := dialer.Dial(ctx, "chat@chat-0.chat.default.svc.cluster.local")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	result, err := conn.Call(ctx, "erlang", "nodes")
	if err != nil {
		log.Fatal(err)
	}
	members, _ := erldist.Atoms(result)
	fmt.Println(members)
}

// Tell why a node cannot be reached.
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

// Watch the stages as they are taken.
func ExampleWithTrace() {
	ctx := erldist.WithTrace(context.Background(), &erldist.Trace{
		StageDone: func(r erldist.StageReport) { fmt.Println(r.Stage, r.Address, r.Duration, r.Err) },
	})
	dialer := erldist.Dialer{Cookie: erldist.NewCookie("secret")}
	if _, err := dialer.Names(ctx, "127.0.0.1"); err != nil {
		log.Print(err)
	}
}
