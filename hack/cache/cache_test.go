package cache

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

func TestOnceMakesAPathOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "made")
	var made atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := Once(path, func(tmp string) error {
				made.Add(1)
				return os.WriteFile(tmp, []byte("complete"), 0o644)
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := made.Load(); n != 1 {
		t.Errorf("made %d times, want once", n)
	}
	if got, _ := os.ReadFile(path); string(got) != "complete" {
		t.Errorf("content %q", got)
	}
}

func TestOnceForgetsAFailedAttempt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made")
	broken := errors.New("disk on fire")
	err := Once(path, func(tmp string) error {
		if err := os.MkdirAll(filepath.Join(tmp, "half"), 0o755); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatalf("error %v, want %v", err, broken)
	}
	if exists(path) {
		t.Fatal("a failed attempt left the path behind")
	}
	err = Once(path, func(tmp string) error {
		if exists(tmp) {
			t.Error("the second attempt found the remains of the first")
		}
		return os.Mkdir(tmp, 0o755)
	})
	if err != nil {
		t.Fatal(err)
	}
	if !exists(path) {
		t.Error("the second attempt made nothing")
	}
}

func TestRootIsChosenByTheEnvironment(t *testing.T) {
	t.Setenv("ERLANG_OPERATOR_CACHE", "/somewhere")
	if got, err := Root(); err != nil || got != "/somewhere" {
		t.Errorf("Root() = %q, %v", got, err)
	}
	t.Setenv("ERLANG_OPERATOR_CACHE", "")
	t.Setenv("XDG_CACHE_HOME", "/xdg")
	if got, err := Root(); err != nil || got != "/xdg/erlang-operator" {
		t.Errorf("Root() = %q, %v", got, err)
	}
}
