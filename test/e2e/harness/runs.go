package harness

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// Runs are the pods that members have had, and when the container of each was first reported to run,
// and again after each restart.
type Runs struct {
	mutex sync.Mutex
	pods  map[string]map[string]bool // UIDs by name
	since map[string]time.Time       // by name, UID and number of restarts
}

// WatchRuns watches the pods of the members until the test ends.
func (c Cluster) WatchRuns(t testing.TB) *Runs {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	watch := exec.CommandContext(ctx, "kubectl", "get", "pods", "-n", c.Namespace, "--watch",
		"-l", "erlang-operator.dev/cluster="+c.Name+",erlang-operator.dev/component=node",
		"-o", `jsonpath={.metadata.name} {.metadata.uid} {.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].state.running.startedAt}{"\n"}`)
	out := Must(watch.StdoutPipe())(t)
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	runs, ended := &Runs{pods: map[string]map[string]bool{}, since: map[string]time.Time{}}, make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			runs.add(strings.Fields(lines.Text()), time.Now())
		}
		_ = watch.Wait() // We have ended it.
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return runs
}

func (r *Runs) add(words []string, now time.Time) {
	if len(words) < 2 {
		return // cut off
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.pods[words[0]] == nil {
		r.pods[words[0]] = map[string]bool{}
	}
	r.pods[words[0]][words[1]] = true
	if len(words) != 4 { // It does not run.
		return
	}
	if run := strings.Join(words[:3], " "); r.since[run].IsZero() {
		r.since[run] = now
	}
}

// Pods is how many pods of a name there were.
func (r *Runs) Pods(name string) int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return len(r.pods[name])
}

// After is when a pod was reported to run that has started, or restarted, since a moment.
func (r *Runs) After(pod string, moment time.Time) (time.Time, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for run, since := range r.since {
		if strings.HasPrefix(run, pod+" ") && since.After(moment) {
			return since, nil
		}
	}
	return time.Time{}, fmt.Errorf("pod %s has not started since %s", pod, moment.Format(time.TimeOnly))
}
