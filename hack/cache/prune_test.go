package cache

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// entry makes an entry that was used so long ago.
func entry(t *testing.T, path string, ago time.Duration) {
	t.Helper()
	if err := Once(path, func(tmp string) error { return os.MkdirAll(filepath.Join(tmp, "deep"), 0o755) }); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-ago)
	if err := os.Chtimes(lockOf(path), at, at); err != nil {
		t.Fatal(err)
	}
}

func TestPruneKeepsWhatMayBeUsed(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name, "rootfs") }
	for name, ago := range map[string]time.Duration{"oldest": 9 * time.Hour, "locked": 8 * time.Hour, "used again": 7 * time.Hour,
		"old": 6 * time.Hour, "newer": 2 * time.Hour, "just now": time.Minute, "a moment ago": 2 * time.Minute} {
		entry(t, path(name), ago)
	}
	unlock, err := lock(path("locked"), syscall.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if err := Once(path("used again"), func(string) error { t.Error("it is made again"); return nil }); err != nil {
		t.Fatal(err)
	}
	pruned := func(keep int, want ...string) {
		t.Helper()
		if err := Prune(path("*"), keep); err != nil {
			t.Fatal(err)
		}
		there, _ := filepath.Glob(path("*"))
		for i := range there {
			there[i] = filepath.Base(filepath.Dir(there[i]))
		}
		if slices.Sort(want); !slices.Equal(there, want) {
			t.Errorf("with %d to keep there are %q, want %q", keep, there, want)
		}
	}
	pruned(7, "a moment ago", "just now", "locked", "newer", "old", "oldest", "used again")
	pruned(4, "a moment ago", "just now", "locked", "newer", "used again")
	pruned(0, "a moment ago", "just now", "locked", "used again")

	entry(t, path("oldest"), 0) // What was removed is made again.
	pruned(0, "a moment ago", "just now", "locked", "oldest", "used again")
}

// Two that remove the same entries at once both succeed.
func TestConcurrentPrunes(t *testing.T) {
	dir := t.TempDir()
	for i := range 100 {
		entry(t, filepath.Join(dir, fmt.Sprint(i), "rootfs"), 5*time.Hour)
	}
	var pruning sync.WaitGroup
	for range 4 {
		pruning.Go(func() {
			if err := Prune(filepath.Join(dir, "*", "rootfs"), 2); err != nil {
				t.Error(err)
			}
		})
	}
	pruning.Wait()
}
