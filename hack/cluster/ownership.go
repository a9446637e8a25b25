package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func ownerRecord() string { return filepath.Join(machineDir, "checkout") }

// takeTurns lets one up or down run at a time on the machine. The lock is the
// name of an abstract socket, which needs no file and ends with its process.
func takeTurns(ctx context.Context) (release func(), err error) {
	var listener net.Listener
	told := false
	err = await(ctx, "wait for the other up or down", 30*time.Minute, "", func(context.Context) error {
		listener, err = net.Listen("unix", "@erlang-operator-cluster")
		if errors.Is(err, syscall.EADDRINUSE) {
			if !told {
				say("another up or down is running on this machine: waiting for it")
				told = true
			}
			return err
		}
		if err != nil {
			return hopeless{err}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return func() { _ = listener.Close() }, nil
}

// owner is the checkout that has claimed the machine, if any.
func owner() string {
	record, _ := os.ReadFile(ownerRecord())
	return strings.TrimSpace(string(record))
}

// runs says whether any process of a checkout's cluster does.
func runs(checkout string) bool {
	return len((&cluster{checkout: checkout}).marked()) > 0
}

// checkOwner refuses to go on when a cluster of another checkout runs.
func (c *cluster) checkOwner() error {
	if other := owner(); other != "" && other != c.checkout && runs(other) {
		return fmt.Errorf("this machine runs the cluster of %s, and there can be only one; stop that one with: cd %s/hack && go run ./cluster down", other, other)
	}
	return nil
}

// claim makes the machine this checkout's, and cleans up after a cluster of
// another one that has died.
func (c *cluster) claim(ctx context.Context) error {
	if err := c.checkOwner(); err != nil {
		return err
	}
	if other := owner(); other != "" && other != c.checkout {
		say("        cleaning up after the dead cluster of %s", other)
		if err := (&cluster{checkout: other}).tearDown(ctx); err != nil {
			return err
		}
	}
	if err := writeWhole(ownerRecord(), []byte(c.checkout+"\n"), 0o644); err != nil {
		return err
	}
	return rememberSysctls()
}
