// Command cluster runs a Kubernetes of one or several nodes on one Linux
// machine, without a container engine, a registry or a virtual machine.
//
// The control plane runs in the host's namespaces, bound to the address of a
// bridge of its own. A node is a network, mount and UTS namespace with its
// own containerd, kubelet and kube-proxy, joined to that bridge. Inside a node
// all paths are those of any other node: /var/lib/kubelet, /run/containerd,
// /var/log/pods.
//
// Only the processes in a namespace keep it alive, so when the last process of a node
// ends, its mounts, links, packet filters and routes are removed as well. This makes
// taking the cluster down reliable: see teardown.go.
//
// Every subcommand observes the machine and creates what is missing. It records only
// what cannot be observed: which checkout the machine's cluster belongs to, and the
// previous values of sysctls.
//
// This program does not depend on Erlang or on the operator.
package main
