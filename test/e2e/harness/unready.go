package harness

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// WatchUnready watches the pods of the members until stop is called, which requires that
// never more than one of them was missing, terminating or not Ready.
func (c Cluster) WatchUnready(t testing.TB, members int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	watch := exec.CommandContext(ctx, "kubectl", "get", "pods", "-n", c.Namespace, "--watch",
		"-l", "erlang-operator.dev/cluster="+c.Name+",erlang-operator.dev/component=node",
		"-o", `jsonpath={.metadata.name}|{.metadata.deletionTimestamp}|{.status.conditions[?(@.type=="Ready")].status}{"\n"}`)
	out := Must(watch.StdoutPipe())(t)
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	looks, ended := 0, make(chan struct{})
	var lapses []string
	go func() {
		defer close(ended)
		ready := map[string]bool{}
		for lines := bufio.NewScanner(out); lines.Scan(); looks++ {
			name, rest, _ := strings.Cut(lines.Text(), "|")
			ready[name] = rest == "|True"
			if unready := unready(ready); len(ready) == members && len(unready) > 1 {
				lapses = append(lapses, fmt.Sprintf("%s %v", time.Now().UTC().Format(time.TimeOnly), unready))
			}
		}
		_ = watch.Wait() // We have ended it.
	}()
	return func() {
		t.Helper()
		live := ctx.Err() == nil
		cancel()
		<-ended
		if !live || looks < members {
			t.Errorf("the watch of the pods has shown %d changes", looks)
		}
		for _, lapse := range lapses {
			t.Errorf("pods not Ready at a time: %s", lapse)
		}
	}
}

func unready(ready map[string]bool) (names []string) {
	for name, is := range ready {
		if !is {
			names = append(names, name)
		}
	}
	return names
}
