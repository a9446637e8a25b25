package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// A step is a part of up with its own line of progress.
type step struct {
	title string
	do    func(context.Context) error
}

// inOrder runs the steps, prints a line for each, and stops at the first that fails.
func inOrder(ctx context.Context, steps []step) error {
	started := time.Now()
	for i, s := range steps {
		say("[%*d/%d] %4.0fs  %s", len(fmt.Sprint(len(steps))), i+1, len(steps), time.Since(started).Seconds(), s.title)
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.title, err)
		}
	}
	say("done in %.0fs", time.Since(started).Seconds())
	return nil
}

// say prints a line of progress to standard error: standard output is for scripts.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// sayWhileWaiting repeats a line until stopped, to distinguish a long build from one that
// hangs.
func sayWhileWaiting(what string) (stop func()) {
	started := time.Now()
	done := make(chan struct{})
	ticker := time.NewTicker(15 * time.Second)
	go func() {
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				say("        … %s (%.0fs)", what, time.Since(started).Seconds())
			}
		}
	}()
	return func() { close(done) }
}

// await repeats observe until it returns nil. At the deadline, or as soon as observe
// returns a permanentError, the error is the last one of observe with the end of the
// log.
func await(ctx context.Context, what string, limit time.Duration, log string, observe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last error
	for {
		if err := observe(ctx); err == nil {
			return nil
		} else if ctx.Err() == nil {
			last = err
		}
		var final permanentError
		if errors.As(last, &final) {
			return fmt.Errorf("%s: %w%s", what, last, logTail(log))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: timed out after %s: %w%s", what, limit, errors.Join(last, context.Cause(ctx)), logTail(log))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// permanentError is an error that waiting does not change.
type permanentError struct{ error }

func (h permanentError) Unwrap() error { return h.error }

// logTail returns the end of a log, for an error message.
func logTail(file string) string {
	if file == "" {
		return ""
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	lines = lines[max(0, len(lines)-15):]
	return fmt.Sprintf("\nthe end of %s:\n  %s", file, strings.Join(lines, "\n  "))
}
