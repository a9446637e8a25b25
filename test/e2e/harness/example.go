package harness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// StartExample applies docs/examples/NAME/cluster.yaml as it is, or with replacements, and
// waits until its three nodes are Ready.
func StartExample(t testing.TB, namespace, name, cluster string, replacements ...string) Cluster {
	t.Helper()
	OneMachine(t)
	manifest := string(Must(os.ReadFile("../../docs/examples/" + name + "/cluster.yaml"))(t))
	manifest = strings.NewReplacer(replacements...).Replace(manifest)
	if err := kubectl.Apply(t.Context(), manifest, "-n", namespace); err != nil {
		t.Fatal(err)
	}
	c := Cluster{namespace, cluster}
	begun := time.Now()
	c.AwaitReady(t, 3)
	t.Logf("Ready after %s", time.Since(begun).Round(time.Second))
	return c
}

// Exec runs a command in the first container of a member.
func (c Cluster) Exec(ctx context.Context, ordinal int, command ...string) (string, error) {
	return c.ExecWith(ctx, "", ordinal, command...)
}

// ExecWith is Exec with a standard input.
func (c Cluster) ExecWith(ctx context.Context, stdin string, ordinal int, command ...string) (string, error) {
	return kubectl.RunWith(ctx, stdin, append([]string{"exec", "-i", "-n", c.Namespace, c.Pod(ordinal), "--"}, command...)...)
}

// Type runs a command in the first container of a member with a terminal, types a line,
// waits until the screen shows a text, and leaves the shell as a person does.
func (c Cluster) Type(t testing.TB, ordinal int, line, want string, command ...string) {
	t.Helper()
	arguments := append([]string{"kubectl", "exec", "-it", "-n", c.Namespace, c.Pod(ordinal), "--"}, command...)
	terminal := exec.CommandContext(t.Context(), "script", "--quiet", "--return", "--command", strings.Join(arguments, " "), "/dev/null")
	keys, err := terminal.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var screen screen
	terminal.Stdout, terminal.Stderr = &screen, &screen
	if err := terminal.Start(); err != nil {
		t.Fatal(err)
	}
	await.Until(t, 2*time.Minute, "there is a prompt", func(context.Context) error { return screen.shows("> ") })
	press(t, keys, line+"\n")
	await.Until(t, 2*time.Minute, line+" is answered", func(context.Context) error { return screen.shows(want) })
	press(t, keys, "\a") // ^G opens the menu of jobs, where q quits, and the node stays.
	await.Until(t, 2*time.Minute, "there is the menu of jobs", func(context.Context) error { return screen.shows("-->") })
	press(t, keys, "q\n")
	if err := terminal.Wait(); err != nil {
		t.Errorf("%v: %v: %s", command, err, screen.text())
	}
}

func press(t testing.TB, keys io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(keys, text); err != nil {
		t.Fatal(err)
	}
}

// A screen is what a terminal has shown.
type screen struct {
	sync.Mutex
	shown bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.Lock()
	defer s.Unlock()
	return s.shown.Write(p)
}

func (s *screen) text() string {
	s.Lock()
	defer s.Unlock()
	return s.shown.String()
}

func (s *screen) shows(want string) error {
	if text := s.text(); !strings.Contains(text, want) {
		return fmt.Errorf("the screen shows %q", text)
	}
	return nil
}

// FollowLogs reads the logs of the pods until these end. It returns what was read by now,
// by pod.
func (c Cluster) FollowLogs(t testing.TB, members int) func() map[string]string {
	t.Helper()
	screens := map[string]*screen{}
	for ordinal := range members {
		shown := &screen{}
		screens[c.Pod(ordinal)] = shown
		follow := exec.CommandContext(t.Context(), "kubectl", "logs", "--follow", "-n", c.Namespace, c.Pod(ordinal))
		follow.Stdout, follow.Stderr = shown, shown
		if err := follow.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { _ = follow.Wait() }() // ends with the pod
	}
	return func() map[string]string {
		logs := map[string]string{}
		for pod, shown := range screens {
			logs[pod] = shown.text()
		}
		return logs
	}
}
