package erldist

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"
)

// Dialer contains the options for connecting to nodes. Only Cookie is required. A
// Dialer is safe for concurrent use as long as it is not modified.
type Dialer struct {
	// Cookie is the nodes' cookie.
	Cookie Cookie

	// TLS is the configuration of distribution over TLS, see ClientTLS; nil means
	// plaintext. If its ServerName is empty, the host part of the node's name is
	// verified.
	TLS *tls.Config

	// Port is the fixed distribution port of nodes that run without EPMD
	// (-start_epmd false -erl_epmd_port Port). 0 means that EPMD is asked.
	Port uint16

	// EPMDPort is EPMD's port; 0 means 4369.
	EPMDPort uint16

	// Network is "tcp4" for nodes that run inet_tcp or inet_tls, "tcp6" for
	// inet6_tcp or inet6_tls; all nodes of a cluster use the same one. Empty means
	// "tcp": any address that the host's name resolves to.
	Network string

	// Host is the host part of the dynamic name that the peer assigns to this client.
	// net_kernel:allow/1 on the node can restrict it. Empty means os.Hostname.
	Host string

	// Resolve returns the addresses of a host; nil means net.DefaultResolver. Addresses
	// that do not fit Network are ignored.
	Resolve func(ctx context.Context, host string) ([]string, error)

	// DialContext opens TCP connections to resolved addresses; nil means a
	// net.Dialer.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// Timeouts limits the duration of stages, in addition to the context's deadline.
	Timeouts map[Stage]time.Duration

	// MaxFrame is the maximum size of a message from the peer; 0 means DefaultMaxFrame.
	MaxFrame int
}

// DefaultMaxFrame is the default of Dialer.MaxFrame, in bytes.
const DefaultMaxFrame = 16 << 20

// Dial connects to a node, as dist_util:handshake_we_started/1 of kernel does: stages
// Resolve, Connect and Lookup unless Port is set, ConnectDistribution, TLS if set, and
// Handshake. Errors are of type *StageError.
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
		// EPMD may listen on more addresses than the node, which speaks one protocol.
		others := slices.DeleteFunc(slices.Clone(addresses), func(other string) bool { return other == address })
		addresses, port = slices.Concat([]string{address}, others), reg.Port
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

// NewConn runs the stages TLS, if set, and Handshake over an open connection, which it
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

// fits reports whether an address belongs to the network.
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
