package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	classifier "github.com/google/licenseclassifier/v2"
	"github.com/google/licenseclassifier/v2/assets"
)

// thirdParty is the file with the licenses of all that the binaries contain.
const thirdParty = "THIRD_PARTY_LICENSES.txt"

// permitted are the licenses whose terms a binary meets that comes with their texts.
var permitted = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"}

// A dependency is a module that is a part of a binary, or Go itself.
type dependency struct {
	path, version string
	// texts are its files with licenses and notices, by name.
	texts map[string]string
	// licenses are the SPDX identifiers of these.
	licenses []string
}

var licenseFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([.-].*)?$`)

// dependencies returns what the binaries of all platforms contain, with its licenses.
func (r *release) dependencies(ctx context.Context) ([]dependency, error) {
	classify, err := assets.DefaultClassifier()
	if err != nil {
		return nil, fmt.Errorf("load the texts of licenses: %w", err)
	}
	found := map[string]*dependency{}
	for _, p := range platforms {
		if err := r.addDependencies(ctx, p, found); err != nil {
			return nil, err
		}
	}
	var all []dependency
	for _, path := range slices.Sorted(maps.Keys(found)) {
		d := *found[path]
		if d.licenses, err = identify(classify, d); err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// addDependencies adds the modules of one platform, and the licenses in the directories of
// their packages that are linked, and above.
func (r *release) addDependencies(ctx context.Context, p platform, found map[string]*dependency) error {
	listed, err := output(ctx, r.root, "env", "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.architecture,
		"go", "list", "-deps", "-json=Dir,Root,Standard,Module", "./cmd/"+name)
	if err != nil {
		return err
	}
	for decoder := json.NewDecoder(strings.NewReader(listed)); ; {
		var pkg struct {
			Dir, Root string
			Standard  bool
			Module    *struct {
				Path, Version, Dir, GoVersion string
				Main                          bool
			}
		}
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read what go list prints: %w", err)
		}
		d := dependency{texts: map[string]string{}}
		top := pkg.Root
		switch {
		case pkg.Standard: // of it, only the license of all: that of BoringCrypto is beside stubs
			d.path, pkg.Dir = "std", pkg.Root
		case pkg.Module.Main:
			continue
		default:
			d.path, d.version, top = pkg.Module.Path, pkg.Module.Version, pkg.Module.Dir
		}
		if found[d.path] == nil {
			found[d.path] = &d
		}
		if err := found[d.path].addTexts(top, pkg.Dir); err != nil {
			return err
		}
	}
}

// addTexts adds the licenses from a directory up to the top of its module.
func (d *dependency) addTexts(top, dir string) error {
	for ; strings.HasPrefix(dir, top); dir = filepath.Dir(dir) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if !entry.Type().IsRegular() || !licenseFile.MatchString(entry.Name()) || strings.HasSuffix(entry.Name(), ".go") {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
			if err != nil {
				return err
			}
			d.texts[strings.TrimPrefix(filepath.Join(dir, entry.Name()), top+"/")] = string(text)
		}
	}
	return nil
}

// identify returns the licenses of a dependency, and fails where a license is unknown, or
// is not permitted.
func identify(classify *classifier.Classifier, d dependency) ([]string, error) {
	identified := map[string]bool{}
	for file, text := range d.texts {
		for _, match := range classify.Match([]byte(text)).Matches {
			if match.MatchType != "License" {
				continue
			}
			if !slices.Contains(permitted, match.Name) {
				return nil, fmt.Errorf("%s of %s %s is the license %s: replace that module, or permit the license", file, d.path, d.version, match.Name)
			}
			identified[match.Name] = true
		}
	}
	if len(identified) == 0 {
		return nil, fmt.Errorf("%s %s has no license that is known, in %v", d.path, d.version, slices.Sorted(maps.Keys(d.texts)))
	}
	return slices.Sorted(maps.Keys(identified)), nil
}

func (r *release) makeLicenses(ctx context.Context) error {
	dependencies, err := r.dependencies(ctx)
	if err != nil {
		return err
	}
	var all strings.Builder
	fmt.Fprintf(&all, "The binaries of %s contain the following. Its own license is Apache-2.0.\n", name)
	for _, d := range dependencies {
		fmt.Fprintf(&all, "\n%s\n%s %s: %s\n", strings.Repeat("=", 80), d.path, d.version, strings.Join(d.licenses, ", "))
		for _, file := range slices.Sorted(maps.Keys(d.texts)) {
			fmt.Fprintf(&all, "\n--- %s\n\n%s\n", file, strings.TrimSpace(d.texts[file]))
		}
	}
	r.contained = dependencies
	return os.WriteFile(filepath.Join(r.dist, thirdParty), []byte(all.String()), 0o644)
}
