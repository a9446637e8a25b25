package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// A step is one thing that up does, and says that it does.
type step struct {
	title string
	do    func(context.Context) error
}

// inOrder runs the steps, one line each, and stops at the first that fails.
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

// say writes to standard error: standard output is for answers that scripts
// read.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// sayWhileWaiting repeats a line until stopped, so that nobody takes a long
// build for a hung one.
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

// await asks again and again until observe returns nil. When the time is up,
// or observe says that there is nothing left to wait for, the error is the
// last observation and the end of the log that explains it.
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
		var final hopeless
		if errors.As(last, &final) {
			return fmt.Errorf("%s: %w%s", what, last, logTail(log))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: gave up after %s: %w%s", what, limit, errors.Join(last, context.Cause(ctx)), logTail(log))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// hopeless is an observation that no waiting will change.
type hopeless struct{ error }

func (h hopeless) Unwrap() error { return h.error }

// logTail is the end of a log, for an error message.
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
