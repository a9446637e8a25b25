package erldist

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHandshake(t *testing.T) {
	for name, wrap := range map[string]func(io.Writer) io.Writer{
		"at once":      func(w io.Writer) io.Writer { return w },
		"byte by byte": func(w io.Writer) io.Writer { return slowly{w} },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode()
			n.wrap = wrap
			conn, err := n.dial(t, &Dialer{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(Peer{Name: testNode, Flags: mandatoryFlags, Creation: 1}, conn.Peer()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(Local{Name: "2TBEP1OZUIKPL@probe", Creation: 7}, conn.Local()); diff != "" {
				t.Error(diff)
			}
			if err := conn.Ping(testContext(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// MANDATORY_25_DIGEST implies all flags that OTP 25 made mandatory.
func TestHandshakeWithDigestOfFlags(t *testing.T) {
	n := newNode()
	n.flags = FlagMandatory25Digest
	if _, err := n.dial(t, &Dialer{}); err != nil {
		t.Error(err)
	}
}

func TestRefusedHandshake(t *testing.T) {
	is := func(want error) func(error) bool {
		return func(err error) bool { return errors.Is(err, want) }
	}
	status := func(want string) func(error) bool {
		return func(err error) bool {
			var refused *StatusError
			return errors.As(err, &refused) && refused.Status == want
		}
	}
	malformed := func(err error) bool {
		var m *MalformedError
		return errors.As(err, &m)
	}
	for name, test := range map[string]struct {
		change func(n *node)
		want   func(error) bool
	}{
		"nok":         {func(n *node) { n.status = []byte("snok") }, status("nok")},
		"not allowed": {func(n *node) { n.status = []byte("snot_allowed") }, status("not_allowed")},
		"alive":       {func(n *node) { n.status = []byte("salive") }, status("alive")},
		"static name": {func(n *node) { n.status = []byte("sok") }, status("ok")},
		"unknown status": {
			func(n *node) { n.status = []byte("s\x00\nyes" + strings.Repeat("y", 3000)) },
			status("??yes" + strings.Repeat("y", maxStatus-5)),
		},
		"other tag":             {func(n *node) { n.status = []byte("xok") }, malformed},
		"empty status":          {func(n *node) { n.status = nil }, malformed},
		"half a given name":     {func(n *node) { n.status = []byte("snamed:\x00\x09abc") }, malformed},
		"endless given name":    {func(n *node) { n.status = []byte("snamed:\xff\xffabc") }, malformed},
		"name without creation": {func(n *node) { n.status = []byte("snamed:\x00\x03abc") }, malformed},
		"oversized status":      {func(n *node) { n.status = make([]byte, maxHandshakeFrame+1) }, malformed},
		"hangs up first":        {func(n *node) { n.hangUp = "status" }, is(io.EOF)},
		"hangs up second":       {func(n *node) { n.hangUp = "challenge" }, is(io.EOF)},
		"other name": {
			func(n *node) { n.name = "pay@chat-0.example.org" },
			func(err error) bool {
				var m *NameMismatchError
				return errors.As(err, &m) && *m == NameMismatchError{Want: testNode, Got: "pay@chat-0.example.org"}
			},
		},
		"old node": {
			func(n *node) { n.flags = mandatoryFlags &^ FlagUTF8Atoms },
			func(err error) bool {
				var f *FlagsError
				return errors.As(err, &f) && f.Missing == FlagUTF8Atoms && strings.Contains(err.Error(), "UTF8_ATOMS")
			},
		},
		"other cookie":          {func(n *node) { n.cookie = NewCookie("other") }, is(ErrCookieRejected)},
		"hangs up on the proof": {func(n *node) { n.hangUp = "ack" }, is(ErrCookieRejected)},
		"resets on the proof":   {func(n *node) { n.hangUp, n.reset = "ack", true }, is(ErrCookieRejected)},
		"wrong proof": {
			func(n *node) {
				n.ack = func(*node, [md5.Size]byte) []byte { return append([]byte{tagChallengeAck}, make([]byte, 16)...) }
			}, is(ErrPeerCookie),
		},
		"our own proof": {
			func(n *node) {
				n.ack = func(n *node, _ [md5.Size]byte) []byte { return append([]byte{tagChallengeAck}, n.reply[5:]...) }
			}, is(ErrPeerCookie),
		},
		"our own message": {
			func(n *node) { n.ack = func(n *node, _ [md5.Size]byte) []byte { return n.reply } }, malformed,
		},
		"our own message, oversized": {
			func(n *node) {
				n.ack = func(n *node, _ [md5.Size]byte) []byte { return bytes.Repeat(n.reply, 300) }
			}, malformed,
		},
		"short proof": {func(n *node) { n.ack = func(*node, [md5.Size]byte) []byte { return []byte("a") } }, malformed},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode()
			test.change(n)
			var closed atomic.Bool
			_, err := n.dial(t, &Dialer{DialContext: dialWatched(&closed)})
			<-n.finished
			if !closed.Load() {
				t.Error("the connection is left open")
			}
			var failed *StageError
			if !errors.As(err, &failed) || failed.Stage != StageHandshake || !test.want(err) {
				t.Errorf("got %T %v", errors.Unwrap(err), err)
			}
			if received := n.said.Len(); n.hangUp != "" && !n.reset && failed.Received != int64(received) {
				t.Errorf("%d bytes received, %d were sent", failed.Received, received)
			}
			if (name == "other name" || name == "old node") && n.reply != nil {
				t.Error("a peer that is not the wanted node got our proof of the cookie")
			}
			noSecrets(t, err, n)
		})
	}
}

// noSecrets looks for the cookie and our proof of it in every way to print an
// error.
func noSecrets(t *testing.T, err error, n *node) {
	t.Helper()
	text := fmt.Sprintf("%s %v %+v %#v", err, err, err, err)
	var m *MalformedError
	if errors.As(err, &m) {
		text += fmt.Sprintf("%+v %#v %s %x", *m, *m, m.Excerpt, m.Excerpt)
	}
	secrets := []string{testCookie}
	if n.reply != nil {
		proof := n.reply[5:]
		secrets = append(secrets, string(proof[:8]), hex.EncodeToString(proof[:8]), fmt.Sprintf("%q", proof[:8]))
	}
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("the error holds a secret: %s", text)
		}
	}
}

// A silent peer fails at the end of the stage's time limit, or as soon as the caller
// cancels.
func TestSilentPeer(t *testing.T) {
	silent := func(t *testing.T) string {
		return listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	}
	t.Run("stage limit", func(t *testing.T) {
		const limit = 50 * time.Millisecond
		d := Dialer{Timeouts: map[Stage]time.Duration{StageHandshake: limit}}
		_, err := d.DialAddress(testContext(t), testNode, silent(t))
		var timeout *TimeoutError
		if !errors.As(err, &timeout) || !errors.Is(err, context.DeadlineExceeded) || timeout.After < limit || timeout.After > 5*time.Second {
			t.Errorf("got %v with a limit of %s", err, limit)
		}
	})
	t.Run("cancel", func(t *testing.T) {
		ctx, cancel := context.WithCancel(testContext(t))
		ctx = WithTrace(ctx, &Trace{StageStart: func(s Stage, _ string) {
			if s == StageHandshake {
				time.AfterFunc(10*time.Millisecond, cancel)
			}
		}})
		_, err := new(Dialer).DialAddress(ctx, testNode, silent(t))
		var failed *StageError
		if !errors.Is(err, context.Canceled) || !errors.As(err, &failed) || failed.Stage != StageHandshake || failed.Received != 0 {
			t.Errorf("got %v", err)
		}
	})
}

// A peer of another protocol is recognized by its first bytes.
func TestOtherProtocols(t *testing.T) {
	for name, test := range map[string]struct {
		says string
		want func(error) bool
	}{
		"TLS alert": {"\x15\x03\x03\x00\x02\x02\x0a", func(err error) bool { return errors.Is(err, ErrSpeaksTLS) }},
		"HTTP": {"HTTP/1.1 400 Bad Request\r\n\r\n", func(err error) bool {
			var m *MalformedError
			return errors.As(err, &m) && bytes.HasPrefix(m.Excerpt, []byte("HTTP/1.1 400"))
		}},
		"SSH": {"SSH-2.0-OpenSSH_9.2\r\n", func(err error) bool {
			var m *MalformedError
			return errors.As(err, &m) && len(m.Excerpt) <= MaxExcerpt
		}},
	} {
		t.Run(name, func(t *testing.T) {
			address := listen(t, func(conn net.Conn) { _, _ = io.WriteString(conn, test.says) })
			_, err := new(Dialer).DialAddress(testContext(t), testNode, address)
			if !test.want(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The host part of our name is truncated to what a node accepts.
func TestLongHost(t *testing.T) {
	message := nameMessage(strings.Repeat("x", 70000))
	if len(message) > maxHandshakeFrame || !bytes.HasSuffix(message, []byte("xxx")) {
		t.Errorf("a name message of %d bytes", len(message))
	}
}

func TestCookieIsRedacted(t *testing.T) {
	cookie := NewCookie(testCookie)
	text, err := cookie.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	hidden := struct{ c Cookie }{cookie}
	printed := fmt.Sprintf("%s %v %+v %#v %q %x %d|%s|%v %+v %#v|%v %+v %#v", cookie, cookie, cookie, cookie, cookie, cookie, cookie,
		text, hidden, hidden, hidden, Dialer{Cookie: cookie}, &Dialer{Cookie: cookie}, Dialer{Cookie: cookie})
	for _, secret := range []string{testCookie, hex.EncodeToString([]byte(testCookie))} {
		if strings.Contains(printed, secret) {
			t.Errorf("the cookie is printed: %s", printed)
		}
	}
	if cookie.Reveal() != testCookie || !cookie.Equal(NewCookie(testCookie)) || cookie.Equal(Cookie{}) {
		t.Error("the cookie is not what it was made of")
	}
}

func TestCapturedHandshakes(t *testing.T) {
	for release, capture := range captures(t, "session") {
		handshake, frames := session(t, capture)
		status, local, err := parseStatus(handshake[0])
		if err != nil || status != "named" || !strings.Contains(local.Name, "@probe.") || local.Creation == 0 {
			t.Errorf("%s: status %q, %+v, %v", release, status, local, err)
		}
		peer, _, err := parseChallenge(handshake[1])
		if err != nil || peer.Name != "chat@chat-0.chat.default.svc.cluster.local" || peer.Flags.missing() != 0 {
			t.Errorf("%s: %+v, %v", release, peer, err)
		}
		if _, err := parseAck(handshake[2]); err != nil {
			t.Errorf("%s: %v", release, err)
		}
		replies := 0
		for _, frame := range frames {
			_, reply, err := parseReply(frame)
			if err != nil {
				t.Errorf("%s: %v", release, err)
			}
			if reply != nil {
				replies++
			}
		}
		if replies != 12 {
			t.Errorf("%s: %d replies, want 12", release, replies)
		}
	}
}
