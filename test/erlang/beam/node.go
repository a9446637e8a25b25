package beam

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/erlang-operator/erlang-operator/erldist"
)

// Releases are the OTP releases that tests run against.
var Releases = []string{"25", "27", "29"}

// Options are how a node is started. The zero value of all but OTP and Cookie is
// the ordinary case.
type Options struct {
	// OTP is one of Releases.
	OTP string
	// Name is the left half of the node's name; default "chat".
	Name string
	// Cookie is given with -nocookie -setcookie Node Cookie.
	Cookie string
	// TLS makes distribution run over TLS.
	TLS *TLS
	// FixedPort makes the node listen on this port and do without EPMD. Otherwise
	// it registers with the host's EPMD, see Host.EPMD, and listens on a port from
	// 9100 to 9109.
	FixedPort uint16
	// IPv6 makes distribution run over IPv6, and the host's name resolve to its
	// IPv6 address.
	IPv6 bool
	// Files are written before the node starts, see Node.WriteFile.
	Files map[string][]byte
	// Env is added to the node's environment: NAME=value.
	Env []string
	// Bare leaves the flags out that the other options stand for: name, cookie,
	// ports and TLS come by Env or Args.
	Bare bool
	// ShortName starts the node with -sname.
	ShortName bool
	// Args follow on the command line.
	Args []string
	// Under is a program with its arguments that starts the node's, which follow.
	Under []string
}

// TLS is what a node needs for distribution over TLS. Files with nil content are
// not written.
type TLS struct {
	Identity Identity
	// CAs is the PEM of the authorities that the node trusts.
	CAs []byte
	// OptionsFile replaces DefaultOptionsFile.
	OptionsFile string
}

// DefaultOptionsFile is a TLS options file in which both sides verify their peer. In
// the node's file system, /mnt holds tls.crt, tls.key, ca.crt and this file,
// dist.conf.
const DefaultOptionsFile = `[{server,[{certfile,"/mnt/tls.crt"},{keyfile,"/mnt/tls.key"},{cacertfile,"/mnt/ca.crt"},
          {verify,verify_peer},{fail_if_no_peer_cert,true},{versions,['tlsv1.3']}]},
 {client,[{certfile,"/mnt/tls.crt"},{keyfile,"/mnt/tls.key"},{cacertfile,"/mnt/ca.crt"},
          {verify,verify_peer},{versions,['tlsv1.3']},
          {customize_hostname_check,[{match_fun,public_key:pkix_verify_hostname_match_fun(https)}]}]}].
`

// Node is a running Erlang node.
type Node struct {
	*process

	// Name is the node's full name.
	Name string
	// Host is where it runs.
	Host *Host

	options Options
	dir     string // mounted at /mnt
}

// upMark is what a node prints when it is up, and bootTime how long that takes at most, where many others boot.
const (
	upMark   = "beam: the node is up"
	bootTime = 5 * time.Minute
)

// Start starts a node and waits until it is up.
func (h *Host) Start(options Options) *Node {
	h.network.t.Helper()
	n := h.Launch(options)
	n.AwaitUp()
	return n
}

// AwaitUp waits until the node is up.
func (n *Node) AwaitUp() {
	t := n.Host.network.t
	t.Helper()
	if err := n.WaitLog(upMark, bootTime); err != nil {
		t.Fatalf("start %s on OTP %s: %v\n%s", n.Name, n.options.OTP, err, n.Log())
	}
}

// Launch starts a node without waiting, for nodes that are not to come up, or not
// alone.
func (h *Host) Launch(options Options) *Node {
	t := h.network.t
	t.Helper()
	if options.Name == "" {
		options.Name = "chat"
	}
	dir := must(os.MkdirTemp(h.network.dir, options.Name+"-"))(t)
	check(t, os.Chmod(dir, 0o755))
	n := &Node{Name: options.Name + "@" + h.Name, Host: h, options: options, dir: dir}
	if options.ShortName {
		label, _, _ := strings.Cut(h.Name, ".")
		n.Name = options.Name + "@" + label
	}
	if options.IPv6 && h.Address6 == "" {
		t.Fatal("this machine has no IPv6, which a node was to use")
	}
	if options.IPv6 {
		h.network.SetName(h.Name, h.Address6)
	}
	if options.TLS != nil {
		n.writeTLS()
	}
	for name, content := range options.Files {
		n.WriteFile(name, content)
	}
	n.process = h.run(options.OTP, dir, slices.Concat(options.Env, options.Under, []string{"erl"}, n.arguments())...)
	return n
}

