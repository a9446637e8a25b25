package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/erlang-operator/erlang-operator/hack/gobuild"
)

// installations are the files for `kubectl apply`, and the directories they are built from.
var installations = map[string]string{
	"install.yaml":            "config/default",
	"install-namespaced.yaml": "config/namespaced",
	"install-webhook.yaml":    "config/webhook",
}

// makeChart packages the chart, which names the image by its digest as well.
func (r *release) makeChart(ctx context.Context) error {
	_, err := output(ctx, filepath.Join(r.root, "hack"), "go", "run", "./chart", "-version", r.version, "-digest", r.digest, "-output", r.dist)
	return err
}

// chart is the package of the chart, in which helm wants the version without the v.
func (r *release) chart() string {
	return filepath.Join(r.dist, name+"-"+strings.TrimPrefix(r.version, "v")+".tgz")
}

// makeManifests builds the files with the image by its digest.
func (r *release) makeManifests(ctx context.Context) error {
	for file, dir := range installations {
		objects, err := output(ctx, r.root, "go", "tool", "-modfile=hack/tools/go.mod", "kustomize", "build", dir)
		if err != nil {
			return err
		}
		const development = "image: " + gobuild.Repository + ":dev\n"
		if !strings.Contains(objects, development) {
			return errors.New(dir + " does not have the line " + development)
		}
		objects = strings.ReplaceAll(objects, development, "image: "+r.image()+"\n")
		header := fmt.Sprintf("# erlang-operator %s: %s\n", r.version, source)
		if err := os.WriteFile(filepath.Join(r.dist, file), []byte(header+objects+"\n"), 0o644); err != nil {
			return err
		}
	}
	return nil
}
