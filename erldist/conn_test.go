package erldist

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// connected dials a node that runs afterwork once it is connected.
func connected(t *testing.T, d *Dialer, afterwork func(*node)) *Conn {
	t.Helper()
	n := newNode()
	n.afterwork = afterwork
	conn, err := n.dial(t, d)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// Replies are matched to their calls in any order.
func TestConcurrentCalls(t *testing.T) {
	const calls = 50
	conn := connected(t, &Dialer{}, func(n *node) {
		type call struct {
			self, ref Term
			args      Term
		}
		var waiting []call
		for range calls {
			self, ref, request, err := n.nextCall()
			if err != nil {
				return
			}
			waiting = append(waiting, call{self, ref, request[3]})
		}
		for _, c := range waiting {
			defer n.answer(c.self, c.ref, c.args)
		}
	})
	var group sync.WaitGroup
	for i := range calls {
		group.Go(func() {
			got, err := conn.Call(testContext(t), "m", "f", Int(1000+i))
			if diff := cmp.Diff(Term(List{Int(1000 + i)}), got); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
	group.Wait()
}

// Ticks are answered whether or not a call is pending.
func TestTicksAreAnswered(t *testing.T) {
	answered := make(chan error, 2)
	conn := connected(t, &Dialer{}, func(n *node) {
		expect := func() {
			n.send(nil)
			frame, err := readFrame(n.in, frameHeader, 1000)
			if err == nil && len(frame) != 0 {
				err = errors.New("that is not a tick")
			}
			answered <- err
		}
		expect()
		self, ref, _, err := n.nextCall()
		if err != nil {
			return
		}
		expect()
		n.answer(self, ref, Atom("done"))
	})
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Call(testContext(t), "m", "f"); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
}

func TestFailingCalls(t *testing.T) {
	answer := func(result Term) func(*node) {
		return func(n *node) {
			if self, ref, _, err := n.nextCall(); err == nil {
				n.answer(self, ref, result)
			}
		}
	}
	raw := func(frame string) func(*node) {
		return func(n *node) {
			if _, _, _, err := n.nextCall(); err == nil {
				_, _ = io.WriteString(n.out, frame)
			}
		}
	}
	malformed := func(err error) bool {
		var m *MalformedError
		return errors.As(err, &m) && len(m.Excerpt) == 0
	}
	badrpc := func(err error) bool {
		var c *CallError
		return errors.As(err, &c) && c.Class == "badrpc" && c.Module == "m" && c.Function == "f"
	}
	for name, test := range map[string]struct {
		behave func(*node)
		want   func(error) bool
	}{
		"badrpc":              {answer(Tuple{Atom("badrpc"), Atom("nodedown")}), badrpc},
		"badrpc with secrets": {answer(Tuple{Atom("badrpc"), Tuple{Atom("EXIT"), Tuple{Atom("undef"), List{Tuple{Atom("m"), Atom(testCookie)}}}}}), badrpc},
		"secret reason":       {answer(Tuple{Atom("badrpc"), Atom(testCookie)}), badrpc},
		"hang up":             {func(n *node) { _, _, _, _ = n.nextCall() }, func(err error) bool { return errors.Is(err, io.EOF) }},
		"half a frame":        {raw("\x00\x00\x00\x08p\x83h"), func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"only a length":       {raw("\x00\x00\x00\x08"), func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"half a length":       {raw("\x00\x00"), func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"gigabytes":           {raw("\xff\xff\xff\xff" + testCookie), malformed},
		"other type":          {raw("\x00\x00\x00\x01x"), malformed},
		"no control message":  {raw("\x00\x00\x00\x01p"), malformed},
		"control not a tuple": {raw("\x00\x00\x00\x04p\x83a\x02"), malformed},
		"no message":          {raw("\x00\x00\x00\x06p\x83h\x01a\x02"), malformed},
	} {
		t.Run(name, func(t *testing.T) {
			conn := connected(t, &Dialer{}, test.behave)
			_, err := conn.Call(testContext(t), "m", "f", Atom(testCookie))
			var failed *StageError
			if !errors.As(err, &failed) || failed.Stage != StageCall || !test.want(err) {
				t.Errorf("got %v", err)
			}
			if err != nil && strings.Contains(err.Error(), testCookie) {
				t.Errorf("the error holds the call's argument: %v", err)
			}
		})
	}
}

func TestCallAll(t *testing.T) {
	calls := []MFA{{Module: "m", Function: "f"}, {Module: "m", Function: "g", Args: []Term{Int(1)}}}
	for name, test := range map[string]struct {
		answer Term
		want   []Term // nil: an error
	}{
		"a list":                   {List{Atom("a"), List{}}, []Term{Atom("a"), List{}}},
		"bytes, sent as a string":  {String("ab"), []Term{Int('a'), Int('b')}},
		"too few":                  {List{Atom("a")}, nil},
		"no list":                  {Atom("a"), nil},
		"badrpc":                   {Tuple{Atom("badrpc"), Atom("nodedown")}, nil},
		"improper list of results": {&ImproperList{Head: []Term{Int(1)}, Tail: Int(2)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan Tuple, 1)
			conn := connected(t, &Dialer{}, func(n *node) {
				if self, ref, request, err := n.nextCall(); err == nil {
					asked <- request
					n.answer(self, ref, test.answer)
				}
			})
			got, err := conn.CallAll(testContext(t), calls...)
			if test.want == nil {
				var failed *StageError
				if !errors.As(err, &failed) || failed.Stage != StageCall {
					t.Errorf("got %v, %v", got, err)
				}
			} else if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Error(err, diff)
			}
			want := Tuple{Atom("call"), Atom("lists"), Atom("zipwith3"), List{
				Export{"erlang", "apply", 3}, AtomList("m", "m"), AtomList("f", "g"), List{List{}, List{Int(1)}},
			}, Atom("user")}
			if diff := cmp.Diff(want, <-asked); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

// Unsolicited messages are ignored.
func TestUnaskedMessages(t *testing.T) {
	conn := connected(t, &Dialer{}, func(n *node) {
		self, ref, _, err := n.nextCall()
		if err != nil {
			return
		}
		unrelated := Ref{Node: "x@y", Len: 1}
		n.answer(self, unrelated, Atom("stale"))
		n.send(controlMessage(Tuple{Int(ctlRegSend), Pid{Node: "x@y"}, Atom(""), Atom("global_name_server")}, Atom("hello")))
		n.send(appendTerm([]byte{passThrough, tagVersion}, Tuple{Int(19), Pid{}, Atom("net_kernel"), unrelated}))
		n.send(controlMessage(Tuple{Int(ctlSend), Atom(""), self}, Atom("no reply")))
		n.answer(self, ref, Atom("fresh"))
	})
	if got, err := conn.Call(testContext(t), "m", "f"); err != nil || got != Term(Atom("fresh")) {
		t.Errorf("got %v, %v", got, err)
	}
}

// A second reply to the same call is ignored, and does not block the connection.
func TestRepeatedReplies(t *testing.T) {
	conn := connected(t, &Dialer{}, func(n *node) {
		for {
			self, ref, _, err := n.nextCall()
			if err != nil {
				return
			}
			for range 3 {
				n.answer(self, ref, Atom("done"))
			}
		}
	})
	for range 10 {
		if _, err := conn.Call(testContext(t), "m", "f"); err != nil {
			t.Fatal(err)
		}
	}
}

// A reply is returned even if the connection ends right after it.
func TestLastWords(t *testing.T) {
	for range 50 {
		conn := connected(t, &Dialer{}, func(n *node) {
			if self, ref, _, err := n.nextCall(); err == nil {
				n.answer(self, ref, Atom("farewell"))
			}
		})
		if _, err := conn.Call(testContext(t), "m", "f"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPingRefused(t *testing.T) {
	conn := connected(t, &Dialer{}, func(n *node) {
		if self, ref, _, err := n.nextCall(); err == nil {
			n.answer(self, ref, Atom("no"))
		}
	})
	var refused *CallError
	if err := conn.Ping(testContext(t)); !errors.As(err, &refused) {
		t.Errorf("got %v", err)
	}
}

// A canceled call leaves the connection usable, also when its reply arrives late.
func TestCancelledCall(t *testing.T) {
	release := make(chan struct{})
	conn := connected(t, &Dialer{}, func(n *node) {
		self, ref, _, err := n.nextCall()
		if err != nil {
			return
		}
		<-release
		n.answer(self, ref, Atom("late"))
		n.serve()
	})
	ctx, cancel := context.WithCancel(testContext(t))
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := conn.Call(ctx, "m", "f"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left := conn.waiting(); left != 0 {
		t.Errorf("%d abandoned calls are still waited for", left)
	}
	close(release)
	if got, err := conn.Call(testContext(t), "m", "f", Int(300)); err != nil || !cmp.Equal(got, Term(List{Int(300)})) {
		t.Errorf("got %v, %v", got, err)
	}
}

// A node that does not read must not block a caller beyond its deadline.
func TestNodeThatDoesNotRead(t *testing.T) {
	done := make(chan struct{})
	defer close(done)
	conn := connected(t, &Dialer{}, func(*node) { <-done })
	ctx, cancel := context.WithTimeout(testContext(t), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := conn.Call(ctx, "m", "f", Binary(make([]byte, 16<<20)))
	if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > 5*time.Second {
		t.Errorf("got %v after %s", err, took)
	}
	if _, err := conn.Call(testContext(t), "m", "f"); err == nil {
		t.Error("the connection is used after half a message")
	}
}

func TestClose(t *testing.T) {
	conn := connected(t, &Dialer{}, func(n *node) {
		_, _, _, _ = n.nextCall()
		_, _ = n.in.ReadByte()
	})
	failed := make(chan error)
	go func() {
		_, err := conn.Call(testContext(t), "m", "f")
		failed <- err
	}()
	for conn.waiting() == 0 {
		runtime.Gosched()
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := conn.Call(testContext(t), "m", "f"); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func (c *Conn) waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.pending)
}

// A length field alone causes no allocation.
func TestGiantLengthsCostNothing(t *testing.T) {
	const announced = 1 << 30
	before := allocated()
	conn := connected(t, &Dialer{MaxFrame: announced}, func(n *node) {
		if _, _, _, err := n.nextCall(); err == nil {
			_, _ = n.out.Write([]byte{announced >> 24, 0, 0, 0, passThrough})
		}
	})
	if _, err := conn.Call(testContext(t), "m", "f"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
	if grown := allocated() - before; grown > 8<<20 {
		t.Errorf("%d bytes were allocated for a frame of which one came", grown)
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// No goroutine is left when connections have ended.
func TestNoGoroutineIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 20 {
		n := newNode()
		conn, err := n.dial(t, &Dialer{})
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Ping(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		<-n.finished
	}
	deadline := time.Now().Add(time.Minute)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond) // goroutines end shortly after their last effect
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines more than before", after-before)
	}
}

func TestStagesAreTraced(t *testing.T) {
	n := newNode()
	var got []string
	var named Peer
	ctx := WithTrace(testContext(t), &Trace{
		StageStart: func(s Stage, _ string) { got = append(got, s.String()+" starts") },
		StageDone: func(r StageReport) {
			if r.Duration <= 0 || r.Address == "" || r.Start.IsZero() {
				t.Errorf("report %+v", r)
			}
			got = append(got, r.Stage.String()+" ends")
		},
		Status: func(s string) { got = append(got, "status "+s) },
		Named:  func(p Peer) { named = p },
	})
	conn, err := n.dialContext(ctx, t, &Dialer{})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ConnectDistribution starts", "ConnectDistribution ends",
		"Handshake starts", "status named", "Handshake ends",
		"Call starts", "Call ends",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(conn.Peer(), named); diff != "" {
		t.Error(diff)
	}
}

// Addresses are tried in turn; if all fail, the first error is returned.
func TestSeveralAddresses(t *testing.T) {
	refused := errors.New("refused")
	var tried []string
	d := Dialer{
		Port:    9100,
		Resolve: func(context.Context, string) ([]string, error) { return []string{"192.0.2.1", "2001:db8::1"}, nil },
		DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
			tried = append(tried, address)
			if len(tried) == 1 {
				return nil, refused
			}
			return nil, errors.New("also refused")
		},
	}
	_, err := d.Dial(testContext(t), testNode)
	var failed *StageError
	if !errors.Is(err, refused) || !errors.As(err, &failed) || failed.Stage != StageConnectDistribution || failed.Address != "192.0.2.1:9100" {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]string{"192.0.2.1:9100", "[2001:db8::1]:9100"}, tried); diff != "" {
		t.Error(diff)
	}

	for network, address := range map[string]string{"tcp4": "192.0.2.1:9100", "tcp6": "[2001:db8::1]:9100"} {
		tried, d.Network = nil, network
		_, _ = d.Dial(testContext(t), testNode)
		if diff := cmp.Diff([]string{address}, tried); diff != "" {
			t.Errorf("%s: %s", network, diff)
		}
	}
	d.Network = "tcp6"
	_, err = d.Dial(testContext(t), "chat@192.0.2.1")
	var dns *net.DNSError
	if !errors.As(err, &dns) || !dns.IsNotFound {
		t.Errorf("an address of the other family gives %v", err)
	}
}

// Connecting takes one stage's time limit, whatever the number of addresses.
func TestSeveralSilentAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = time.Minute
		tried := 0
		d := Dialer{
			Port:     9100,
			Timeouts: map[Stage]time.Duration{StageConnectDistribution: limit},
			Resolve: func(context.Context, string) ([]string, error) {
				return []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}, nil
			},
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				tried++
				<-ctx.Done()
				return nil, ctx.Err()
			},
		}
		start := time.Now()
		_, err := d.Dial(t.Context(), testNode)
		if took := time.Since(start); took != limit {
			t.Errorf("took %s with a limit of %s", took, limit)
		}
		if !errors.Is(err, context.DeadlineExceeded) || tried != 4 {
			t.Errorf("got %v after %d addresses, want 4", err, tried)
		}
	})
}
