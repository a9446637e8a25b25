// Package retry repeats what needs the network: what fails may succeed a moment later, when a server answers again, or
// when a mirror is no longer in the middle of an update.
package retry

import (
	"context"
	"fmt"
	"os"
	"time"
)

// pauses are those between the tries, as in modules.sh.
var pauses = []time.Duration{5 * time.Second, 20 * time.Second, time.Minute}

// Do calls a function until it succeeds, four times at most. What failed before is printed to standard error.
func Do(ctx context.Context, what string, do func() error) error {
	for _, pause := range pauses {
		err := do()
		if err == nil || ctx.Err() != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s: trying again in %s: %v\n", what, pause, err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
	return do()
}
