//go:build erlang

package probe

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/verify"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// A valid node passes the refusal checks, and one that accepts too much is reported.
func TestRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		change   func(*beam.Options)
		accepted []v1alpha1.RefusalTrial
	}{
		"a valid node": {change: func(*beam.Options) {}},
		"a node that requests no certificate": {
			change:   options(`{verify,verify_peer},{fail_if_no_peer_cert,true}`, `{verify,verify_none}`),
			accepted: []v1alpha1.RefusalTrial{v1alpha1.TrialNoCertificate, v1alpha1.TrialForeignCA},
		},
		"a node that does not require a certificate": {
			change:   options(`{fail_if_no_peer_cert,true}`, `{fail_if_no_peer_cert,false}`),
			accepted: []v1alpha1.RefusalTrial{v1alpha1.TrialNoCertificate},
		},
	} {
		t.Run(name, func(t *testing.T) {
			onEachRelease(t, func(t *testing.T, otp string) {
				s := newScene(t, otp)
				node := s.node(tc.change)
				verdict, session := s.verifier.Verify(deadline(t), s.target)
				if session == nil {
					t.Fatal(verdict.Message)
				}
				defer session.Close()
				log := len(node.Log())
				accepted, err := s.verifier.TryRefusals(deadline(t), session)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.accepted, accepted); diff != "" {
					t.Errorf("accepted (-want +got):\n%s", diff)
				}
				if _, err := session.Info(deadline(t)); err != nil {
					t.Errorf("the session did not survive the trials: %v", err)
				}
				if err := node.WaitLogFrom(log, "Invalid challenge reply", time.Minute); err != nil {
					t.Error(err)
				}
				if reports := strings.Count(node.Log()[log:], " REPORT===="); reports > 4 {
					t.Errorf("four trials cost %d reports in the node's log:\n%s", reports, node.Log()[log:])
				}
			})
		})
	}
}

// Refusal checks that do not finish prove nothing.
func TestRefusalsUnreachable(t *testing.T) {
	s := newScene(t, "27")
	s.node()
	s.verifier.Limits.TLS, s.verifier.Limits.Handshake = time.Second, time.Second
	_, session := s.verifier.Verify(deadline(t), s.target)
	if session == nil {
		t.Fatal("the node is not verified")
	}
	defer session.Close()
	s.host.Blackhole()
	if accepted, err := s.verifier.TryRefusals(deadline(t), session); err == nil {
		t.Errorf("a node in a black hole refuses all but %v", accepted)
	}
}

// A node that accepts anybody, and closes a connection because a message came later than
// net_setuptime, has not refused it.
func TestRefusalsOfDelayedMessage(t *testing.T) {
	s := newScene(t, "25")
	s.node(options(`{verify,verify_peer},{fail_if_no_peer_cert,true}`, `{verify,verify_none}`))
	verdict, session := s.verifier.Verify(deadline(t), s.target)
	if session == nil {
		t.Fatal(verdict.Message)
	}
	defer session.Close()
	connections := 0
	s.verifier.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := s.DialContext(ctx, network, address)
		if connections++; connections > 2 { // after those without a certificate, and with a foreign one
			return conn, err
		}
		return &delayed{Conn: conn}, err
	}
	if accepted, err := s.verifier.TryRefusals(deadline(t), session); err == nil {
		t.Errorf("a node that accepts anybody is said to accept %v alone", accepted)
	}
}

// delayed is a connection whose third message comes late: of TLS, that is the first of
// distribution.
type delayed struct {
	net.Conn
	messages int
}

func (d *delayed) Write(message []byte) (int, error) {
	if d.messages++; d.messages == 3 {
		time.Sleep(7500 * time.Millisecond)
	}
	return d.Conn.Write(message)
}

// Verification leaves no atom and no process in a node, and nothing in its log.
func TestNoTrace(t *testing.T) {
	verdicts := beam.Times(200, 10_000)
	onEachRelease(t, func(t *testing.T, otp string) {
		s := newScene(t, otp)
		node := s.node()
		observer := s.dial(node, cookie)
		verifyOften := func(times int) {
			for range times {
				verdict, session := s.verifier.Verify(deadline(t), s.target)
				if session == nil {
					t.Fatal(verdict.Message)
				}
				session.Close()
			}
		}
		count := func(what string) erldist.Term {
			return s.call(observer, "erlang", "system_info", erldist.Atom(what))
		}
		// Load the code, and create the names that are used again: some, because the node
		// notices the end of a connection after the next ones have started.
		var atOnce []*verify.Session
		for range 20 {
			verdict, session := s.verifier.Verify(deadline(t), s.target)
			if session == nil {
				t.Fatal(verdict.Message)
			}
			atOnce = append(atOnce, session)
		}
		for _, session := range atOnce {
			session.Close()
		}
		verifyOften(20)
		s.settled(observer)
		atoms, processes, log := count("atom_count"), count("process_count"), len(node.Log())
		verifyOften(verdicts)
		s.settled(observer)
		if got := count("atom_count"); got != atoms {
			t.Errorf("%d verdicts made the atoms %v of %v", verdicts, got, atoms)
		}
		if got := count("process_count"); got != processes {
			t.Errorf("%d verdicts made the processes %v of %v", verdicts, got, processes)
		}
		if text := node.Log()[log:]; text != "" {
			t.Errorf("the node logs %q", text)
		}
	})
}

// settled waits until the node has noticed the end of all connections but one.
func (s *scene) settled(observer *erldist.Conn) {
	s.t.Helper()
	await.Until(s.t, time.Minute, "one hidden node is left", func(ctx context.Context) error {
		hidden, err := observer.Call(ctx, "erlang", "nodes", erldist.Atom("hidden"))
		if list, ok := hidden.(erldist.List); err == nil && (!ok || len(list) != 1) {
			err = fmt.Errorf("there are %v", hidden)
		}
		return err
	})
	if visible := fmt.Sprint(s.call(observer, "erlang", "nodes")); visible != "[]" {
		s.t.Errorf("nodes() is %s", visible)
	}
}
