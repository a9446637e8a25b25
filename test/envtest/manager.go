package envtest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A manager is a process of the operator's program, with the permissions of config/rbac.
type manager struct {
	command *exec.Cmd
	log     string
	ended   chan error
}

var managers atomic.Int32

// startManager runs the manager until the test ends.
func startManager(t *testing.T) *manager {
	t.Helper()
	return startManagerWith(t, managerKubeconfig(t))
}

func managerKubeconfig(t *testing.T) string {
	t.Helper()
	kubeconfig := must(kubeconfigOf(managerAccount, "system:serviceaccounts", "system:serviceaccounts:erlang-operator-system"))(t)
	return kubeconfig
}

// startManagerWith runs the manager on the Kubernetes of a kubeconfig, with more flags.
func startManagerWith(t *testing.T, kubeconfig string, flags ...string) *manager {
	t.Helper()
	return launchManager(t, kubeconfig, nil, append(flags, "--probe-image=example.com/erlang-operator:test")...)
}

func launchManager(t *testing.T, kubeconfig string, environment []string, flags ...string) *manager {
	t.Helper()
	m := &manager{log: filepath.Join(scratch, fmt.Sprintf("manager-%d.log", managers.Add(1))), ended: make(chan error, 1)}
	file := must(os.Create(m.log))(t)
	defer file.Close()
	m.command = exec.Command(operatorProgram, append([]string{"manager",
		"--leader-elect=false", "--metrics-bind-address=0", "--health-probe-bind-address=0"}, append(identityFlags(t), flags...)...)...)
	m.command.Env = append(append(os.Environ(), "KUBECONFIG="+kubeconfig), environment...)
	m.command.Stdout, m.command.Stderr = file, file
	m.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := m.command.Start(); err != nil {
		t.Fatalf("start the manager: %v", err)
	}
	go func() { m.ended <- m.command.Wait() }()
	t.Cleanup(func() {
		m.stop(t)
		if t.Failed() {
			t.Logf("the manager's log:\n%s", tail(m.log, 60))
		}
	})
	return m
}

// stop ends the manager as Kubernetes does.
func (m *manager) stop(t *testing.T) {
	t.Helper()
	if m.ended == nil {
		return
	}
	_ = m.command.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-m.ended:
		if err != nil {
			t.Errorf("the manager failed: %v\n%s", err, tail(m.log, 20))
		}
	case <-time.After(30 * time.Second):
		_ = m.command.Process.Kill()
		t.Errorf("the manager did not end within 30 s of SIGTERM")
	}
	m.ended = nil
}

// kill ends the manager without a chance to finish anything.
func (m *manager) kill(t *testing.T) {
	t.Helper()
	_ = m.command.Process.Kill()
	if err := <-m.ended; err == nil {
		t.Error("the manager had ended before it was killed")
	}
	m.ended = nil
}

func tail(file string, lines int) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(string(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// A request is one line of the API server's audit log.
type request struct {
	Verb           string
	RequestURI     string
	User           struct{ Username string }
	ObjectRef      struct{ Resource, Namespace, Name, Subresource string }
	ResponseStatus struct{ Code int }
}

func (r request) String() string {
	return fmt.Sprintf("%s %s (%d)", r.Verb, r.RequestURI, r.ResponseStatus.Code)
}

// A requestLog reads what a user requests of the API server from now on, except watches.
type requestLog struct {
	user  string
	file  *os.File
	lines *bufio.Reader
	rest  []byte // of a line that is still being written
	begun bool   // whether the line is over that was the last at the start, and may have been incomplete
}

func requestsOf(t *testing.T, user string) *requestLog {
	t.Helper()
	file, err := os.Open(auditLog)
	if err == nil {
		_, err = file.Seek(-1, io.SeekEnd)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return &requestLog{user: user, file: file, lines: bufio.NewReader(file)}
}

// next are the requests since the last call.
func (l *requestLog) next() (requests []request, err error) {
	for {
		line, err := l.lines.ReadBytes('\n')
		l.rest = append(l.rest, line...)
		if errors.Is(err, io.EOF) {
			return requests, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		text := l.rest
		l.rest = nil
		if !l.begun {
			l.begun = true
			continue
		}
		var r request
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		if r.User.Username == l.user && r.Verb != "watch" {
			requests = append(requests, r)
		}
	}
}
