package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Root is the directory that holds everything cached:
// $ERLANG_OPERATOR_CACHE, or else erlang-operator in the user's cache
// directory.
func Root() (string, error) {
	if dir := os.Getenv("ERLANG_OPERATOR_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w; set ERLANG_OPERATOR_CACHE to a directory of your choice", err)
	}
	return filepath.Join(dir, "erlang-operator"), nil
}

// Once creates path unless it exists. The function creates a file or a directory at
// tmp, a name beside path that does not exist yet; if it returns no error, tmp is
// renamed to path. So path is either absent or complete, even after an interruption.
//
// Of several processes that want the same path, the first creates it while the others
// wait.
func Once(path string, create func(tmp string) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	unlock, err := lock(path, syscall.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	if exists(path) {
		return markUsed(path)
	}

	// Under the lock, anything at tmp was left by an interrupted process.
	tmp := path + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return fmt.Errorf("remove the remains of an interrupted build: %w", err)
	}
	if err := create(tmp); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return markUsed(path)
}

// lock locks a path, by the file beside it. The kernel releases the lock when the
// process ends, also when it is killed.
func lock(path string, how int) (unlock func(), err error) {
	f, err := os.OpenFile(lockOf(path), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}

func lockOf(path string) string { return path + ".lock" }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
