package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"

	"github.com/erlang-operator/erlang-operator/hack/apt"
	"github.com/erlang-operator/erlang-operator/hack/cache"
	"github.com/erlang-operator/erlang-operator/hack/oci"
	"github.com/erlang-operator/erlang-operator/hack/retry"
)

// suites maps each OTP release to the Debian suite that ships it.
var suites = map[string]string{
	"25": "bookworm",
	"27": "trixie",
	"29": "forky",
}

// packages are the parts of Erlang that distribution over TLS needs.
const packages = "erlang-base,erlang-crypto,erlang-public-key,erlang-asn1,erlang-ssl"

// unneeded are directories of a Debian installation that no container reads.
var unneeded = []string{
	"var/cache/apt",
	"var/cache/debconf",
	"var/lib/apt/lists",
	"var/log",
	"usr/share/doc",
	"usr/share/info",
	"usr/share/locale",
	"usr/share/man",
}

// emptied are directories that are empty in the image, because a user of the root file
// system may have mounted or left something there.
var emptied = []string{"dev", "proc", "root", "run", "sys", "tmp", "var/tmp"}

// The user that runs Erlang in the image.
const (
	uid        = 1000
	username   = "erlang"
	home       = "/home/" + username
	searchPath = "/usr/local/bin:/usr/bin:/bin"
)

func releases() string {
	return strings.Join(slices.Sorted(maps.Keys(suites)), "|")
}

// erlangImage returns the archive of the image of an OTP release.
func erlangImage(ctx context.Context, release string) (string, error) {
	rootfs, err := erlangRootfs(ctx, release)
	if err != nil {
		return "", err
	}
	cached, err := cache.Root()
	if err != nil {
		return "", err
	}
	// dpkg's record lists the packages and their versions.
	inputs, err := digestOf(filepath.Join(rootfs, "var/lib/dpkg/status"))
	if err != nil {
		return "", err
	}
	return archive(oci.Image{
		Reference: "docker.io/library/erlang:" + release,
		Config: v1.Config{
			Cmd:        []string{"erl", "-noinput"},
			Env:        environment(home),
			User:       fmt.Sprintf("%d:%d", uid, uid),
			WorkingDir: home,
		},
		Inputs: inputs,
		Files:  func(t *oci.Tree) error { return t.Directory(rootfs, emptied...) },
	}, cached)
}

func environment(home string) []string {
	return []string{"PATH=" + searchPath, "HOME=" + home, "LANG=C.UTF-8"}
}

// erlangRootfs returns the directory of a Debian with an OTP release.
func erlangRootfs(ctx context.Context, release string) (string, error) {
	suite, known := suites[release]
	if !known {
		return "", fmt.Errorf("no Debian suite with OTP %s; choose from %s", release, releases())
	}
	cached, err := cache.Root()
	if err != nil {
		return "", err
	}
	rootfs := filepath.Join(cached, "erlang", release, "rootfs")
	err = cache.Once(rootfs, func(tmp string) error {
		if err := ensureDebootstrap(ctx); err != nil {
			return err
		}
		progress("Installing Debian %s with Erlang/OTP %s: about a minute", suite, release)
		if err := debootstrap(ctx, suite, tmp, "--include="+packages); err != nil {
			return err
		}
		if err := trim(tmp); err != nil {
			return err
		}
		if err := addUser(tmp); err != nil {
			return err
		}
		return checkErlang(ctx, tmp, release)
	})
	return rootfs, err
}

// debootstrap installs a suite into dir, with retries: it ends at the first file that it cannot download.
func debootstrap(ctx context.Context, suite, dir string, options ...string) error {
	return retry.Do(ctx, "install Debian "+suite, func() error {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		return debootstrapOnce(ctx, suite, dir, options...)
	})
}

// debootstrapOnce runs debootstrap in namespaces of its own, so that its children and its
// mounts end when it or this program is killed.
func debootstrapOnce(ctx context.Context, suite, dir string, options ...string) error {
	// The death signal is sent when the parent *thread* ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	log, err := os.Create(dir + ".log")
	if err != nil {
		return err
	}
	defer log.Close()
	// The script named sid installs all suites; naming it lets an older
	// debootstrap install a suite that it does not know. The empty argument before
	// it means the default mirror.
	arguments := append([]string{"--variant=minbase"}, options...)
	cmd := exec.CommandContext(ctx, "debootstrap", append(arguments, suite, dir, "", "sid")...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("install Debian %s with debootstrap: %w; end of its log:\n%s", suite, err, lastLines(log.Name(), 5))
	}
	return os.Remove(log.Name())
}

// lastLines returns the end of a log, where the reason is.
func lastLines(name string, n int) string {
	content, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// trim empties the directories that no container reads.
func trim(rootfs string) error {
	for _, dir := range unneeded {
		dir = filepath.Join(rootfs, dir)
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// addUser gives the image's user a name and a writable home, where the BEAM stores its
// cookie.
func addUser(rootfs string) error {
	if err := appendTo(filepath.Join(rootfs, "etc/passwd"),
		fmt.Sprintf("%s:x:%d:%d::%s:/bin/sh\n", username, uid, uid, home)); err != nil {
		return err
	}
	if err := appendTo(filepath.Join(rootfs, "etc/group"),
		fmt.Sprintf("%s:x:%d:\n", username, uid)); err != nil {
		return err
	}
	dir := filepath.Join(rootfs, home)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return os.Chown(dir, uid, uid)
}

func appendTo(name, line string) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(line); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// checkErlang starts Erlang in the root file system as the image's user, with the
// applications for TLS, and checks its release.
func checkErlang(ctx context.Context, rootfs, release string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	const program = `[{ok, _} = application:ensure_all_started(A) || A <- [crypto, public_key, ssl]],
		io:format("~s", [erlang:system_info(otp_release)]), halt(0, [{flush, true}]).`
	cmd := exec.CommandContext(ctx, "/usr/bin/erl", "-noinput", "-eval", program)
	cmd.Dir = home
	cmd.Env = environment(home)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot:     rootfs,
		Credential: &syscall.Credential{Uid: uid, Gid: uid},
	}
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("start Erlang in %s: %w: %s%s", rootfs, err, out, &complaint)
	}
	if got := string(out); got != release {
		return fmt.Errorf("the Debian suite %s now has OTP %s, not %s: change the table of suites", suites[release], got, release)
	}
	return nil
}

// ensureDebootstrap installs debootstrap if it is missing.
func ensureDebootstrap(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("building an Erlang image needs root: debootstrap installs a Debian in a chroot")
	}
	if _, err := exec.LookPath("debootstrap"); err == nil {
		return nil
	}
	progress("Installing debootstrap with apt-get")
	return apt.Install(ctx, "debootstrap")
}
