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

// takeTurns lets only one up or down at a time run on the machine. The lock is an
// abstract socket, which needs no file and ends with its process.
func takeTurns(ctx context.Context) (release func(), err error) {
	var listener net.Listener
	told := false
	err = await(ctx, "wait for the other up or down", 30*time.Minute, "", func(context.Context) error {
		listener, err = net.Listen("unix", "@erlang-operator-cluster")
		if errors.Is(err, syscall.EADDRINUSE) {
			if !told {
				say("waiting for another up or down on this machine")
				told = true
			}
			return err
		}
		if err != nil {
			return permanentError{err}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return func() { _ = listener.Close() }, nil
}

// owner returns the checkout that has claimed the machine, if any.
func owner() string {
	record, _ := os.ReadFile(ownerRecord())
	return strings.TrimSpace(string(record))
}

// runs reports whether a process of a checkout's cluster is running.
func runs(checkout string) bool {
	return len((&cluster{checkout: checkout}).marked()) > 0
}

// checkOwner returns an error if a cluster of another checkout is running.
func (c *cluster) checkOwner() error {
	if other := owner(); other != "" && other != c.checkout && runs(other) {
		return fmt.Errorf("this machine runs the cluster of %s, and only one can run; stop it with: cd %s/hack && go run ./cluster down", other, other)
	}
	return nil
}

// claim records this checkout as the owner of the machine, and removes the remains of
// another checkout's cluster.
func (c *cluster) claim(ctx context.Context) error {
	if err := c.checkOwner(); err != nil {
		return err
	}
	if other := owner(); other != "" && other != c.checkout {
		say("        removing the remains of the cluster of %s", other)
		if err := (&cluster{checkout: other}).tearDown(ctx); err != nil {
			return err
		}
	}
	if err := writeWhole(ownerRecord(), []byte(c.checkout+"\n"), 0o644); err != nil {
		return err
	}
	return rememberSysctls()
}
