//go:build erlang

package probe

import (
	"maps"
	"os"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/erldist"
)

// A clock is how far that of a node is ahead of the others', as libfaketime writes it; empty
// for none. No namespace of Linux covers the time of day.
type clock string

// faketime is where Debian has the library that changes what a program takes for the time.
const faketime = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"

func (c clock) with(files map[string][]byte) map[string][]byte {
	if c != "" {
		library, _ := os.ReadFile(faketime) // The linker says if there is none.
		files = maps.Clone(files)
		files["faketime.so"] = library
	}
	return files
}

func (c clock) environment() []string {
	if c == "" {
		return nil
	}
	return []string{"LD_PRELOAD=/mnt/faketime.so", "FAKETIME=" + string(c), "FAKETIME_DONT_FAKE_MONOTONIC=1"}
}

// The clock of one node is ten minutes ahead: it is a member like the others, and renewals and
// a rotation of the CA, by an issuer whose clock is right, break no link.
func TestClockAhead(t *testing.T) {
	if _, err := os.Stat(faketime); err != nil {
		t.Skip("needs the Debian package libfaketime, which `make soak` installs")
	}
	r := startRotating(t, map[int]clock{1: "+10m"})
	now, _ := r.call(r.dial(r.nodes[1], cookie), "os", "system_time", erldist.Atom("second")).(erldist.Int)
	if ahead := time.Until(time.Unix(int64(now), 0)); ahead < 9*time.Minute || ahead > 11*time.Minute {
		t.Fatalf("the clock of the node is %s ahead", ahead)
	}
	certificatesChange(t, r)
}

// As TestClockAhead, of the probe's machine.
func TestClockOfTheProbeAhead(t *testing.T) {
	r := startRotating(t, nil)
	r.verifier.Now = func() time.Time { return time.Now().Add(10 * time.Minute) }
	certificatesChange(t, r)
}
