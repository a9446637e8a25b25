//go:build erlang

package erlang

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

func TestVerifyNode(t *testing.T) {
	onEachRelease(t, func(t *testing.T, otp string) {
		for _, carrier := range []string{"TLS", "Plaintext"} {
			for _, discovery := range []string{"EPMD", "FixedPort"} {
				t.Run(carrier+"/"+discovery, func(t *testing.T) {
					c := newCluster(t)
					host := c.Host("chat-0")
					options := beam.Options{OTP: otp, Cookie: cookie}
					stages := []erldist.Stage{erldist.StageResolve}
					if discovery == "EPMD" {
						host.EPMD(otp)
						stages = append(stages, erldist.StageConnect, erldist.StageLookup)
					} else {
						options.FixedPort = 9100
					}
					stages = append(stages, erldist.StageConnectDistribution)
					if carrier == "TLS" {
						options.TLS = c.nodeTLS(host)
						stages = append(stages, erldist.StageTLS)
					}
					stages = append(stages, erldist.StageHandshake)
					node := host.Start(options)
					dialer := node.Dialer()
					if carrier == "TLS" {
						dialer = c.dialer(node)
					}
					verify(t, dialer, node, otp, stages)
				})
			}
		}
	})
}

func verify(t *testing.T, dialer *erldist.Dialer, node *beam.Node, otp string, stages []erldist.Stage) {
	var taken []erldist.Stage
	ctx := erldist.WithTrace(deadline(t), &erldist.Trace{StageDone: func(r erldist.StageReport) {
		if r.Err != nil {
			t.Error(r.Err)
		}
		taken = append(taken, r.Stage)
	}})
	conn, err := dialer.Dial(ctx, node.Name)
	if err != nil {
		t.Fatalf("%v\n%s", err, node.Log())
	}
	defer func() { _ = conn.Close() }()
	if diff := cmp.Diff(stages, taken); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
	if got := conn.Peer().Name; got != node.Name {
		t.Errorf("peer %q, want %q", got, node.Name)
	}
	if got := conn.Local().Name; !strings.HasSuffix(got, "@probe."+beam.Domain) {
		t.Errorf("we are %q, want a name on our host", got)
	}
	if dialer.TLS != nil && (conn.TLS().Version != tls.VersionTLS13 || len(conn.TLS().VerifiedChains) == 0) {
		t.Errorf("TLS version %x with %d verified chains", conn.TLS().Version, len(conn.TLS().VerifiedChains))
	}
	if err := conn.Ping(ctx); err != nil {
		t.Error(err)
	}
	results, err := conn.CallAll(ctx,
		erldist.MFA{Module: "erlang", Function: "nodes"},
		erldist.MFA{Module: "erlang", Function: "nodes", Args: []erldist.Term{erldist.Atom("hidden")}},
		erldist.MFA{Module: "erlang", Function: "system_info", Args: []erldist.Term{erldist.Atom("otp_release")}},
		erldist.MFA{Module: "erlang", Function: "statistics", Args: []erldist.Term{erldist.Atom("wall_clock")}},
	)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]erldist.Term{erldist.List{}, erldist.AtomList(conn.Local().Name), erldist.String(otp)}, results[:3]); diff != "" {
		t.Errorf("nodes(), nodes(hidden), otp_release (-want +got):\n%s", diff)
	}
	if uptime, ok := results[3].(erldist.Tuple); !ok || len(uptime) != 2 || uptime[0].(erldist.Int) <= 0 {
		t.Errorf("wall clock %v", results[3])
	}
	self, err := conn.ERPC(ctx, "erlang", "node")
	if err != nil || self != erldist.Term(erldist.Atom(node.Name)) {
		t.Errorf("node() is %v, %v", self, err)
	}
	testFailingCalls(t, conn)
}

func testFailingCalls(t *testing.T, conn *erldist.Conn) {
	ctx := deadline(t)
	var failed *erldist.CallError
	if _, err := conn.Call(ctx, "erlang", "no_such_function"); !errors.As(err, &failed) || failed.Class != "badrpc" {
		t.Errorf("rex on an unknown function: %v", err)
	}
	if _, err := conn.CallAll(ctx, erldist.MFA{Module: "erlang", Function: "no_such_function"}); !errors.As(err, &failed) {
		t.Errorf("several calls with an unknown function: %v", err)
	}
	for _, class := range []string{"throw", "exit", "error"} {
		_, err := conn.ERPC(ctx, "erlang", map[string]string{"throw": "throw", "exit": "exit", "error": "error"}[class], erldist.Atom("badarg"))
		if !errors.As(err, &failed) || failed.Class != class || failed.Reason != erldist.Term(erldist.Atom("badarg")) {
			t.Errorf("erpc with %s: %v", class, err)
		}
	}
}

