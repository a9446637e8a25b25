package erldist

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// Conn is a hidden connection to a node. Its methods may be used by several
// goroutines at once. Between calls it answers the node's ticks, so it may be
// kept for as long as it is useful.
type Conn struct {
	node   string
	dialer *Dialer
	raw    *countingConn
	stream net.Conn // raw, or TLS over it
	in     *bufio.Reader
	tls    *tls.ConnectionState

	handshakeHeader int // size of the length in front of handshake messages
	peer            Peer
	local           Local

	writing sync.Mutex // held while a frame is written

	mu      sync.Mutex // guards what follows
	pending map[Ref]chan<- Term
	calls   uint64
	err     error // why the connection ended

	done chan struct{} // closed when receiveFrames has ended
}

// Peer is what a node says of itself in the handshake.
type Peer struct {
	Name     string
	Flags    Flags
	Creation uint32
}

// Local is the identity that the peer gave us.
type Local struct {
	Name     string
	Creation uint32
}

// Peer returns what the node said of itself.
func (c *Conn) Peer() Peer { return c.peer }

// Local returns the dynamic name that the node gave us.
func (c *Conn) Local() Local { return c.local }

// TLS returns the state of the TLS connection; nil in plaintext.
func (c *Conn) TLS() *tls.ConnectionState { return c.tls }

// RemoteAddr returns the address of the node's distribution port.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// Close ends the connection. Calls that still wait fail with ErrClosed.
func (c *Conn) Close() error {
	err := c.end(ErrClosed)
	<-c.done
	return err
}

// end closes the connection for a reason, of which the first counts.
func (c *Conn) end(reason error) error {
	c.mu.Lock()
	ended := c.err != nil
	if !ended {
		c.err = reason
	}
	c.mu.Unlock()
	if ended {
		return nil
	}
	return c.stream.Close()
}

// ended tells why the connection ended.
func (c *Conn) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *Conn) start() {
	c.pending = map[Ref]chan<- Term{}
	c.done = make(chan struct{})
	go c.receiveFrames()
}

// frameHeader is the size of the length in front of messages after the handshake.
const frameHeader = 4

var tick = make([]byte, frameHeader)

// receiveFrames answers ticks and hands replies to the calls that wait for them,
// until the connection ends.
func (c *Conn) receiveFrames() {
	defer close(c.done)
	for {
		frame, err := readFrame(c.in, frameHeader, c.dialer.maxFrame())
		if err == nil && len(frame) == 0 {
			err = c.write(tick)
		} else if err == nil {
			err = c.dispatch(frame)
		}
		if err != nil {
			_ = c.end(withoutExcerpt(err))
			return
		}
	}
}

// dispatch hands a reply to its call. Whatever else the node may say to a hidden
// node is of no concern.
func (c *Conn) dispatch(frame []byte) error {
	ref, reply, err := parseReply(frame)
	if err != nil || reply == nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if waiting, ok := c.pending[ref]; ok {
		delete(c.pending, ref)
		waiting <- reply // has room for one
	}
	return nil
}

// request sends a message made for a fresh reference and waits for the reply.
func (c *Conn) request(ctx context.Context, message func(self Pid, ref Ref) []byte) (Term, error) {
	replies := make(chan Term, 1)
	ref, err := c.expect(replies)
	if err != nil {
		return nil, err
	}
	defer c.forget(ref)
	if err := c.writeWithin(ctx, appendFrame(nil, frameHeader, message(c.self(), ref))); err != nil {
		return nil, err
	}
	select {
	case reply := <-replies:
		return reply, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.done:
	}
	select {
	case reply := <-replies: // the node's last words
		return reply, nil
	default:
		return nil, c.ended()
	}
}

// self is the process that the node believes to be talking to.
func (c *Conn) self() Pid {
	return Pid{Node: Atom(c.local.Name), ID: 1, Creation: c.local.Creation}
}

func (c *Conn) expect(replies chan<- Term) (Ref, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return Ref{}, c.err
	}
	c.calls++
	// The first word of a reference has 18 bits for older nodes.
	ref := Ref{
		Node: Atom(c.local.Name), Creation: c.local.Creation, Len: 3,
		IDs: [5]uint32{uint32(c.calls & 0x3ffff), uint32(c.calls >> 18)},
	}
	c.pending[ref] = replies
	return ref, nil
}

func (c *Conn) forget(ref Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, ref)
}

func (c *Conn) write(frame []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err := c.stream.Write(frame)
	return err
}

// writeWithin gives up the whole connection when the context ends during a write,
// since half a frame cannot be taken back.
func (c *Conn) writeWithin(ctx context.Context, frame []byte) error {
	stop := context.AfterFunc(ctx, func() {
		_ = c.raw.SetDeadline(longAgo)
		_ = c.end(fmt.Errorf("gave up while sending: %w", ctx.Err()))
	})
	err := c.write(frame)
	if !stop() {
		return ctx.Err()
	}
	if err != nil {
		_ = c.end(err)
		return c.ended() // the reason why, if it was ended while we wrote
	}
	return nil
}

// countingConn counts the bytes that the peer sends.
type countingConn struct {
	net.Conn
	received atomic.Int64
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	return n, err
}

// Received returns the number of bytes read.
func (c *countingConn) Received() int64 { return c.received.Load() }
