package erldist

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"time"
)

// Dialer holds what is needed to connect to nodes. Only Cookie must be set. A Dialer
// may be used by several goroutines at once, as long as none changes it.
type Dialer struct {
	// Cookie is the one that the nodes use.
	Cookie Cookie

	// TLS makes distribution run over TLS; nil means plaintext. The configuration
	// is the caller's: see ClientTLS. When its ServerName is empty, the host part of
	// the node's name is verified.
	TLS *tls.Config

	// Port is the fixed distribution port of nodes that run without EPMD
	// (-start_epmd false -erl_epmd_port Port). 0 means to ask EPMD.
	Port uint16

	// EPMDPort is EPMD's port; 0 means 4369.
	EPMDPort uint16

	// Network is "tcp4" for nodes that run inet_tcp or inet_tls, "tcp6" for
	// inet6_tcp or inet6_tls; each node of a cluster speaks one of them only. Empty
	// means "tcp": whatever the host's name resolves to.
	Network string

	// Host is the right half of the dynamic name that the peer gives us. Nodes
	// restricted by net_kernel:allow/1 look at it. Empty means os.Hostname.
	Host string

	// Resolve finds the addresses of a host; nil means net.DefaultResolver. Those
	// that do not fit Network are left out.
	Resolve func(ctx context.Context, host string) ([]string, error)

	// DialContext opens TCP connections to resolved addresses; nil means a
	// net.Dialer.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// Timeouts limits stages, besides the deadline of the context.
	Timeouts map[Stage]time.Duration

	// MaxFrame limits the messages that a peer may send; 0 means DefaultMaxFrame.
	MaxFrame int
}

// DefaultMaxFrame is far above any answer that this package's users ask for.
const DefaultMaxFrame = 16 << 20

// Dial connects to a node: Resolve, Connect and Lookup unless Port is set,
// ConnectDistribution, TLS if set, and Handshake. Errors are of type *StageError.
func (d *Dialer) Dial(ctx context.Context, node string) (*Conn, error) {
	name, host, err := SplitNodeName(node)
	if err != nil {
		return nil, &StageError{Stage: StageResolve, Node: node, Address: node, Err: err}
	}
	a := attempt{dialer: d, node: node, trace: traceOf(ctx)}
	addresses, err := a.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	port := d.Port
	if port == 0 {
		reg, address, err := a.lookup(ctx, addresses, name)
		if err != nil {
			return nil, err
		}
		addresses, port = []string{address}, reg.Port
	}
	conn, _, err := a.connect(ctx, StageConnectDistribution, addresses, port)
	if err != nil {
		return nil, err
	}
	return a.establish(ctx, conn)
}

// DialAddress connects to the node that listens for distribution at address,
// host:port, without resolving the node's host or asking EPMD: stages
// ConnectDistribution, TLS if set, and Handshake.
func (d *Dialer) DialAddress(ctx context.Context, node, address string) (*Conn, error) {
	a := attempt{dialer: d, node: node, trace: traceOf(ctx)}
	conn, err := a.connectTo(ctx, StageConnectDistribution, address)
	if err != nil {
		return nil, err
	}
	return a.establish(ctx, conn)
}

// NewConn speaks TLS, if set, and the handshake over an open connection, which it
// closes on failure.
func (d *Dialer) NewConn(ctx context.Context, node string, conn net.Conn) (*Conn, error) {
	a := attempt{dialer: d, node: node, trace: traceOf(ctx)}
	return a.establish(ctx, &countingConn{Conn: conn})
}

func (d *Dialer) epmdPort() uint16 {
	if d.EPMDPort == 0 {
		return epmdPort
	}
	return d.EPMDPort
}

func (d *Dialer) network() string {
	if d.Network == "" {
		return "tcp"
	}
	return d.Network
}

// fits tells whether an address belongs to the network.
func (d *Dialer) fits(address string) bool {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	switch d.network() {
	case "tcp4":
		return ip.Is4() || ip.Is4In6()
	case "tcp6":
		return ip.Is6() && !ip.Is4In6()
	}
	return true
}

func (d *Dialer) maxFrame() int {
	if d.MaxFrame == 0 {
		return DefaultMaxFrame
	}
	return d.MaxFrame
}

func (d *Dialer) localHost() string {
	if d.Host != "" {
		return d.Host
	}
	if host, err := os.Hostname(); err == nil && host != "" {
		return host
	}
	return "localhost"
}

// establish runs TLS and the handshake, and closes the connection on failure.
func (a *attempt) establish(ctx context.Context, raw *countingConn) (*Conn, error) {
	c := &Conn{node: a.node, dialer: a.dialer, raw: raw, stream: raw, handshakeHeader: 2}
	if a.dialer.TLS != nil {
		secured := tls.Client(raw, a.tlsConfig())
		if err := a.talk(ctx, StageTLS, raw, secured.Handshake); err != nil {
			_ = raw.Close()
			return nil, err
		}
		state := secured.ConnectionState()
		c.stream, c.handshakeHeader, c.tls = secured, 4, &state
	}
	c.in = bufio.NewReader(c.stream)
	if err := a.talk(ctx, StageHandshake, raw, func() error { return c.handshake(a.trace) }); err != nil {
		_ = raw.Close()
		return nil, err
	}
	c.start()
	return c, nil
}

func (a *attempt) tlsConfig() *tls.Config {
	config := a.dialer.TLS
	if config.ServerName != "" {
		return config
	}
	config = config.Clone()
	_, config.ServerName, _ = SplitNodeName(a.node)
	return config
}
