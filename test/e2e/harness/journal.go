package harness

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/journal"
)

// JournalTemplate is the pod template of nodes that print each link that comes and goes, with
// the reason, while each calls all that it is linked to all the time. More are further
// expressions that they evaluate. On a busy machine a node may need long to close its links.
func JournalTemplate(otp, more string) string {
	return fmt.Sprintf(`{"spec":{"terminationGracePeriodSeconds":30,"containers":[{"name":"node","image":"erlang:%s","command":["erl","-noinput","-eval",%q]}]}}`,
		otp, strings.Join(strings.Fields(journal.Expressions+cmp.Or(more, "ok.")), " "))
}

// Journal is what the members have printed.
type Journal struct {
	cluster Cluster
	members int
	stop    context.CancelFunc
	ended   sync.WaitGroup

	mu     sync.Mutex
	lines  map[string]bool
	events []journal.Event
}

// Follow reads what the members of a JournalTemplate print until the test ends.
func (c Cluster) Follow(t testing.TB, members int) *Journal {
	ctx, stop := context.WithCancel(t.Context())
	j := &Journal{cluster: c, members: members, stop: stop, lines: map[string]bool{}}
	for ordinal := range members {
		j.ended.Go(func() {
			for ctx.Err() == nil {
				j.follow(ctx, ordinal)
				select {
				case <-ctx.Done():
				case <-time.After(time.Second): // There is no pod of that name, or another one will follow. A kubectl takes CPU from the nodes.
				}
			}
		})
	}
	return j
}

func (j *Journal) follow(ctx context.Context, ordinal int) {
	logs := exec.CommandContext(ctx, "kubectl", "logs", "--follow", "-n", j.cluster.Namespace, j.cluster.Pod(ordinal), "-c", "node")
	out, err := logs.StdoutPipe()
	if err != nil || logs.Start() != nil {
		return
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		j.add(ordinal, lines.Text())
	}
	_ = logs.Wait() // The pod has ended, or the test.
}

// add takes a line once: a pod that is followed again repeats what it printed.
func (j *Journal) add(ordinal int, line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	event, ok := journal.Parse(ordinal, line)
	if key := fmt.Sprint(ordinal, line); ok && !j.lines[key] {
		j.lines[key] = true
		j.events = append(j.events, event)
	}
}

// Events are those so far, by time.
func (j *Journal) Events() []journal.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	events := slices.Clone(j.events)
	journal.Sort(events)
	return events
}

// EndWhole waits until the journal has the first members linked to each other, because a log is read later
// than it is written, and ends it.
func (j *Journal) EndWhole(t testing.TB, members int) []journal.Event {
	t.Helper()
	await.Until(t, 2*time.Minute, "the members are linked by what they print", func(context.Context) error {
		if over := journal.Over(j.Events(), members); len(over) == 0 || over[len(over)-1].Members < members {
			return fmt.Errorf("the last of %v", over)
		}
		return nil
	})
	return j.End()
}

// End stops reading, and returns what was read.
func (j *Journal) End() []journal.Event {
	j.stop()
	j.ended.Wait()
	return j.Events()
}
