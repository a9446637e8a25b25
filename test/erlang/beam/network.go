package beam

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/erldist"
)

// Domain is where the names of hosts end.
const Domain = "chat.default.svc.cluster.local"

// Network is a bridge with hosts on it. The test process stands on the bridge.
//
// In IPv4 the bridge is the hosts' router too: hosts communicate through it, as in
// many a Kubernetes. So a host needs the hardware address of the
// bridge only. Of such addresses the kernel keeps a thousand for all namespaces
// together (gc_thresh3 of arp(7)), and when thirty hosts knew each other's, connections
// would fail that have nothing to do with what is tested.
type Network struct {
	t      testing.TB
	bridge string // namespace
	dir    string

	mu    sync.Mutex
	hosts []*Host
	names map[string][]string // name → addresses, as the hosts see it
}

// Host is a machine with a name, an address and a network namespace.
type Host struct {
	// Name is the host's full name, the right half of the names of its nodes.
	Name string
	// Address and Address6 are its IPv4 and its IPv6 address, which is empty on a
	// machine without IPv6. The name resolves to the first, see Network.SetName.
	Address, Address6 string

	network   *Network
	namespace string
	link      string // the end on the bridge of what is eth0 on the host
	wire      *atomic.Pointer[Wire]
}

// subnet and subnet6 hold every host; the bridge has their first addresses.
const (
	subnet  = "10.77.0.0/24"
	router  = "10.77.0.1"
	subnet6 = "fd77::/64"
)

// maxHosts is what one /24 has room for beside the bridge.
const maxHosts = 250

var networks struct {
	sync.Mutex
	made int
}

// NewNetwork makes a network for the duration of a test.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	check(t, startRun())
	networks.Lock()
	networks.made++
	number := networks.made
	networks.Unlock()
	n := &Network{
		t:      t,
		bridge: fmt.Sprintf("%s-%d", theRun.id, number),
		dir:    filepath.Join(theRun.dir, fmt.Sprint(number)),
		names:  map[string][]string{},
	}
	check(t, os.Mkdir(n.dir, 0o755))
	n.addNamespace(n.bridge)
	mustIP(t, "-n", n.bridge, "link", "add", "bridge", "type", "bridge")
	mustIP(t, "-n", n.bridge, "address", "add", router+"/24", "dev", "bridge")
	if hasIPv6() {
		mustIP(t, "-n", n.bridge, "address", "add", "fd77::1/64", "dev", "bridge", "nodad")
	}
	mustIP(t, "-n", n.bridge, "link", "set", "bridge", "up")
	n.route()
	n.writeHosts()
	return n
}

// route makes the bridge a router, which sends no ICMP redirects.
func (n *Network) route() {
	n.t.Helper()
	n.setIPv4(n.bridge, "ip_forward", "1")
	for _, link := range []string{"all", "bridge"} {
		n.setIPv4(n.bridge, "conf/"+link+"/send_redirects", "0")
	}
}

// setIPv4 sets a parameter of a namespace.
func (n *Network) setIPv4(namespace, parameter, value string) {
	n.t.Helper()
	err := inNamespace(namespace, func() error {
		return os.WriteFile("/proc/sys/net/ipv4/"+parameter, []byte(value), 0o644)
	})
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *Network) addNamespace(name string) {
	n.t.Helper()
	mustIP(n.t, "netns", "add", name)
	n.t.Cleanup(func() {
		if err := removeNamespace(name); err != nil {
			n.t.Error(err)
		}
	})
	mustIP(n.t, "-n", name, "link", "set", "lo", "up")
}

// Host adds a host, whose name is Domain with label in front.
func (n *Network) Host(label string) *Host {
	n.t.Helper()
	n.mu.Lock()
	number := len(n.hosts) + 1
	if number > maxHosts {
		n.t.Fatalf("more than %d hosts", maxHosts)
	}
	h := &Host{
		Name:      label + "." + Domain,
		Address:   fmt.Sprintf("10.77.0.%d", number+1),
		network:   n,
		namespace: fmt.Sprintf("%s-%s", n.bridge, label),
		link:      fmt.Sprintf("host%d", number),
	}
	if hasIPv6() {
		h.Address6 = fmt.Sprintf("fd77::%x", number+1)
	}
	n.hosts = append(n.hosts, h)
	n.mu.Unlock()

	n.addNamespace(h.namespace)
	mustIP(n.t, "-n", n.bridge, "link", "add", h.link, "type", "veth", "peer", "name", "eth0", "netns", h.namespace)
	h.plugIn()
	n.SetName(h.Name, h.Address)
	return h
}

// plugIn configures both ends of the host's link.
func (h *Host) plugIn() {
	t := h.network.t
	t.Helper()
	mustIP(t, "-n", h.network.bridge, "link", "set", h.link, "master", "bridge", "up")
	mustIP(t, "-n", h.namespace, "address", "add", h.Address, "dev", "eth0")
	if h.Address6 != "" {
		mustIP(t, "-n", h.namespace, "address", "add", h.Address6+"/64", "dev", "eth0", "nodad")
	}
	mustIP(t, "-n", h.namespace, "link", "set", "eth0", "up")
	h.connect()
	h.acceptAnySource()
}

