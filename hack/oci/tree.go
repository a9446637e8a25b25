package oci

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// epoch replaces all times, so that equal content gives equal bytes.
var epoch = time.Unix(0, 0)

// A Tree writes files into a tar stream, reproducibly.
type Tree struct {
	tar *tar.Writer
	// inodes remembers the first name of each file that has several.
	inodes map[uint64]string
}

func newTree(w io.Writer) *Tree {
	return &Tree{tar: tar.NewWriter(w), inodes: map[uint64]string{}}
}

// File adds one file, owned by root.
func (t *Tree) File(name, source string, mode int64) error {
	f, err := os.Open(source)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := t.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg,
		Name:     name,
		Mode:     mode,
		Size:     info.Size(),
		ModTime:  epoch,
	}); err != nil {
		return err
	}
	_, err = io.Copy(t.tar, f)
	return err
}

// Directory adds the content of root, in lexical order, with owners, modes and links,
// but without the content of the emptied directories, devices and sockets: a container
// gets its own.
func (t *Tree) Directory(root string, emptied ...string) error {
	return walk(root, func(name, path string, entry fs.DirEntry) error {
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if err := t.entry(name, path, info); err != nil {
			return err
		}
		if slices.Contains(emptied, name) {
			return fs.SkipDir
		}
		return nil
	})
}

// walk visits all below root, in lexical order, by the name that it has there and by its path.
func walk(root string, visit func(name, path string, entry fs.DirEntry) error) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		return visit(name, path, entry)
	})
}

// plain adds the directories and files of root, in lexical order, owned by root and with one
// mode each: those on disk depend on who writes them, and on the umask.
func (t *Tree) plain(root string) error {
	return walk(root, func(name, path string, entry fs.DirEntry) error {
		if entry.IsDir() {
			return t.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: epoch})
		}
		return t.File(name, path, 0o644)
	})
}

func (t *Tree) entry(name, path string, info fs.FileInfo) error {
	if info.Mode()&(fs.ModeDevice|fs.ModeSocket|fs.ModeNamedPipe) != 0 {
		return nil
	}
	var target string
	if info.Mode()&fs.ModeSymlink != 0 {
		var err error
		if target, err = os.Readlink(path); err != nil {
			return err
		}
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	header.Name = name
	if info.IsDir() {
		header.Name += "/"
	}
	header.ModTime, header.AccessTime, header.ChangeTime = epoch, time.Time{}, time.Time{}
	// The names of users are the host's; the numbers matter.
	header.Uname, header.Gname = "", ""

	if first := t.linked(name, info); first != "" {
		header.Typeflag, header.Linkname, header.Size = tar.TypeLink, first, 0
	}
	if err := t.tar.WriteHeader(header); err != nil {
		return fmt.Errorf("archive %s: %w", path, err)
	}
	if header.Typeflag != tar.TypeReg {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(t.tar, f)
	return err
}

// linked returns the name under which this file is already in the tree, or "".
func (t *Tree) linked(name string, info fs.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() || stat.Nlink < 2 {
		return ""
	}
	first := t.inodes[stat.Ino]
	if first == "" {
		t.inodes[stat.Ino] = name
	}
	return first
}

func (t *Tree) close() error { return t.tar.Close() }