func TestEPMD(t *testing.T) {
	onEachRelease(t, func(t *testing.T, otp string) {
		c := newCluster(t)
		host := c.Host("chat-0")
		host.EPMD(otp)
		node := host.Start(beam.Options{OTP: otp, Cookie: cookie})
		registration, err := node.Dialer().Lookup(deadline(t), node.Name)
		if err != nil {
			t.Fatal(err)
		}
		if registration.Port < 9100 || registration.Port > 9109 || registration.Name != "chat" || registration.Type != 'M' {
			t.Errorf("registration %+v", registration)
		}
		names, err := node.Dialer().Names(deadline(t), host.Name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]erldist.RegisteredName{{Name: "chat", Port: registration.Port}}, names); diff != "" {
			t.Errorf("names (-want +got):\n%s", diff)
		}
		_, err = node.Dialer().Dial(deadline(t), "pay@"+host.Name)
		wantStage(t, err, erldist.StageLookup)
		if !errors.Is(err, erldist.ErrNotRegistered) {
			t.Errorf("another name gives %v", err)
		}
	})
}

func TestVerifyNodeOverIPv6(t *testing.T) {
	onEachRelease(t, func(t *testing.T, otp string) {
		for _, discovery := range []string{"EPMD", "FixedPort"} {
			t.Run(discovery, func(t *testing.T) {
				c := newCluster(t)
				host := c.Host("chat-0")
				options := beam.Options{OTP: otp, Cookie: cookie, IPv6: true, TLS: c.nodeTLS(host)}
				if discovery == "EPMD" {
					host.EPMD(otp)
				} else {
					options.FixedPort = 9100
				}
				node := host.Start(options)
				conn := mustDial(t, c.dialer(node), node.Name)
				if err := conn.Ping(deadline(t)); err != nil {
					t.Error(err)
				}
				if !strings.HasPrefix(conn.RemoteAddr().String(), "["+host.Address6+"]:") {
					t.Errorf("connected to %s, want %s", conn.RemoteAddr(), host.Address6)
				}
			})
		}
	})
}

// A remote call makes two members connect.
func TestConnectNode(t *testing.T) {
	onEachRelease(t, func(t *testing.T, otp string) {
		c := newCluster(t)
		var nodes []*beam.Node
		for _, label := range []string{"chat-0", "chat-1"} {
			host := c.Host(label)
			nodes = append(nodes, host.Start(beam.Options{OTP: otp, Cookie: cookie, FixedPort: 9100, TLS: c.nodeTLS(host)}))
		}
		conn := mustDial(t, c.dialer(nodes[0]), nodes[0].Name)
		if got := mustCall(t, conn, "net_kernel", "connect_node", erldist.Atom(nodes[1].Name)); got != erldist.Term(erldist.Atom("true")) {
			t.Fatalf("connect_node gives %v\n%s\n%s", got, nodes[0].Log(), nodes[1].Log())
		}
		for i, node := range nodes {
			conn := mustDial(t, c.dialer(node), node.Name)
			// The node that was connected to is the last to have the link.
			await.Until(t, time.Minute, "the link at "+node.Name, func(ctx context.Context) error {
				got, err := conn.Call(ctx, "erlang", "nodes")
				if diff := cmp.Diff(erldist.Term(erldist.AtomList(nodes[1-i].Name)), got); err == nil && diff != "" {
					err = fmt.Errorf("nodes() (-want +got):\n%s", diff)
				}
				return err
			})
		}
	})
}

// A call may take longer than the tick time: the node's ticks are answered meanwhile.
func TestCallLongerThanTickTime(t *testing.T) {
	onEachRelease(t, func(t *testing.T, otp string) {
		c := newCluster(t)
		host := c.Host("chat-0")
		node := host.Start(beam.Options{OTP: otp, Cookie: cookie, FixedPort: 9100, TLS: c.nodeTLS(host),
			Args: []string{"-kernel", "net_ticktime", "4"}}) // A shorter one could be over while this process waits for a processor.
		conn := mustDial(t, c.dialer(node), node.Name)
		mustCall(t, conn, "timer", "sleep", erldist.Int(6500))
		if err := conn.Ping(deadline(t)); err != nil {
			t.Error(err)
		}
	})
}
