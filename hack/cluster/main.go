package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

const usage = `Run Kubernetes on this machine.

  cluster up               start it, or the parts that have stopped; NODES=3 for three nodes
  cluster down             stop it and remove everything it made
  cluster down --check     print what is left of it, and fail if anything is
  cluster status           which parts run, and where
  cluster load ARCHIVE...  load image archives into every node
  cluster shell NODE [COMMAND...]  run a command, or a shell, inside a node
  cluster build [PROGRAM...]       build programs without starting anything, and print their directory
  cluster packages         install the Debian packages that it needs, as tests with network namespaces do

NODES                   number of nodes (default 1)
IPV6                    1 for pods and Services with IPv6 addresses as well
KUBERNETES              the version that build builds, as 1.34 (default that of the cluster)
ERLANG_OPERATOR_CACHE   where built programs and images are kept
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	switch {
	case err == nil:
	case errors.Is(ctx.Err(), context.Canceled):
		fatal(errors.New("interrupted; run up again to continue, or down to clean up"))
	default:
		fatal(err)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "cluster:", err)
	os.Exit(1)
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		args = []string{"help"}
	}
	command, args := args[0], args[1:]
	if command == "help" || command == "-h" || command == "--help" {
		fmt.Print(usage)
		return nil
	}
	c, err := locate()
	if err != nil {
		return err
	}
	if command != "build" {
		if err := checkRoot(); err != nil {
			return err
		}
	}
	switch command {
	case "up":
		return c.up(ctx)
	case "down":
		if len(args) == 1 && args[0] == "--check" {
			return c.checkNothingLeft()
		}
		return c.down(ctx)
	case "status":
		return c.printStatus(ctx)
	case "load":
		return c.load(ctx, args)
	case "shell":
		return c.shell(args)
	case "build":
		c.kubernetes = os.Getenv("KUBERNETES")
		return c.build(ctx, args)
	case "packages":
		return ensurePackages(ctx)
	}
	return fmt.Errorf("unknown command %q\n\n%s", strings.Join(append([]string{command}, args...), " "), usage)
}