// connect gives the host its way to all others.
func (h *Host) connect() {
	h.network.t.Helper()
	mustIP(h.network.t, "-n", h.namespace, "route", "replace", subnet, "via", router, "dev", "eth0", "onlink", "src", h.Address)
}

// hasIPv6 reports whether the kernel supports IPv6.
func hasIPv6() bool {
	_, err := os.Stat("/proc/net/if_inet6")
	return err == nil
}

// acceptAnySource turns reverse path filtering off, which a machine may have on:
// it would make Blackhole drop ARP requests too.
func (h *Host) acceptAnySource() {
	h.network.t.Helper()
	for _, link := range []string{"all", "eth0"} {
		h.network.setIPv4(h.namespace, "conf/"+link+"/rp_filter", "0")
	}
}

// SetName makes a name resolve to addresses, for nodes and for Dialer; none take
// the name away.
func (n *Network) SetName(name string, addresses ...string) {
	n.t.Helper()
	n.mu.Lock()
	n.names[name] = addresses
	n.mu.Unlock()
	n.writeHosts()
}

func (n *Network) hostsFile() string { return filepath.Join(n.dir, "hosts") }

// writeHosts writes in place, since running nodes have the file mounted.
func (n *Network) writeHosts() {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	text := "127.0.0.1 localhost\n"
	for name, addresses := range n.names {
		label, _, _ := strings.Cut(name, ".")
		for _, address := range addresses {
			text += address + " " + name + " " + label + "\n"
		}
	}
	check(n.t, os.WriteFile(n.hostsFile(), []byte(text), 0o644))
}

// Resolve knows the names of the network.
func (n *Network) Resolve(_ context.Context, host string) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if addresses := n.names[host]; len(addresses) > 0 {
		return addresses, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// DialContext connects to an address in the network from the bridge.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return dialFrom(n.bridge)(ctx, network, address)
}

// Forward has a program on the bridge reach a server on the machine, at the same address of
// its own loopback.
func (n *Network) Forward(address string) {
	n.t.Helper()
	var listener net.Listener
	err := inNamespace(n.bridge, func() (err error) {
		listener, err = net.Listen("tcp", address)
		return err
	})
	check(n.t, err)
	n.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go forward(conn, address)
		}
	}()
}

func forward(conn net.Conn, address string) {
	defer func() { _ = conn.Close() }()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	go func() {
		defer func() { _ = server.Close() }()
		_, _ = io.Copy(server, conn)
	}()
	_, _ = io.Copy(conn, server)
}

// Command is a program on the bridge, to which the names of the network resolve.
func (n *Network) Command(program string, args ...string) *exec.Cmd {
	const run = `mount --bind "$0" /etc/hosts && exec "$@"`
	return exec.Command("ip", append([]string{"netns", "exec", n.bridge, "sh", "-c", run, n.hostsFile(), program}, args...)...)
}

// Dialer returns a Dialer on the bridge, without cookie and TLS.
func (n *Network) Dialer() *erldist.Dialer {
	return &erldist.Dialer{Host: "probe." + Domain, Resolve: n.Resolve, DialContext: n.DialContext}
}

// Blackhole drops everything that the host would send, so that connections to it time
// out, until Restore. It still answers ARP: a host that
// does not would soon be reported as unreachable.
func (h *Host) Blackhole() {
	h.network.t.Helper()
	mustIP(h.network.t, "-n", h.namespace, "route", "replace", "blackhole", subnet)
	if h.Address6 != "" {
		mustIP(h.network.t, "-n", h.namespace, "-6", "route", "add", "blackhole", subnet6, "metric", "1")
	}
}

// Restore takes a Blackhole back.
func (h *Host) Restore() {
	h.network.t.Helper()
	h.connect()
	if h.Address6 != "" {
		mustIP(h.network.t, "-n", h.namespace, "-6", "route", "delete", "blackhole", subnet6)
	}
}

// CutOffFrom drops everything that the host would send to another one, until the returned
// function is called.
func (h *Host) CutOffFrom(other *Host) (restore func()) {
	h.network.t.Helper()
	mustIP(h.network.t, "-n", h.namespace, "route", "add", "blackhole", other.Address)
	return func() { mustIP(h.network.t, "-n", h.namespace, "route", "delete", "blackhole", other.Address) }
}

// waitForPort waits until something listens on a port of the host.
func (h *Host) waitForPort(port string, p *process) error {
	limit := time.After(2 * time.Minute)
	for {
		conn, err := h.network.DialContext(context.Background(), "tcp", net.JoinHostPort(h.Address, port))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-limit:
			return fmt.Errorf("nothing listens on port %s of %s: %w", port, h.Name, err)
		case <-p.Ended():
			return errors.New("it has ended")
		case <-time.After(5 * time.Millisecond): // No event signals an open port.
		}
	}
}

// Listen listens in the host's namespace, for peers that are not Erlang.
func (h *Host) Listen(port uint16) net.Listener {
	h.network.t.Helper()
	var listener net.Listener
	err := inNamespace(h.namespace, func() (err error) {
		listener, err = net.Listen("tcp", fmt.Sprintf("%s:%d", h.Address, port))
		return err
	})
	if err != nil {
		h.network.t.Fatal(err)
	}
	h.network.t.Cleanup(func() { _ = listener.Close() })
	return listener
}
