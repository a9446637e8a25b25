package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// checksums names the file with the digests of all others, in the format of sha256sum.
const checksums = "SHA256SUMS"

// sums returns the digests of the pieces, by their names.
func (r *release) sums() (map[string]string, error) {
	entries, err := os.ReadDir(r.dist)
	if err != nil {
		return nil, err
	}
	sums := map[string]string{}
	for _, entry := range entries {
		if entry.Name() == checksums {
			continue
		}
		if sums[entry.Name()], err = sumOf(filepath.Join(r.dist, entry.Name())); err != nil {
			return nil, err
		}
	}
	return sums, nil
}

func sumOf(file string) (string, error) {
	content, err := os.ReadFile(file)
	return fmt.Sprintf("%x", sha256.Sum256(content)), err
}

func (r *release) makeChecksums(context.Context) error {
	sums, err := r.sums()
	if err != nil {
		return err
	}
	var lines []string
	for piece, sum := range sums {
		lines = append(lines, sum+"  "+piece+"\n")
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[64:], b[64:]) })
	return os.WriteFile(filepath.Join(r.dist, checksums), []byte(strings.Join(lines, "")), 0o644)
}
