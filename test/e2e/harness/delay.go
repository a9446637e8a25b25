package harness

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Options of a packet socket, see packet(7).
const (
	packetOutgoing   = 4  // the type of a packet that this host has sent
	packetVirtualNet = 15 // PACKET_VNET_HDR: each packet begins with its offloads, which are kept
)

// Delay has everything that the machine sends, and gets, arrive that much later. The kernel may
// have no netem, so its link is taken off the bridge of the machines, and this process carries
// the packets to another link, which joins the bridge instead.
func (m Machine) Delay(t testing.TB, delay time.Duration) (end func()) {
	t.Helper()
	index := strings.TrimPrefix(m.Name, "worker-")
	link, name := "erlop-w"+index, "e2e"+strings.ToLower(rand.Text()[:6])
	inside, outside := name+"i", name+"o"
	run := func(commands ...string) {
		for _, command := range commands {
			if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
				t.Errorf("ip %s: %v: %s", command, err, out)
			}
		}
	}
	var stop func()
	end = sync.OnceFunc(func() {
		run("link set "+link+" promisc off master erlop0", "link delete "+inside)
		if stop != nil {
			stop()
		}
	})
	t.Cleanup(end)
	run("link add "+inside+" type veth peer name "+outside, "link set "+inside+" promisc on up",
		"link set "+outside+" master erlop0 up", "link set "+link+" nomaster", "link set "+link+" promisc on")
	var err error
	if stop, err = relay(delay, link, inside); err != nil {
		t.Fatalf("delay %s: %v", m.Name, err)
	}
	return end
}

// relay carries packets between two links of this host, until stop is called.
func relay(delay time.Duration, links ...string) (stop func(), err error) {
	var sockets []int
	var ended sync.WaitGroup
	closing := make(chan struct{})
	stop = func() {
		close(closing)
		ended.Wait()
		for _, socket := range sockets {
			_ = syscall.Close(socket)
		}
	}
	for _, link := range links {
		socket, err := packetSocket(link)
		if err != nil {
			stop()
			return nil, err
		}
		sockets = append(sockets, socket)
	}
	for i := range sockets {
		queue := make(chan packet, 1<<14)
		ended.Go(func() { receive(sockets[i], queue, closing) })
		ended.Go(func() { send(sockets[1-i], queue, delay) })
	}
	return stop, nil
}

type packet struct {
	got  time.Time
	data []byte
}

// receive queues what arrives at a link. What does not fit is lost, as it would be on a wire.
func receive(socket int, queue chan<- packet, closing <-chan struct{}) {
	defer close(queue)
	buffer := make([]byte, 1<<17)
	for {
		select {
		case <-closing:
			return
		default:
		}
		n, from, err := syscall.Recvfrom(socket, buffer, 0)
		if sender, ok := from.(*syscall.SockaddrLinklayer); err != nil || !ok || sender.Pkttype == packetOutgoing {
			continue // The time is up, or it is one that we sent.
		}
		select {
		case queue <- packet{time.Now(), append([]byte(nil), buffer[:n]...)}:
		default:
		}
	}
}

func send(socket int, queue <-chan packet, delay time.Duration) {
	for packet := range queue {
		time.Sleep(time.Until(packet.got.Add(delay))) // The delay is what this is for.
		_, _ = syscall.Write(socket, packet.data)     // What a link does not take is lost.
	}
}

// packetSocket gets and sends the packets of a link.
func packetSocket(link string) (int, error) {
	device, err := net.InterfaceByName(link)
	if err != nil {
		return 0, err
	}
	all := binary.NativeEndian.Uint16([]byte{0, syscall.ETH_P_ALL})
	socket, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, int(all))
	if err != nil {
		return 0, fmt.Errorf("open a packet socket: %w", err)
	}
	for _, set := range []func() error{
		func() error { return syscall.SetsockoptInt(socket, syscall.SOL_PACKET, packetVirtualNet, 1) },
		func() error { return syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, 16<<20) },
		func() error {
			return syscall.SetsockoptTimeval(socket, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Usec: 100_000})
		},
		func() error {
			return syscall.Bind(socket, &syscall.SockaddrLinklayer{Protocol: all, Ifindex: device.Index})
		},
	} {
		if err := set(); err != nil {
			_ = syscall.Close(socket)
			return 0, fmt.Errorf("set up a packet socket of %s: %w", link, err)
		}
	}
	return socket, nil
}
