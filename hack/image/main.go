package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	path, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
	fmt.Println(path)
}

func run(ctx context.Context, args []string) (path string, err error) {
	switch len(args) {
	case 1:
		switch args[0] {
		case "pause", "coredns", "cert-manager":
			return addon(ctx, args[0])
		case "operator":
			return operator(ctx)
		case "cert-manager-manifests":
			return certManagerManifests(ctx)
		}
	case 2:
		switch args[0] {
		case "erlang":
			return erlangImage(ctx, args[1])
		case "rootfs":
			return erlangRootfs(ctx, args[1])
		case "example", "example-rootfs":
			return example(ctx, args[0], args[1], exampleRelease)
		}
	case 3:
		switch args[0] {
		case "example", "example-rootfs":
			return example(ctx, args[0], args[1], args[2])
		}
	}
	return "", fmt.Errorf("usage: image pause|coredns|cert-manager|cert-manager-manifests|operator, or image erlang|rootfs %[1]s, or image example|example-rootfs NAME [%[1]s]", releases())
}

// progress prints what is being done.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}
