//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
)

// While the cookie rotates, commands that are started beside a node get into it, but for
// those that are under way while its file and its cookie change: for 3 s at most.
func TestVisitorsDuringRotation(t *testing.T) {
	t.Parallel()
	const members = 3
	c := harness.StartMixed(t, "chat", members)
	pods := harness.Must(c.Restarts(t.Context(), members))(t)
	visitors := c.StartVisitors(t, members)
	for rotation := range 3 {
		c.RotateCookie(t, members, fmt.Sprint(rotation))
		visitors.AwaitAnother(t, members)
	}
	visitors.CheckFailures(t, 3*time.Second)
	c.CheckRestarts(t, members, pods)
}
