// Package probetest has peers that speak the Erlang distribution protocol over mutual TLS,
// to test the probe in situations into which real nodes cannot be brought at a chosen
// moment, or at all. What real nodes do is tested on real nodes.
package probetest

import (
	"crypto/tls"
	"fmt"
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

// Cookie of the peers.
const Cookie = "N0tTheRealCookie"

// Network is some peers, whose certificates have one CA.
type Network struct {
	Peers []*Peer
	CA    certstest.Authority

	t       testing.TB
	mutex   sync.Mutex
	links   map[[2]string]bool
	silent  map[[2]string]bool
	apart   map[[2]string]bool // from cannot open TCP connections to
	connect func(from, to string) bool
	reach   func(from string)
}

// Peer is named chat-N@localhost, and is a good node unless something else is set before it
// listens, or by Set.
type Peer struct {
	*Network
	Name        string
	Incarnation uint32
	Release     string          // the release of OTP that it reports
	Certificate tls.Certificate // that it serves
	Serve       func(net.Conn)  // instead of a node
	Delay       time.Duration   // before TLS
	SetupTime   int             // net_setuptime in seconds; 0 if it is not set
	Hidden      bool
	Mute        bool   // it does not tell whether its peers answer
	Unanswered  int    // calls that it does not answer, before it does
	NewCookie   string // that it was given since it was connected to

	conns   []net.Conn // that were made to it
	port    uint16
	calls   []string // that it answered
	refused int      // handshakes
}

// NewNetwork makes peers that do not listen yet.
func NewNetwork(t testing.TB, size int) *Network {
	n := &Network{t: t, CA: certstest.NewAuthority("ca"), links: map[[2]string]bool{}, silent: map[[2]string]bool{}, apart: map[[2]string]bool{}}
	n.connect, n.reach = func(from, to string) bool { n.Link(from, to); return true }, func(string) {}
	for i := range size {
		n.Peers = append(n.Peers, &Peer{
			Network: n, Name: fmt.Sprintf("chat-%d@localhost", i), Incarnation: uint32(1000 + i), Release: "27",
			Certificate: n.Issue("localhost"),
		})
	}
	return n
}

// Issue makes a certificate that is valid now.
func (n *Network) Issue(host string) tls.Certificate { return n.CA.Pair(host, certstest.ValidNow) }

// Verifier has the credentials of a member, and a second for each stage.
func (n *Network) Verifier() *verify.Verifier {
	return &verify.Verifier{
		Credentials: verify.Credentials{
			Cookie: erldist.NewCookie(Cookie), Certificate: n.Issue("probe"), Trust: certs.Trust{}.With(n.CA.Certificate),
		},
		Limits: verify.Limits{
			Resolve: time.Second, Connect: time.Second, Lookup: time.Second, ConnectDistribution: time.Second,
			TLS: time.Second, Handshake: time.Second, Call: time.Second, Tries: 7 * time.Second, Link: time.Second, Answer: time.Second, Confirm: 2 * time.Second,
		},
	}
}

// Target has the peer listen.
func (p *Peer) Target() verify.Target {
	return verify.Target{Node: p.Name, FixedPort: p.Listen(), Network: "tcp4"}
}

// OnConnect changes how the peers answer net_kernel:connect_node/1.
func (n *Network) OnConnect(connect func(from, to string) bool) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.connect = connect
}

// OnReach is called before a peer tells whether it can open a TCP connection.
func (n *Network) OnReach(reach func(from string)) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.reach = reach
}

// Link joins two peers, and all that are linked to them, as connect_all does.
func (n *Network) Link(from, to string) {
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

func (n *Network) group(name string) []string {
	return append(n.linkedTo(name), name)
}

// LinkPair joins two peers alone.
func (n *Network) LinkPair(from, to string) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.links[[2]string{from, to}], n.links[[2]string{to, from}] = true, true
}

// Unlink ends a link at both ends.
func (n *Network) Unlink(from, to string) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	delete(n.links, [2]string{from, to})
	delete(n.links, [2]string{to, from})
}

// Silence has two peers, which stay linked, not answer each other, or answer again.
func (n *Network) Silence(one, other string, silent bool) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.silent[[2]string{one, other}], n.silent[[2]string{other, one}] = silent, silent
}

// unanswering are those of some peers that do not answer one. To call one that it is not
// linked to is an error, because it would be connected.
func (n *Network) unanswering(name string, asked []string) []string {
	linked := n.linkedTo(name)
	n.mutex.Lock()
	defer n.mutex.Unlock()
	for _, peer := range asked {
		if !slices.Contains(linked, peer) {
			n.t.Errorf("%s calls %s, and is not linked to it", name, peer)
		}
	}
	return slices.DeleteFunc(asked, func(peer string) bool { return !n.silent[[2]string{name, peer}] })
}

// Block has one peer unable to open TCP connections to another, or able again.
func (n *Network) Block(from, to string, blocked bool) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.apart[[2]string{from, to}] = blocked
}

// reaches reports whether the peer can open a TCP connection to the one that listens on a port.
func (p *Peer) reaches(port int) bool {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return !slices.ContainsFunc(p.Peers, func(other *Peer) bool { return int(other.port) == port && p.apart[[2]string{p.Name, other.Name}] })
}

func (n *Network) linkedTo(name string) (peers []string) {
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

// Set changes a peer that listens.
func (p *Peer) Set(change func(*Peer)) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	change(p)
}

// Refusals counts the handshakes that the peer refused.
func (p *Peer) Refusals() int {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.refused
}

// Called counts the calls of a function.
func (p *Peer) Called(function string) (times int) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, call := range p.calls {
		if strings.HasPrefix(call, function) {
			times++
		}
	}
	return times
}

// HangUp ends the connections to the peer.
func (p *Peer) HangUp() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for _, conn := range p.conns {
		_ = conn.Close() // Most have ended.
	}
}

// Listen answers connections until the test ends.
func (p *Peer) Listen() (port uint16) {
	if p.port != 0 {
		return p.port
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = listener.Close() })
	p.port = netip.MustParseAddrPort(listener.Addr().String()).Port()
	config := &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			p.mutex.Lock()
			defer p.mutex.Unlock()
			certificate := p.Certificate
			return &certificate, nil
		},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: certs.Trust{}.With(p.CA.Certificate).Pool(),
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.Set(func(p *Peer) { p.conns = append(p.conns, conn) })
			go func() {
				defer func() { _ = conn.Close() }()
				if p.Serve != nil {
					p.Serve(conn)
					return
				}
				if p.waits() {
					p.play(tls.Server(conn, config))
				}
			}()
		}
	}()
	return p.port
}

// waits lets the delay pass, and reports whether the connection is still open then.
func (p *Peer) waits() bool {
	p.mutex.Lock()
	delay, limit := p.Delay, time.Duration(p.SetupTime)*time.Second
	p.mutex.Unlock()
	if limit > 0 && delay > limit {
		time.Sleep(limit)
		return false
	}
	time.Sleep(delay)
	return true
}
