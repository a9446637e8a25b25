package cache

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// idle is how long an entry is not used until it may be removed: whoever got its path from
// Once may still read it, and holds no lock.
const idle = time.Hour

// Prune removes the entries that match a pattern, except so many that were used last, and
// those that may be in use. Their locks stay, because somebody may wait for them.
func Prune(pattern string, keep int) error {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	used := map[string]time.Time{}
	for _, path := range paths {
		if used[path], err = lastUse(path); err != nil {
			return err
		}
	}
	slices.SortFunc(paths, func(a, b string) int { return used[b].Compare(used[a]) })
	for _, path := range paths[min(keep, len(paths)):] {
		if err := removeIdle(path); err != nil {
			return err
		}
	}
	return nil
}

// removeIdle removes an entry. Once locks it and marks it as used before it looks whether it is there.
func removeIdle(path string) error {
	unlock, err := lock(path, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	if used, err := lastUse(path); err != nil || time.Since(used) < idle || !exists(path) {
		return err // Another has removed it, or uses it.
	}
	// It is absent at once, or complete.
	if err := os.Rename(path, path+".tmp"); err != nil {
		return err
	}
	return os.RemoveAll(path + ".tmp")
}

// lastUse is when Once returned a path; now when that is not known.
func lastUse(path string) (time.Time, error) {
	info, err := os.Stat(lockOf(path))
	if errors.Is(err, os.ErrNotExist) {
		return time.Now(), nil
	}
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

func markUsed(path string) error {
	now := time.Now()
	return os.Chtimes(lockOf(path), now, now)
}
