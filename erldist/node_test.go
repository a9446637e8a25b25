package erldist

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const (
	testNode   = "chat@chat-0.example.org"
	testCookie = "VeryUnlikelyCookie"
)

// node plays the accepting side of the protocol for the faults that no real
// node can be made to have. Its fields are those faults.
type node struct {
	status    []byte // message 2
	name      string // in message 3
	flags     Flags  // in message 3
	hangUp    string // before "status", "challenge" or "ack"
	reset     bool   // hang up with a TCP reset
	ack       func(n *node, digest [md5.Size]byte) []byte
	wrap      func(io.Writer) io.Writer
	afterwork func(n *node) // plays the connected node
	cookie    Cookie
	tls       *tls.Config // distribution over TLS

	conn   net.Conn
	header int
	in     *bufio.Reader
	out    io.Writer

	reply    []byte // message 4, if it came
	said     bytes.Buffer
	finished chan struct{}
}

func newNode() *node {
	return &node{
		status: namedStatus("2TBEP1OZUIKPL@probe", 7),
		name:   testNode,
		flags:  mandatoryFlags,
		cookie: NewCookie(testCookie),
		ack: func(_ *node, digest [md5.Size]byte) []byte {
			return append([]byte{tagChallengeAck}, digest[:]...)
		},
		wrap:      func(w io.Writer) io.Writer { return w },
		afterwork: (*node).serve,
		finished:  make(chan struct{}),
	}
}

func namedStatus(name string, creation uint32) []byte {
	b := append([]byte("snamed:"), binary.BigEndian.AppendUint16(nil, uint16(len(name)))...)
	return binary.BigEndian.AppendUint32(append(b, name...), creation)
}

// dial starts the node and connects to it.
func (n *node) dial(t *testing.T, d *Dialer) (*Conn, error) {
	t.Helper()
	return n.dialContext(testContext(t), t, d)
}

func (n *node) dialContext(ctx context.Context, t *testing.T, d *Dialer) (*Conn, error) {
	t.Helper()
	address := listen(t, func(conn net.Conn) {
		defer close(n.finished)
		n.play(conn)
	})
	if d.Cookie.IsZero() {
		d.Cookie = NewCookie(testCookie)
	}
	conn, err := d.DialAddress(ctx, testNode, address)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() })
	}
	return conn, err
}

// listen serves one connection.
func listen(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer closing(conn)
		serve(conn)
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return listener.Addr().String()
}

// closing closes a connection that the other side may have closed already.
func closing(c io.Closer) { _ = c.Close() }

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func (n *node) play(conn net.Conn) {
	n.header = 2
	if n.tls != nil {
		n.header = 4
		conn = tls.Server(conn, n.tls)
		defer closing(conn)
	}
	n.conn, n.out = conn, n.wrap(io.MultiWriter(conn, &n.said))
	n.in = bufio.NewReader(conn)

	if _, err := readFrame(n.in, n.header, maxHandshakeFrame); err != nil || n.hangsUp("status") {
		return
	}
	n.say(n.status)
	if n.hangsUp("challenge") {
		return
	}
	const challenge = 0xCAFEBABE
	b := binary.BigEndian.AppendUint64([]byte{tagName}, uint64(n.flags))
	b = binary.BigEndian.AppendUint32(b, challenge)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint16(b, uint16(len(n.name)))
	n.say(append(b, n.name...))

	reply, err := readFrame(n.in, n.header, maxHandshakeFrame)
	if err != nil || len(reply) != 1+4+md5.Size {
		return
	}
	n.reply = reply
	proof := n.cookie.digest(challenge)
	if !bytes.Equal(reply[5:], proof[:]) || n.hangsUp("ack") {
		return
	}
	n.say(n.ack(n, n.cookie.digest(binary.BigEndian.Uint32(reply[1:]))))
	n.afterwork(n)
}

func (n *node) hangsUp(before string) bool {
	if n.hangUp != before {
		return false
	}
	if n.reset {
		_ = n.conn.(*net.TCPConn).SetLinger(0)
	}
	return true
}

func (n *node) say(message []byte) { _, _ = n.out.Write(appendFrame(nil, n.header, message)) }

// send sends a frame of the connected state.
func (n *node) send(frame []byte) { _, _ = n.out.Write(appendFrame(nil, frameHeader, frame)) }

// serve answers each rex call with its arguments, and pings, until the client
// hangs up.
func (n *node) serve() {
	for {
		self, ref, request, err := n.nextCall()
		if err != nil {
			return
		}
		switch request[0] {
		case Term(Atom("call")):
			n.answer(self, ref, request[3])
		case Term(Atom("is_auth")):
			n.answer(self, ref, Atom("yes"))
		}
	}
}

func (n *node) answer(to, ref, result Term) {
	n.send(controlMessage(Tuple{Int(ctlSend), Atom(""), to}, Tuple{ref, result}))
}

// nextCall reads a '$gen_call', leaving ticks out.
func (n *node) nextCall() (self, ref Term, request Tuple, err error) {
	for {
		frame, err := readFrame(n.in, frameHeader, DefaultMaxFrame)
		if err != nil {
			return nil, nil, nil, err
		}
		if len(frame) == 0 {
			continue
		}
		_, rest, err := decodeVersioned(frame[1:])
		if err != nil {
			return nil, nil, nil, err
		}
		message, _, err := decodeVersioned(rest)
		if err != nil {
			return nil, nil, nil, err
		}
		call := message.(Tuple)
		from := call[1].(Tuple)
		return from[0], from[1], call[2].(Tuple), nil
	}
}

// slowly delivers byte by byte.
type slowly struct{ io.Writer }

func (w slowly) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := w.Writer.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// captures returns the recordings of real nodes under a name, by OTP release.
func captures(t testing.TB, name string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "captures", "*", name))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no captures of %s: %v", name, err)
	}
	found := map[string][]byte{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found[filepath.Base(filepath.Dir(path))] = content
	}
	return found
}

// session splits the capture of a plaintext connection into its messages: status,
// challenge and ack, and the frames after the handshake.
func session(t testing.TB, capture []byte) (handshake, frames [][]byte) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(capture))
	for range 3 {
		message, err := readFrame(r, 2, maxHandshakeFrame)
		if err != nil {
			t.Fatal(err)
		}
		handshake = append(handshake, message)
	}
	for {
		frame, err := readFrame(r, frameHeader, DefaultMaxFrame)
		if errors.Is(err, io.EOF) {
			return handshake, frames
		}
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, frame)
	}
}
