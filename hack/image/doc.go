// Command image makes the container images of the one-machine Kubernetes,
// without Docker and without a registry: each as an OCI archive that
// `ctr -n k8s.io images import` takes.
//
//	go run ./image pause | coredns | cert-manager | operator
//	go run ./image cert-manager-manifests
//	go run ./image erlang 25|27|29
//	go run ./image rootfs 25|27|29
//
// It prints the path of what was asked for as its only line on standard
// output, after making it if the cache has none; progress goes to standard
// error. rootfs is the directory that an Erlang image is made from, ready for
// chroot; cert-manager-manifests is one YAML file for kubectl.
//
// Archives are reproducible: the same inputs give the same bytes, so names
// can carry a digest of the inputs and a change is seen as a new path.
//
// The program knows nothing about Kubernetes objects or the running cluster.
package main