// StartBeside starts erl with a node's identity beside the node, as kubectl exec does it,
// until the test ends.
func (n *Node) StartBeside(options Options) {
	t := n.Host.network.t
	t.Helper()
	beside := &Node{Name: n.Name, Host: n.Host, options: options}
	words := slices.Concat(n.Exec(), []string{"erl"}, beside.arguments())
	cmd, up := exec.Command(words[0], words[1:]...), newLog()
	cmd.Stdout, cmd.Stderr = up, up
	cmd.WaitDelay = 5 * time.Second
	check(t, cmd.Start())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() { n.Kill(); <-ended }) // with all processes of its namespace
	p := &process{t: t, log: up, ended: ended}
	if err := p.WaitLog(upMark, bootTime); err != nil {
		t.Fatalf("start a BEAM beside %s: %v\n%s", n.Name, err, up.String())
	}
}

func (n *Node) arguments() []string {
	o := n.options
	up := []string{"-eval", fmt.Sprintf("io:format(%q)", upMark+"\n")}
	if o.Bare {
		return slices.Concat([]string{"-noinput"}, o.Args, up)
	}
	args := []string{"-noinput", "-nocookie", "-setcookie", n.Name, o.Cookie}
	if o.ShortName {
		args = append(args, "-sname", n.Name)
	} else {
		args = append(args, "-name", n.Name)
	}
	args = append(args, "-start_epmd", "false")
	if o.FixedPort != 0 {
		args = append(args, "-erl_epmd_port", fmt.Sprint(o.FixedPort))
	} else {
		args = append(args, "-kernel", "inet_dist_listen_min", "9100", "-kernel", "inet_dist_listen_max", "9109")
	}
	if proto := o.proto(); proto != "inet_tcp" {
		args = append(args, "-proto_dist", proto)
	}
	if o.TLS != nil {
		args = append(args, "-ssl_dist_optfile", "/mnt/dist.conf")
	}
	return slices.Concat(args, o.Args, up)
}

func (o Options) proto() string {
	family, carrier := "inet", "tcp"
	if o.IPv6 {
		family = "inet6"
	}
	if o.TLS != nil {
		carrier = "tls"
	}
	return family + "_" + carrier
}

func (n *Node) writeTLS() {
	options := n.options.TLS.OptionsFile
	if options == "" {
		options = DefaultOptionsFile
	}
	n.WriteFile("tls.crt", n.options.TLS.Identity.CertPEM)
	n.WriteFile("tls.key", n.options.TLS.Identity.KeyPEM)
	n.WriteFile("ca.crt", n.options.TLS.CAs)
	n.WriteFile("dist.conf", []byte(options))
}

// WriteFile writes a file that the node sees in /mnt and in /run/erlang-operator;
// nil content removes it.
func (n *Node) WriteFile(name string, content []byte) {
	n.Host.network.t.Helper()
	path := filepath.Join(n.dir, name)
	check(n.Host.network.t, os.MkdirAll(filepath.Dir(path), 0o755))
	if content == nil {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			n.Host.network.t.Fatal(err)
		}
		return
	}
	check(n.Host.network.t, os.WriteFile(path, content, 0o755)) // Some are programs.
}

// Dialer returns a Dialer on the bridge that has the node's cookie and port, but not
// its TLS: that depends on who dials.
func (n *Node) Dialer() *erldist.Dialer {
	d := n.Host.network.Dialer()
	d.Cookie = erldist.NewCookie(n.options.Cookie)
	d.Port = n.options.FixedPort
	return d
}

// EPMD runs the EPMD of an OTP release on the host and waits until it answers.
func (h *Host) EPMD(otp string) *EPMD {
	t := h.network.t
	t.Helper()
	dir := must(os.MkdirTemp(h.network.dir, "epmd-"))(t)
	e := &EPMD{process: h.run(otp, dir, "epmd")}
	if err := h.waitForPort("4369", e.process); err != nil {
		t.Fatalf("start EPMD: %v\n%s", err, e.Log())
	}
	return e
}

// EPMD is a running Erlang port mapper.
type EPMD struct{ *process }

// rootfs finds the root file system of an OTP release.
func rootfs(t testing.TB, otp string) string {
	t.Helper()
	cache := os.Getenv("ERLANG_OPERATOR_CACHE")
	if cache == "" {
		base := must(os.UserCacheDir())(t) // $XDG_CACHE_HOME, else $HOME/.cache
		cache = filepath.Join(base, "erlang-operator")
	}
	root := filepath.Join(cache, "erlang", otp, "rootfs")
	if _, err := os.Stat(filepath.Join(root, "usr/bin/erl")); err != nil {
		t.Fatalf("no Erlang/OTP %s in %s; make it with: cd hack && go run ./image rootfs %s", otp, root, otp)
	}
	return root
}

