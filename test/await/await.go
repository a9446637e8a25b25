// Package await lets tests poll for what takes a while.
package await

import (
	"context"
	"testing"
	"time"
)

// Until calls look until it returns nil, and ends the test with its last error when
// the time is up. look must not end the test itself: what is not there yet is an error
// to wait on. TestPollsDoNotEndTheTest in the root package enforces that.
//
// It works in a cleanup function too, when the test's own context has ended.
func Until(t testing.TB, within time.Duration, what string, look func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), within)
	defer cancel()
	var last error
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		err := look(ctx)
		if err == nil {
			return
		}
		if last == nil || ctx.Err() == nil { // An error of the deadline itself explains nothing.
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s: %v", what, within, last)
		case <-time.After(pause):
		}
	}
}
