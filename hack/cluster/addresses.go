package main

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// A family is a version of IP and the cluster's addresses in it.
type family struct {
	nodes, pods, services netip.Prefix
	// pods of a node have this many bits in common.
	podBits int
}

// The addresses of the cluster. They lie in corners of RFC 1918 that home
// routers, VPNs and container engines do not use by default;
// checkAddressesAreFree says so when a host uses them all the same.
var ipv4 = family{
	nodes:    netip.MustParsePrefix("10.197.0.0/24"),
	pods:     netip.MustParsePrefix("10.198.0.0/16"),
	services: netip.MustParsePrefix("10.96.0.0/16"),
	podBits:  24,
}

// The same by RFC 4193, for clusters of two families.
var ipv6 = family{
	nodes:    netip.MustParsePrefix("fdc8:5f1e:a730:1::/64"),
	pods:     netip.MustParsePrefix("fdc8:5f1e:a730:100::/56"),
	services: netip.MustParsePrefix("fdc8:5f1e:a730:2::/112"),
	podBits:  64,
}

// These are the cluster's in either case.
var (
	controlPlaneAddress = ipv4.controlPlane()
	apiServerService    = numbered(ipv4.services, 1)
	dnsService          = numbered(ipv4.services, 10)
)

func (f family) controlPlane() netip.Addr { return numbered(f.nodes, 1) }

func (f family) node(number int) netip.Addr { return numbered(f.nodes, 10+number) }

// podsOf is the range of a node's pods: the number is the last byte before its
// own bits.
func (f family) podsOf(number int) netip.Prefix {
	bytes := f.pods.Addr().AsSlice()
	bytes[f.podBits/8-1] = byte(number)
	address, _ := netip.AddrFromSlice(bytes)
	return netip.PrefixFrom(address, f.podBits)
}

// numbered is the address of a range that ends in a number.
func numbered(within netip.Prefix, number int) netip.Addr {
	bytes := within.Addr().AsSlice()
	bytes[len(bytes)-1] = byte(number)
	address, _ := netip.AddrFromSlice(bytes)
	return address
}

// wantedFamilies are IPv4, and IPv6 if asked for with IPV6=1 or in use
// already: as with nodes, up takes nothing away.
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

// joined writes something of every family the way Kubernetes' flags want it.
func joined[T interface{ String() string }](families []family, of func(family) T) string {
	var parts []string
	for _, f := range families {
		parts = append(parts, of(f).String())
	}
	return strings.Join(parts, ",")
}