// Exec is the command line, but for what to run, that runs something where the node runs
// and with the node's environment, as kubectl exec does it.
func (n *Node) Exec() []string {
	return slices.Concat([]string{"nsenter", "--target", fmt.Sprint(n.cmd.Process.Pid), "--mount", "--net", "--pid", "--root",
		"env", "--chdir=/", "-i"}, environment, n.options.Env)
}

// environment is what every program runs with.
var environment = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8", "ERL_CRASH_DUMP_SECONDS=0"}

// process is a running program of a root file system.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	log   *log
	ended chan struct{}
	once  sync.Once
}

// enter runs in mount and process namespaces of its own. It gives the program a root
// file system with an /etc of its own, since the real one is shared, and the
// node's directory as /mnt.
const enter = `set -e
root=$1 dir=$2 hosts=$3; shift 3
mount --make-rprivate /
cp -a "$root/etc" "$dir/.etc"
: > "$dir/.etc/hosts"
mount --bind "$dir/.etc" "$root/etc"
mount --bind "$hosts" "$root/etc/hosts"
mount --bind "$dir" "$root/mnt"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/run"
ln -s /mnt "$root/run/erlang-operator"
mount -t proc proc "$root/proc"
exec chroot "$root" /usr/bin/env -i "$@"
`

// run starts a program of an OTP release on the host. Variables of its environment
// may stand before it.
func (h *Host) run(otp, dir string, command ...string) *process {
	t := h.network.t
	t.Helper()
	p := &process{t: t, log: newLog(), ended: make(chan struct{})}
	enterArgs := append([]string{"-c", enter, "enter", rootfs(t, otp), dir, h.network.hostsFile()}, slices.Concat(environment, command)...)
	p.cmd = exec.Command("sh", enterArgs...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.WaitDelay = 5 * time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{
		// The program is the first process of its namespace: with it end all that
		// it has started.
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS,
		// The thread that starts it lives as long as it does, so this takes effect
		// when the test process dies, and not before.
		Pdeathsig: syscall.SIGKILL,
	}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // see inNamespace
		defer close(p.ended)
		err := enterNamespace(h.namespace)
		if err == nil {
			err = p.cmd.Start()
		}
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // the log says why it ended
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", command, err)
	}
	t.Cleanup(p.Kill)
	return p
}

// Kill ends the process and everything that it started, at once.
func (p *process) Kill() {
	p.once.Do(func() { _ = p.cmd.Process.Kill() })
	<-p.ended
}

// Freeze stops the process where it stands: what it listens on still accepts
// connections, without an answer.
func (p *process) Freeze() {
	check(p.t, p.cmd.Process.Signal(syscall.SIGSTOP))
}

// Thaw has the process go on.
func (p *process) Thaw() {
	check(p.t, p.cmd.Process.Signal(syscall.SIGCONT))
}

// CPU is how much processor time the process has taken.
func (p *process) CPU() time.Duration { return CPU(p.t, p.cmd.Process.Pid) }

// CPU is how much processor time the threads of a process have taken that still run.
func CPU(t testing.TB, pid int) (total time.Duration) {
	threads := must(filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)))(t)
	for _, thread := range threads {
		var nanoseconds int64
		if stat, err := os.ReadFile(thread); err == nil { // Else it has just ended.
			_, err = fmt.Sscan(string(stat), &nanoseconds)
			check(t, err)
		}
		total += time.Duration(nanoseconds)
	}
	return total
}

// Memory is how many bytes of its memory are the process's own, and in RAM.
func (p *process) Memory() int64 {
	statm := must(os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid)))(p.t)
	var size, resident, shared int64
	if _, err := fmt.Sscan(string(statm), &size, &resident, &shared); err != nil {
		p.t.Fatal(err)
	}
	return (resident - shared) * int64(os.Getpagesize())
}

// Ended is closed when the process has ended.
func (p *process) Ended() <-chan struct{} { return p.ended }

// Log returns what the process has printed so far.
func (p *process) Log() string { return p.log.String() }

// WaitLog waits until the process has printed a text.
func (p *process) WaitLog(text string, timeout time.Duration) error {
	return p.WaitLogFrom(0, text, timeout)
}

// WaitLogFrom is WaitLog for the part of the log that begins at an offset.
func (p *process) WaitLogFrom(offset int, text string, timeout time.Duration) error {
	limit := time.After(timeout)
	for {
		changed := p.log.Changed()
		if strings.Contains(p.Log()[offset:], text) {
			return nil
		}
		select {
		case <-changed:
		case <-limit:
			return fmt.Errorf("%q is not in the log after %s", text, timeout)
		case <-p.ended:
			if strings.Contains(p.Log()[offset:], text) {
				return nil
			}
			return fmt.Errorf("the process has ended without %q in its log", text)
		}
	}
}
