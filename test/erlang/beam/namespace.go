package beam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// prefix marks our network namespaces; the id of the run follows it.
const prefix = "beam-"

// run owns what this process leaves on the machine. Its directory is locked for
// as long as the process lives, which distinguishes running tests from dead ones.
type run struct {
	id   string
	dir  string
	lock *os.File
}

var (
	theRun   *run
	startRun = sync.OnceValue(func() (err error) {
		theRun, err = newRun()
		return err
	})
)

// runs holds a directory for each run.
func runs() string { return filepath.Join(os.TempDir(), "erlang-operator-beam") }

// Main runs the tests of a package and removes what is left of them, also when
// they are interrupted.
func Main(m *testing.M) int {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		endRun()
		os.Exit(1)
	}()
	defer endRun()
	return m.Run()
}

func endRun() {
	if theRun == nil {
		return
	}
	if err := removeRun(theRun.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func newRun() (*run, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("network namespaces need root: run the tests as root")
	}
	for _, tool := range []string{"ip", "mount", "chroot", "cp"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%s is missing: install iproute2, util-linux and coreutils", tool)
		}
	}
	if err := os.MkdirAll(runs(), 0o755); err != nil {
		return nil, err
	}
	// Another process must not take this run for dead before it has its lock.
	starting, err := lockFile(runs()+".lock", unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer func() { _ = starting.Close() }()
	if err := removeDeadRuns(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(runs(), "")
	if err != nil {
		return nil, err
	}
	lock, err := lockRun(dir)
	if err != nil {
		return nil, err
	}
	return &run{id: prefix + filepath.Base(dir), dir: dir, lock: lock}, nil
}

// lockRun fails at once if the run is alive.
func lockRun(dir string) (*os.File, error) {
	return lockFile(filepath.Join(dir, "lock"), unix.LOCK_EX|unix.LOCK_NB)
}

func lockFile(name string, how int) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		switch err := unix.Flock(int(f.Fd()), how); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		default:
			return f, nil
		}
	}
}

// removeDeadRuns removes what runs left that did not come to their end.
func removeDeadRuns() error {
	dirs, err := filepath.Glob(filepath.Join(runs(), "*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		lock, err := lockRun(dir)
		if err != nil {
			continue // alive
		}
		err = removeRun(dir)
		_ = lock.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func removeRun(dir string) error {
	names, err := filepath.Glob("/run/netns/" + prefix + filepath.Base(dir) + "-*")
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := removeNamespace(filepath.Base(name)); err != nil {
			return err
		}
	}
	return os.RemoveAll(dir)
}

// removeNamespace ends what still runs in a namespace of ours and deletes it.
func removeNamespace(name string) error {
	pids, err := ip("netns", "pids", name)
	if err != nil {
		return err
	}
	for _, pid := range strings.Fields(pids) {
		_ = exec.Command("kill", "-KILL", pid).Run() // gone already is fine
	}
	_, err = ip("netns", "delete", name)
	return err
}

// ip runs the command of that name.
func ip(args ...string) (string, error) {
	var stderr bytes.Buffer
	cmd := exec.Command("ip", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(out), nil
}

// check ends a test that cannot go on after an error.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must gives a value to a test that cannot go on without it.
func must[V any](value V, err error) func(testing.TB) V {
	return func(t testing.TB) V {
		t.Helper()
		check(t, err)
		return value
	}
}

func mustIP(t testing.TB, args ...string) {
	t.Helper()
	must(ip(args...))(t)
}

// The main goroutine keeps the main thread, so that no goroutine that enters a
// namespace gets it: the namespace of the main thread counts as the process's,
// and removeNamespace would end the test process.
func init() { runtime.LockOSThread() }

// inNamespace runs f on a thread that is in a network namespace. Sockets stay in
// the namespace they were made in, and child processes inherit it.
func inNamespace(name string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		// Not unlocked: the thread ends with the goroutine instead of going back
		// to the scheduler in a foreign namespace.
		runtime.LockOSThread()
		if err := enterNamespace(name); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// enterNamespace moves the calling thread.
func enterNamespace(name string) error {
	target, err := os.Open("/run/netns/" + name)
	if err != nil {
		return err
	}
	defer func() { _ = target.Close() }()
	if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", name, err)
	}
	return nil
}

// dialFrom returns a dial function for addresses, not names, that starts in a
// network namespace.
func dialFrom(namespace string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		err = inNamespace(namespace, func() (err error) {
			conn, err = new(net.Dialer).DialContext(ctx, network, address)
			return err
		})
		return conn, err
	}
}
