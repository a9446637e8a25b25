package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/erlang-operator/erlang-operator/hack/gobuild"
)

const (
	name   = "erlang-operator"
	source = "https://github.com/erlang-operator/erlang-operator"
)

// A release is a version of the operator, and what it is made of.
type release struct {
	version string
	// commit is what is checked out, and committed its time: that of all files.
	commit    string
	committed time.Time
	// root is the top of the repository, and dist where the pieces are.
	root, dist string
	// digest is that of the image's index, once it is made.
	digest string
	// contained are the dependencies of the binaries, once they are known.
	contained []dependency
}

var semantic = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

func newRelease(ctx context.Context, version string) (*release, error) {
	if !semantic.MatchString(version) {
		return nil, fmt.Errorf("%q is no version: it must be like v0.1.0 or v0.1.0-rc.1", version)
	}
	root, err := output(ctx, ".", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, err
	}
	described, err := output(ctx, root, "git", "log", "-1", "--format=%H %cI")
	if err != nil {
		return nil, err
	}
	commit, at, _ := strings.Cut(described, " ")
	committed, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return nil, fmt.Errorf("read the time of commit %s: %w", commit, err)
	}
	return &release{version: version, commit: commit, committed: committed.UTC(), root: root, dist: filepath.Join(root, "dist")}, nil
}

// checkSources refuses to make a release of anything but a commit, or without notes.
func (r *release) checkSources(ctx context.Context) error {
	changed, err := output(ctx, r.root, "git", "status", "--porcelain")
	if err != nil {
		return err
	}
	if changed != "" {
		return fmt.Errorf("commit or remove these first, because a release is made of a commit:\n%s", changed)
	}
	_, err = r.notes()
	return err
}

// tag is the name of the image by its version, and image the one by its digest, which
// nobody can publish anything else under.
func (r *release) tag() string   { return gobuild.Repository + ":" + r.version }
func (r *release) image() string { return r.tag() + "@" + r.digest }

// path is that of a piece whose name has the version.
func (r *release) path(piece string) string {
	return filepath.Join(r.dist, name+"-"+r.version+"-"+piece)
}

// output runs a command and returns what it prints, without the last newline.
func output(ctx context.Context, dir, command string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.Dir = dir
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, complaint.String())
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

// notes returns the section of the version in CHANGELOG.md; a release candidate has that of
// its release.
func (r *release) notes() (string, error) {
	changes, err := os.ReadFile(filepath.Join(r.root, "CHANGELOG.md"))
	if err != nil {
		return "", err
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(r.version, "v"), "-")
	_, section, found := strings.Cut(string(changes), "\n## ["+version+"]")
	if !found {
		return "", fmt.Errorf("CHANGELOG.md has no section [%s]: move what is under Unreleased there", version)
	}
	_, section, _ = strings.Cut(section, "\n") // the date
	section, _, _ = strings.Cut(section, "\n## ")
	if section, _, _ = strings.Cut(section, "\n["); strings.TrimSpace(section) == "" {
		return "", errors.New("the section [" + version + "] of CHANGELOG.md is empty")
	}
	return strings.ReplaceAll(strings.TrimSpace(section), "](docs/", "]("+source+"/blob/"+r.version+"/docs/") + "\n", nil
}

func (r *release) makeNotes(context.Context) error {
	notes, err := r.notes()
	if err != nil {
		return err
	}
	notes += fmt.Sprintf("\nThe image is `%s`, for linux/amd64 and linux/arm64.\n", r.image())
	return os.WriteFile(filepath.Join(r.dist, "NOTES.md"), []byte(notes), 0o644)
}
