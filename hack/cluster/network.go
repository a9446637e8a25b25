package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// The nodes' links join a bridge that has the control plane's address. Pods are reached
// by routes: each node routes its own pods' addresses, and the host and the other nodes
// route them to that node. So the host does not forward, translate or filter anything,
// and none of its settings has to change.

// ensureBridge creates the bridge unless it exists.
func (c *cluster) ensureBridge(ctx context.Context) error {
	if !hasLink(bridge) {
		if err := each(ctx, "ip link add "+bridge+" type bridge"); err != nil {
			return fmt.Errorf("%w; the kernel needs the bridge module", err)
		}
	}
	commands := []string{fmt.Sprintf("ip link set %s up", bridge)}
	for _, f := range c.families {
		commands = append(commands, fmt.Sprintf("ip address replace %s/%d dev %s%s", f.controlPlane(), f.nodes.Bits(), bridge, f.atOnce()))
	}
	return each(ctx, commands...)
}

// atOnce skips duplicate address detection, which delays an address although nobody else
// can have it.
func (f family) atOnce() string {
	if f.nodes.Addr().Is4() {
		return ""
	}
	return " nodad"
}

// forwarding is the setting that makes a node a router.
func (f family) forwarding() string {
	if f.nodes.Addr().Is4() {
		return "net.ipv4.ip_forward=1"
	}
	return "net.ipv6.conf.all.forwarding=1"
}

func hasLink(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}

// ensureLink joins a node to the bridge. In the node, the link is eth0. There
// is no default route, so pulling an image fails immediately. Addresses that kube-proxy
// translates need a route nevertheless.
func (n node) ensureLink(ctx context.Context, pid int) error {
	if !hasLink(n.link) {
		err := each(ctx, fmt.Sprintf("ip link add %s type veth peer name eth0 netns %d", n.link, pid))
		if err != nil {
			return fmt.Errorf("%w; the kernel needs the veth module", err)
		}
	}
	inside := strings.Join(enter(pid), " ") + " "
	commands := []string{
		fmt.Sprintf("ip link set %s master %s up", n.link, bridge),
		inside + "ip link set lo up",
		inside + "ip link set eth0 up",
	}
	for _, f := range n.families {
		commands = append(commands,
			fmt.Sprintf(inside+"ip address replace %s/%d dev eth0%s", f.node(n.number), f.nodes.Bits(), f.atOnce()),
			fmt.Sprintf(inside+"ip route replace %s via %s", f.services, f.controlPlane()),
			inside+"sysctl -q -w "+f.forwarding(),
		)
	}
	return each(ctx, commands...)
}

// ensureRoutes lets the host reach every pod, and each node the pods of the
// others. Services are reached from the host through the first node, which
// translates as it does for its own.
func (c *cluster) ensureRoutes(ctx context.Context) error {
	var commands []string
	for _, f := range c.families {
		commands = append(commands, fmt.Sprintf("ip route replace %s via %s dev %s", f.services, f.node(1), bridge))
		for _, to := range c.nodes {
			route := fmt.Sprintf("ip route replace %s via %s", f.podsOf(to.number), f.node(to.number))
			commands = append(commands, route)
			for _, from := range c.nodes {
				if from.number != to.number {
					commands = append(commands, strings.Join(enter(from.holder()), " ")+" "+route)
				}
			}
		}
	}
	return each(ctx, commands...)
}

// checkAddressesAreFree reports routes of the host, other than the cluster's own, that
// overlap with the cluster's ranges.
func (c *cluster) checkAddressesAreFree(ctx context.Context) error {
	var routes []route
	for _, version := range []string{"-4", "-6"} {
		text, err := output(ctx, "ip", "-json", version, "route", "show", "table", "all")
		if err != nil {
			return err
		}
		var some []route
		if err := json.Unmarshal([]byte(text), &some); err != nil {
			return fmt.Errorf("read the host's routes: %w", err)
		}
		routes = append(routes, some...)
	}
	return overlapping(routes, c.families)
}

type route struct{ Dst, Dev string }

func overlapping(routes []route, families []family) error {
	for _, r := range routes {
		prefix, ok := r.prefix()
		if !ok || r.Dev == bridge {
			continue
		}
		for _, f := range families {
			for _, ours := range []netip.Prefix{f.nodes, f.pods, f.services} {
				if prefix.Overlaps(ours) {
					return fmt.Errorf("the host routes %s to %s, and the cluster needs %s: remove that route, or change the ranges in hack/cluster/addresses.go", r.Dst, r.Dev, ours)
				}
			}
		}
	}
	return nil
}

// prefix returns the destination of the route, unless it is the default route.
func (r route) prefix() (netip.Prefix, bool) {
	if prefix, err := netip.ParsePrefix(r.Dst); err == nil {
		return prefix, prefix.Bits() > 0
	}
	address, err := netip.ParseAddr(r.Dst)
	if err != nil {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(address, address.BitLen()), true
}
