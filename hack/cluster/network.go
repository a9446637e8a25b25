package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// The nodes' links join a bridge that carries the control plane's address.
// Pods are reached by routes: each node routes its own pods' addresses, and
// everybody else routes them to that node. So nothing on the host forwards,
// translates or filters, and no setting of the host has to change for it.

// ensureBridge makes the bridge, unless it is there.
func (c *cluster) ensureBridge(ctx context.Context) error {
	if !hasLink(bridge) {
		if err := each(ctx, "ip link add "+bridge+" type bridge"); err != nil {
			return fmt.Errorf("%w; the kernel needs the bridge module", err)
		}
	}
	return each(ctx,
		fmt.Sprintf("ip address replace %s/%d dev %s", controlPlaneAddress, nodeRange.Bits(), bridge),
		fmt.Sprintf("ip link set %s up", bridge),
	)
}

func hasLink(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}

// ensureLink joins a node to the bridge. In the node, the link is eth0. There
// is no default route, so whoever tries to pull an image learns at once that
// no way leads to it. What kube-proxy translates needs a route all the same.
func (n node) ensureLink(ctx context.Context, pid int) error {
	if !hasLink(n.link) {
		err := each(ctx, fmt.Sprintf("ip link add %s type veth peer name eth0 netns %d", n.link, pid))
		if err != nil {
			return fmt.Errorf("%w; the kernel needs the veth module", err)
		}
	}
	inside := strings.Join(enter(pid), " ") + " "
	return each(ctx,
		fmt.Sprintf("ip link set %s master %s up", n.link, bridge),
		inside+"ip link set lo up",
		fmt.Sprintf(inside+"ip address replace %s/%d dev eth0", n.address, nodeRange.Bits()),
		inside+"ip link set eth0 up",
		fmt.Sprintf(inside+"ip route replace %s via %s", serviceRange, controlPlaneAddress),
		inside+"sysctl -q -w net.ipv4.ip_forward=1",
	)
}

// ensureRoutes lets the host reach every pod, and each node the pods of the
// others. Services are reached from the host through the first node, which
// translates as it does for its own.
func (c *cluster) ensureRoutes(ctx context.Context) error {
	commands := []string{fmt.Sprintf("ip route replace %s via %s dev %s", serviceRange, c.nodes[0].address, bridge)}
	for _, to := range c.nodes {
		route := fmt.Sprintf("ip route replace %s via %s", to.pods, to.address)
		commands = append(commands, route)
		for _, from := range c.nodes {
			if from != to {
				commands = append(commands, strings.Join(enter(from.holder()), " ")+" "+route)
			}
		}
	}
	return each(ctx, commands...)
}

// checkAddressesAreFree finds routes of the host, other than those made here,
// that overlap with the cluster's ranges.
func checkAddressesAreFree(ctx context.Context) error {
	text, err := output(ctx, "ip", "-json", "-4", "route", "show", "table", "all")
	if err != nil {
		return err
	}
	var routes []route
	if err := json.Unmarshal([]byte(text), &routes); err != nil {
		return fmt.Errorf("read the host's routes: %w", err)
	}
	return overlapping(routes)
}

type route struct{ Dst, Dev string }

func overlapping(routes []route) error {
	for _, r := range routes {
		prefix, ok := r.prefix()
		if !ok || r.Dev == bridge {
			continue
		}
		for _, ours := range []netip.Prefix{nodeRange, podRange, serviceRange} {
			if prefix.Overlaps(ours) {
				return fmt.Errorf("the host routes %s to %s, and the cluster needs %s: remove that route, or change the ranges in hack/cluster/layout.go", r.Dst, r.Dev, ours)
			}
		}
	}
	return nil
}

// prefix is where the route leads, unless it is the default route.
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
