package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// output runs a program and returns its standard output. The error includes its
// standard error.
func output(ctx context.Context, args ...string) (string, error) {
	return outputOf(exec.CommandContext(ctx, args[0], args[1:]...))
}

func outputOf(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// each runs command lines one after the other.
func each(ctx context.Context, commands ...string) error {
	for _, line := range commands {
		if _, err := output(ctx, strings.Fields(line)...); err != nil {
			return err
		}
	}
	return nil
}
