package sweep

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe/verify"
)

const cookie = "N0tTheRealCookie"

// network is some peers that speak the distribution protocol over mutual TLS, for the
// situations that real nodes cannot be brought into at a chosen moment. What real nodes
// do is tested on real nodes.
type network struct {
	t     *testing.T
	ca    certstest.Authority
	peers []*peer

	mutex   sync.Mutex
	links   map[[2]string]bool
	connect func(from, to string) bool // how the peers answer net_kernel:connect_node/1
}

// peer is one of them.
type peer struct {
	*network
	name        string
	port        uint16
	incarnation uint32
	serve       func(net.Conn) // instead of a node
	calls       []string       // that it answered
	refused     int            // handshakes
}

func newNetwork(t *testing.T, size int) *network {
	n := &network{t: t, ca: certstest.NewAuthority("ca"), links: map[[2]string]bool{}}
	n.connect = func(from, to string) bool { n.link(from, to); return true }
	for i := range size {
		p := &peer{network: n, name: fmt.Sprintf("chat-%d@localhost", i), incarnation: uint32(1000 + i)}
		n.peers = append(n.peers, p)
	}
	return n
}

func (n *network) now() time.Time { return certstest.Start.Add(time.Hour) }

func (n *network) certificate(host string) tls.Certificate {
	certificate, key := n.ca.IssueKey(host)
	pair, err := tls.X509KeyPair(certstest.PEM(certificate), key)
	if err != nil {
		n.t.Fatal(err)
	}
	return pair
}

func (n *network) verifier() *verify.Verifier {
	limits := verify.Limits{
		Resolve: time.Second, Connect: time.Second, Lookup: time.Second, ConnectDistribution: time.Second,
		TLS: time.Second, Handshake: time.Second, Call: time.Second, Link: time.Second,
	}
	return &verify.Verifier{
		Credentials: verify.Credentials{
			Cookie: erldist.NewCookie(cookie), Certificate: n.certificate("probe"), Trust: certs.Trust{}.With(n.ca.Certificate),
		},
		Limits: limits, Now: n.now,
	}
}

// members has the peers listen.
func (n *network) members() []Member {
	members := make([]Member, len(n.peers))
	for i, p := range n.peers {
		p.listen()
		members[i] = Member{Target: verify.Target{Node: p.name, FixedPort: p.port, Network: "tcp4"}}
	}
	return members
}

// run sweeps the peers.
func (n *network) run(members []Member, options Options) Result {
	options.Concurrency, options.HealingTime = 16, 5*time.Second
	return Run(n.t.Context(), n.verifier(), members, options)
}

// onConnect changes how the peers answer net_kernel:connect_node/1.
func (n *network) onConnect(connect func(from, to string) bool) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.connect = connect
}

// link joins two peers, and all that are linked to them, as connect_all does.
func (n *network) link(from, to string) {
	group := append(n.group(from), n.group(to)...)
	n.mutex.Lock()
	defer n.mutex.Unlock()
	for _, a := range group {
		for _, b := range group {
			if a != b {
				n.links[[2]string{a, b}] = true
			}
		}
	}
}

func (n *network) group(name string) []string {
	return append(n.linkedTo(name), name)
}

func (n *network) unlink(from, to string) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	delete(n.links, [2]string{from, to})
	delete(n.links, [2]string{to, from})
}

func (n *network) linkedTo(name string) (peers []string) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	for link := range n.links {
		if link[0] == name {
			peers = append(peers, link[1])
		}
	}
	slices.Sort(peers)
	return peers
}

// restart gives a peer another incarnation.
func (p *peer) restart() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.incarnation++
}

func (p *peer) refusals() int {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.refused
}

// called counts the calls of a function.
func (p *peer) called(function string) (times int) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, call := range p.calls {
		if strings.HasPrefix(call, function) {
			times++
		}
	}
	return times
}

