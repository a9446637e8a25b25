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

// Conn is a connection to a node, as which this client is a hidden node
// (erl_dist_protocol). Its methods are safe for concurrent use. It answers the node's
// ticks between calls, so it can stay open.
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

// Peer is what a node reports about itself in the handshake: the message
// send_challenge of erl_dist_protocol.
type Peer struct {
	Name     string
	Flags    Flags
	Creation uint32
}

// Local is the dynamic name and creation that the peer assigned to this client: the
// status named: of erl_dist_protocol.
type Local struct {
	Name     string
	Creation uint32
}

// Peer returns what the node reported about itself.
func (c *Conn) Peer() Peer { return c.peer }

// Local returns the dynamic name that the node assigned to this client.
func (c *Conn) Local() Local { return c.local }

// TLS returns the state of the TLS connection, or nil in plaintext.
func (c *Conn) TLS() *tls.ConnectionState { return c.tls }

// RemoteAddr returns the address of the node's distribution port.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// Close ends the connection. Pending calls fail with ErrClosed.
func (c *Conn) Close() error {
	err := c.end(ErrClosed)
	<-c.done
	return err
}

// Wait waits for the end of the connection, and returns why it ended: ErrClosed after Close.
func (c *Conn) Wait() error {
	<-c.done
	return c.ended()
}

// end closes the connection and keeps the first reason given.
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

// ended returns why the connection ended.
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

// receiveFrames answers ticks and passes replies to the pending calls until the
// connection ends.
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

// dispatch passes a reply to its pending call. Other messages are ignored.
func (c *Conn) dispatch(frame []byte) error {
	ref, reply, err := parseReply(frame)
	if err != nil || reply == nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if waiting, ok := c.pending[ref]; ok {
		delete(c.pending, ref)
		waiting <- reply // buffered
	}
	return nil
}

// request sends a message with a new reference and waits for its reply.
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
	case reply := <-replies: // it arrived before the connection ended
		return reply, nil
	default:
		return nil, c.ended()
	}
}

// self is the process identifier that the node sends its replies to.
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

// writeWithin ends the connection if the context ends during a write, because a
// partial frame cannot be retracted.
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
