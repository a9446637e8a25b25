// Command image builds the container images of the one-machine Kubernetes, without
// Docker and without a registry, as OCI archives for `ctr -n k8s.io images import`.
//
//	go run ./image pause | coredns | cert-manager | operator
//	go run ./image cert-manager-manifests
//	go run ./image erlang 25|27|29
//	go run ./image rootfs 25|27|29
//	go run ./image example elixir|relx|rabbitmq|erl [25|27|29]
//	go run ./image example-rootfs elixir|relx|rabbitmq|erl [25|27|29]
//
// It builds what is not in the cache, and prints its path as the only line on standard
// output; progress is printed to standard error. rootfs is the directory from which an
// Erlang image is built, ready for chroot; an example is built by its Dockerfile in
// docs/examples, the steps of which run in a chroot of Debian, with the release of OTP that
// its suite ships; cert-manager-manifests is one YAML file for
// kubectl.
//
// Archives are reproducible: the same inputs give the same bytes. Names contain a digest
// of the inputs, so a changed image has a new path.
package main
