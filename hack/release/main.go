package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	onlyVerify := flag.Bool("verify", false, "check the pieces of a release that was made before")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, flag.Args(), *onlyVerify)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, onlyVerify bool) error {
	if len(args) != 1 {
		return errors.New("usage: release [-verify] VERSION, such as v0.1.0")
	}
	r, err := newRelease(ctx, args[0])
	if err != nil {
		return err
	}
	if !onlyVerify {
		if err := r.make(ctx); err != nil {
			return err
		}
	}
	if err := r.verify(); err != nil {
		return err
	}
	fmt.Println(r.image())
	return nil
}

// make makes the pieces, each of which may need those before it.
func (r *release) make(ctx context.Context) error {
	if err := r.pin(ctx); err != nil {
		return err
	}
	if err := r.checkSources(ctx); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(r.dist), os.MkdirAll(r.dist, 0o755)); err != nil {
		return fmt.Errorf("empty %s: %w", r.dist, err)
	}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"binaries", r.makeBinaries},
		{"licenses", r.makeLicenses},
		{"image", r.makeImage},
		{"manifests", r.makeManifests},
		{"chart", r.makeChart},
		{"SBOMs", r.makeSBOMs},
		{"notes", r.makeNotes},
		{"checksums", r.makeChecksums},
	} {
		fmt.Fprintln(os.Stderr, "release:", step.name)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("make the %s: %w", step.name, err)
		}
	}
	return nil
}
