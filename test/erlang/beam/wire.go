package beam

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Wire is how bad the connection to a host is. The zero value is a good one.
type Wire struct {
	// Delay holds up every packet, in each direction.
	Delay time.Duration
	// Loss is the share of the IPv4 packets to the host that get lost, evenly spread, so
	// that a test that passed passes again. What the kernel sends by itself does not
	// count: ARP, and IPv6 multicast.
	Loss float64
}

// Degrade puts the host behind a bad wire. It may be called again with another one.
//
// The wire is this process: it carries Ethernet frames between two TAP devices, so
// that no kernel module for it is needed.
func (h *Host) Degrade(w Wire) {
	h.network.t.Helper()
	if h.wire == nil {
		h.wire = new(atomic.Pointer[Wire])
		h.wire.Store(&w)
		h.rewire()
	}
	h.wire.Store(&w)
}

// rewire replaces the host's link by two TAP devices. The hardware address stays, so
// that neighbours find the host as before.
func (h *Host) rewire() {
	t := h.network.t
	t.Helper()
	hardware := must(ip("netns", "exec", h.namespace, "cat", "/sys/class/net/eth0/address"))(t)
	mustIP(t, "-n", h.namespace, "link", "delete", "eth0") // and its other end with it
	outer := must(newTAP(h.network.bridge, h.link))(t)
	inner := must(newTAP(h.namespace, "eth0"))(t)
	t.Cleanup(func() {
		_ = outer.Close()
		_ = inner.Close()
	})
	mustIP(t, "-n", h.namespace, "link", "set", "eth0", "address", strings.TrimSpace(hardware))
	h.plugIn()
	go h.carry(outer, inner, func() float64 { return h.wire.Load().Loss })
	go h.carry(inner, outer, func() float64 { return 0 })
}

// newTAP makes a TAP device in a network namespace.
func newTAP(namespace, name string) (tap *os.File, err error) {
	err = inNamespace(namespace, func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun, which a bad wire needs (modprobe tun): %w", err)
		}
		request, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			_ = unix.Close(fd)
			return fmt.Errorf("make TAP device %s: %w", name, err)
		}
		tap = os.NewFile(uintptr(fd), name)
		return nil
	})
	return tap, err
}

// carry takes frames from one end of the wire to the other until either is closed.
func (h *Host) carry(from, to *os.File, loss func() float64) {
	type parcel struct {
		due   time.Time
		frame []byte
	}
	parcels := make(chan parcel, 1<<14) // more than that is lost, as on any wire
	defer close(parcels)
	go func() {
		for p := range parcels {
			time.Sleep(time.Until(p.due)) // that is what the wire is for
			_, _ = to.Write(p.frame)
		}
	}()
	buffer, owed := make([]byte, 1<<16), 0.0
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if isIPv4(buffer[:n]) {
			if owed += loss(); owed >= 1 {
				owed--
				continue
			}
		}
		select {
		case parcels <- parcel{time.Now().Add(h.wire.Load().Delay), append([]byte(nil), buffer[:n]...)}:
		default:
		}
	}
}

// isIPv4 reports whether an Ethernet frame holds a packet of IPv4.
func isIPv4(frame []byte) bool {
	return len(frame) >= 14 && binary.BigEndian.Uint16(frame[12:]) == unix.ETH_P_IP
}