// listen answers connections until the test ends.
func (p *peer) listen() {
	if p.port != 0 {
		return
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = listener.Close() })
	p.port = netip.MustParseAddrPort(listener.Addr().String()).Port()
	config := &tls.Config{
		Certificates: []tls.Certificate{p.certificate("localhost")}, Time: p.now, MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: certs.Trust{}.With(p.ca.Certificate).Pool(),
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				if p.serve != nil {
					p.serve(conn)
					return
				}
				p.play(tls.Server(conn, config))
			}()
		}
	}()
}

// play is a node: the handshake, and then calls.
func (p *peer) play(conn net.Conn) {
	in := bufio.NewReader(conn)
	const challenge = 0xCAFEBABE
	if read(in) == nil {
		p.refuse()
		return
	}
	write(conn, "snamed:", uint16(len("X@probe")), "X@probe", uint32(1))
	p.mutex.Lock()
	incarnation := p.incarnation
	p.mutex.Unlock()
	write(conn, "N", uint64(0x4_07DF7FBC), uint32(challenge), incarnation, uint16(len(p.name)), p.name)
	reply := read(in)
	if len(reply) != 1+4+md5.Size {
		return
	}
	if wanted := md5.Sum(fmt.Append(nil, cookie, uint32(challenge))); !bytes.Equal(reply[5:], wanted[:]) {
		p.refuse()
		return
	}
	ours := md5.Sum(fmt.Append(nil, cookie, binary.BigEndian.Uint32(reply[1:])))
	write(conn, "a", string(ours[:]))
	for {
		frame := read(in)
		if frame == nil {
			return
		}
		if len(frame) > 0 {
			p.answer(conn, frame)
		}
	}
}

func (p *peer) refuse() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.refused++
}

// answer answers a call of the process rex: a frame is 112, the control message, and the
// request.
func (p *peer) answer(conn net.Conn, frame []byte) {
	var request erldist.Term
	for i := 2; i < len(frame) && request == nil; i++ {
		if _, err := erldist.Unmarshal(frame[1:i]); err == nil {
			request, _ = erldist.Unmarshal(frame[i:])
		}
	}
	call := request.(erldist.Tuple)
	from, rex := call[1].(erldist.Tuple), call[2].(erldist.Tuple)
	result := p.apply(rex[1].(erldist.Atom), rex[2].(erldist.Atom), rex[3])
	write(conn, "\x70",
		string(erldist.Marshal(erldist.Tuple{erldist.Int(2), erldist.Atom(""), from[0]})),
		string(erldist.Marshal(erldist.Tuple{from[1], result})))
}

// apply knows the functions that a sweep calls.
func (p *peer) apply(module, function erldist.Atom, arguments erldist.Term) erldist.Term {
	call := string(module + ":" + function)
	p.mutex.Lock()
	p.calls = append(p.calls, call)
	p.mutex.Unlock()
	switch call {
	case "lists:zipwith3":
		return erldist.List{
			erldist.AtomList(p.linkedTo(p.name)...), erldist.String("27"), erldist.Int(5_000), erldist.Int(-5_000), erldist.Int(1_000),
		}
	case "net_kernel:connect_node":
		p.mutex.Lock()
		connect := p.connect
		p.mutex.Unlock()
		if connect(p.name, string(arguments.(erldist.List)[0].(erldist.Atom))) {
			return erldist.Atom("true")
		}
		return erldist.Atom("false")
	default:
		return erldist.Atom("ok")
	}
}

// read reads a message; nil when none comes.
func read(in io.Reader) []byte {
	var length uint32
	if binary.Read(in, binary.BigEndian, &length) != nil {
		return nil
	}
	message := make([]byte, length)
	if _, err := io.ReadFull(in, message); err != nil {
		return nil
	}
	return message
}

func write(out io.Writer, fields ...any) {
	var message bytes.Buffer
	for _, field := range fields {
		if text, ok := field.(string); ok {
			message.WriteString(text)
		} else {
			_ = binary.Write(&message, binary.BigEndian, field) // A buffer takes it all.
		}
	}
	_, _ = out.Write(append(binary.BigEndian.AppendUint32(nil, uint32(message.Len())), message.Bytes()...))
}
