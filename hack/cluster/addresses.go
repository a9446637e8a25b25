package main

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// A family is an IP version with the cluster's addresses of that version.
type family struct {
	nodes, pods, services netip.Prefix
	// podBits is the prefix length of a node's pods.
	podBits int
}

// The addresses of the cluster: ranges of RFC 1918 that home routers, VPNs and
// container engines do not use by default. checkAddressesAreFree reports a host that
// uses them.
var ipv4 = family{
	nodes:    netip.MustParsePrefix("10.197.0.0/24"),
	pods:     netip.MustParsePrefix("10.198.0.0/16"),
	services: netip.MustParsePrefix("10.96.0.0/16"),
	podBits:  24,
}

// The same of RFC 4193, for dual-stack clusters.
var ipv6 = family{
	nodes:    netip.MustParsePrefix("fdc8:5f1e:a730:1::/64"),
	pods:     netip.MustParsePrefix("fdc8:5f1e:a730:100::/56"),
	services: netip.MustParsePrefix("fdc8:5f1e:a730:2::/112"),
	podBits:  64,
}

// These addresses are the same with and without IPv6.
var (
	controlPlaneAddress = ipv4.controlPlane()
	apiServerService    = numbered(ipv4.services, 1)
	dnsService          = numbered(ipv4.services, 10)
)

func (f family) controlPlane() netip.Addr { return numbered(f.nodes, 1) }

func (f family) node(number int) netip.Addr { return numbered(f.nodes, 10+number) }

// podsOf returns the range of a node's pods: the node's number is the last byte of the
// prefix.
func (f family) podsOf(number int) netip.Prefix {
	bytes := f.pods.Addr().AsSlice()
	bytes[f.podBits/8-1] = byte(number)
	address, _ := netip.AddrFromSlice(bytes)
	return netip.PrefixFrom(address, f.podBits)
}

// numbered returns the address in a range whose last byte is a number.
func numbered(within netip.Prefix, number int) netip.Addr {
	bytes := within.Addr().AsSlice()
	bytes[len(bytes)-1] = byte(number)
	address, _ := netip.AddrFromSlice(bytes)
	return address
}

// wantedFamilies returns IPv4, and IPv6 if IPV6=1 is set or the running cluster has it:
// up removes neither IPv6 nor nodes.
func wantedFamilies() ([]family, error) {
	if os.Getenv("IPV6") != "1" && !hasAddress(bridge, ipv6.controlPlane()) {
		return []family{ipv4}, nil
	}
	if !exists("/proc/sys/net/ipv6/conf/all/forwarding") {
		return nil, errors.New("IPV6=1: this kernel has no IPv6")
	}
	return []family{ipv4, ipv6}, nil
}

func hasAddress(link string, address netip.Addr) bool {
	found, err := net.InterfaceByName(link)
	if err != nil {
		return false
	}
	addresses, _ := found.Addrs()
	return slices.ContainsFunc(addresses, func(a net.Addr) bool {
		return strings.HasPrefix(a.String(), address.String()+"/")
	})
}

// joined returns a comma-separated list, as in Kubernetes' flags, of something of every
// family.
func joined[T interface{ String() string }](families []family, of func(family) T) string {
	var parts []string
	for _, f := range families {
		parts = append(parts, of(f).String())
	}
	return strings.Join(parts, ",")
}
