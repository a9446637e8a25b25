// Package beam starts real Erlang nodes for tests.
//
// A [Network] is a set of network namespaces joined by a bridge, one for each
// [Host]; nothing in it touches the machine's own network. A [Node] runs on a
// host, in mount and process namespaces of its own, from the root file system of an OTP
// release that `cd hack && go run ./image rootfs 27` makes. Its root file system
// is never written to. The test process itself stands on the bridge: it reaches
// the nodes through [Network.Dialer].
//
// Everything is taken down when the test ends. Should the test process die
// before that, the kernel kills the nodes with it, and the next run removes the
// namespaces and files that it left.
//
// Needs root, and ip (iproute2), mount (util-linux), chroot and cp (coreutils) on the
// machine.
package beam
