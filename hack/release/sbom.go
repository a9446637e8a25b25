package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

const none = "NOASSERTION"

// makeSBOMs writes what each binary and each image contains, in SPDX: what the compiler
// recorded in the binary, with the licenses found.
func (r *release) makeSBOMs(context.Context) error {
	for _, p := range platforms {
		if err := r.writeSBOM(r.binary(p), r.binary(p), nil); err != nil {
			return err
		}
	}
	for _, p := range imagePlatforms() {
		image := &v2_3.Package{
			PackageName: imageName(p), PackageVersion: r.version,
			PackageSPDXIdentifier: "Image", PackageDownloadLocation: r.image(), PrimaryPackagePurpose: "CONTAINER",
			PackageLicenseConcluded: none, PackageLicenseDeclared: "Apache-2.0", PackageCopyrightText: none,
			PackageExternalReferences: purl(fmt.Sprintf("pkg:oci/%s@%s?arch=%s&repository_url=%s&tag=%s",
				name, strings.ReplaceAll(r.digest, ":", "%3A"), p.architecture, strings.TrimSuffix(r.tag(), ":"+r.version), r.version)),
		}
		if err := r.writeSBOM(r.path("image-"+p.String()), r.binary(p), image); err != nil {
			return err
		}
	}
	return nil
}

// imageName names the image of a platform.
func imageName(p platform) string { return name + " image for " + p.os + "/" + p.architecture }

// writeSBOM writes the SBOM of a piece: of a binary, or of an image with that binary.
func (r *release) writeSBOM(piece, binary string, image *v2_3.Package) error {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return err
	}
	sum, err := sumOf(binary)
	if err != nil {
		return err
	}
	program := r.program(binary, sum, info)
	file := filepath.Base(piece) + ".spdx.json"
	document := &spdx.Document{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXIdentifier: "DOCUMENT",
		DocumentName:      filepath.Base(piece),
		DocumentNamespace: source + "/releases/download/" + r.version + "/" + file,
		CreationInfo: &v2_3.CreationInfo{
			Creators: []common.Creator{{CreatorType: "Organization", Creator: name}, {CreatorType: "Tool", Creator: name + "-release-" + r.version}},
			Created:  r.committed.Format(time.RFC3339),
		},
	}
	if image != nil {
		describe(document, image)
		relate(document, image, "CONTAINS", program)
	} else {
		describe(document, program)
	}
	relate(document, program, "DEPENDS_ON", r.contains("std", strings.TrimPrefix(info.GoVersion, "go")))
	for _, module := range info.Deps {
		relate(document, program, "DEPENDS_ON", r.contains(module.Path, module.Version))
	}
	content, err := json.MarshalIndent(document, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dist, file), append(content, '\n'), 0o644)
}

func (r *release) program(binary, sum string, info *buildinfo.BuildInfo) *v2_3.Package {
	return &v2_3.Package{
		PackageName: info.Main.Path, PackageVersion: r.version, PackageFileName: filepath.Base(binary),
		PackageSPDXIdentifier: "Program", PackageDownloadLocation: "git+" + source + "@" + r.commit, PrimaryPackagePurpose: "APPLICATION",
		PackageChecksums:        []common.Checksum{{Algorithm: common.SHA256, Value: sum}},
		PackageLicenseConcluded: "Apache-2.0", PackageLicenseDeclared: "Apache-2.0", PackageCopyrightText: none,
		PackageExternalReferences: purl("pkg:golang/" + info.Main.Path + "@" + r.version),
	}
}

var noIdentifier = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// contains is the package of a module.
func (r *release) contains(path, version string) *v2_3.Package {
	p := &v2_3.Package{
		PackageName: path, PackageVersion: version,
		PackageSPDXIdentifier:   common.ElementID("Module-" + noIdentifier.ReplaceAllString(path, "-")),
		PackageDownloadLocation: "https://proxy.golang.org/" + escaped(path) + "/@v/" + escaped(version) + ".zip",
		PackageLicenseConcluded: none, PackageLicenseDeclared: none, PackageCopyrightText: none,
		PackageExternalReferences: purl("pkg:golang/" + path + "@" + version),
	}
	if path == "std" {
		p.PackageDownloadLocation = "https://go.dev/dl/go" + version + ".src.tar.gz"
		p.PackageExternalReferences = purl("pkg:golang/stdlib@" + version)
	}
	for _, d := range r.contained {
		if d.path == path {
			p.PackageLicenseDeclared = strings.Join(d.licenses, " AND ")
		}
	}
	return p
}

var upper = regexp.MustCompile(`[A-Z]`)

// escaped is a path or version as the module proxy has it: with ! before what was a capital.
func escaped(text string) string {
	return upper.ReplaceAllStringFunc(text, func(letter string) string { return "!" + strings.ToLower(letter) })
}

func purl(locator string) []*v2_3.PackageExternalReference {
	return []*v2_3.PackageExternalReference{{Category: "PACKAGE-MANAGER", RefType: "purl", Locator: locator}}
}

// describe adds the package that a document is about, and relate one that another has.
func describe(document *spdx.Document, p *v2_3.Package) {
	document.Packages = append(document.Packages, p)
	document.Relationships = append(document.Relationships, &v2_3.Relationship{
		RefA: common.MakeDocElementID("", "DOCUMENT"), RefB: common.MakeDocElementID("", string(p.PackageSPDXIdentifier)), Relationship: "DESCRIBES"})
}

func relate(document *spdx.Document, from *v2_3.Package, how string, to *v2_3.Package) {
	document.Packages = append(document.Packages, to)
	document.Relationships = append(document.Relationships, &v2_3.Relationship{
		RefA: common.MakeDocElementID("", string(from.PackageSPDXIdentifier)), RefB: common.MakeDocElementID("", string(to.PackageSPDXIdentifier)), Relationship: how})
}
