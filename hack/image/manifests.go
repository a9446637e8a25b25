package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/erlang-operator/erlang-operator/hack/cache"
)

// certManagerManifests returns one file with all objects of cert-manager: its CRDs, from
// the module of the release that the image runs, and the objects in
// hack/certmanager/manifests.
func certManagerManifests(ctx context.Context) (string, error) {
	root, err := repository()
	if err != nil {
		return "", err
	}
	cached, err := cache.Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "hack", "certmanager")
	objects, err := documents(filepath.Join(dir, "manifests"))
	if err != nil {
		return "", err
	}
	release, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256(slices.Concat(release, objects))
	path := filepath.Join(cached, "manifests", fmt.Sprintf("cert-manager-%x.yaml", digest[:6]))
	err = cache.Once(path, func(tmp string) error {
		progress("Collecting the manifests of cert-manager")
		module, err := moduleDir(ctx, dir, "github.com/cert-manager/cert-manager")
		if err != nil {
			return err
		}
		crds, err := documents(filepath.Join(module, "deploy", "crds"))
		if err != nil {
			return err
		}
		return os.WriteFile(tmp, slices.Concat(crds, objects), 0o644)
	})
	return path, err
}

// moduleDir returns the directory in the module cache of a module that dir requires.
func moduleDir(ctx context.Context, dir, module string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("download %s for %s: %w", module, dir, err)
	}
	var downloaded struct{ Dir string }
	if err := json.Unmarshal(out, &downloaded); err != nil {
		return "", fmt.Errorf("read the directory of %s: %w", module, err)
	}
	return downloaded.Dir, nil
}

// documents joins the YAML files of a directory.
func documents(dir string) ([]byte, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no YAML files in %s", dir)
	}
	var joined bytes.Buffer
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		joined.WriteString("---\n")
		joined.Write(bytes.TrimPrefix(content, []byte("---\n")))
		joined.WriteString("\n")
	}
	return joined.Bytes(), nil
}
