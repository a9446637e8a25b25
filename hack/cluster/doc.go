// Command cluster runs a Kubernetes of one or several nodes on one Linux
// machine, without a container engine, a registry or a virtual machine.
//
// The control plane runs in the host's namespaces, bound to the address of a
// bridge of its own. A node is a network, mount and UTS namespace with its
// own containerd, kubelet and kube-proxy, joined to that bridge. Inside a node
// everything is where it is on any other node: /var/lib/kubelet,
// /run/containerd, /var/log/pods.
//
// Namespaces are kept alive by the processes in them and by nothing else, so
// when the last process of a node is gone, its mounts, links, packet filters
// and routes are gone as well. That is what makes taking the cluster down
// reliable: see teardown.go.
//
// Every subcommand observes the machine and repairs what is missing. The only
// thing recorded is what cannot be observed: who owns the machine's cluster
// and which sysctls had which values before.
//
// This program knows nothing of Erlang or of the operator.
package main
