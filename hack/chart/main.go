// Command chart packages the Helm chart of config/chart, with the manifests of config/ that its
// templates read. The same checkout gives the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// built are the files of the chart that kustomize builds, and of which directory.
var built = map[string]string{
	"crd": "crd", "users": "users", "admission": "admission", "rbac": "rbac", "role": "namespaced/role", "manager": "manager",
}

// copied are those that are files of config/, one after the other.
var copied = map[string][]string{
	"metrics":               {"metrics/authorization.yaml", "metrics/certificate.yaml", "metrics/service.yaml", "metrics/network_policy.yaml"},
	"metrics-manager":       {"metrics/manager.yaml"},
	"webhook":               {"webhook/certificate.yaml", "webhook/service.yaml"},
	"webhook-configuration": {"webhook/configuration.yaml"},
	"webhook-manager":       {"webhook/manager.yaml"},
	"disruption-budget":     {"ha/replicas/disruption_budget.yaml"},
	"quota":                 {"ha/replicas/quota.yaml"},
	"service-monitor":       {"prometheus/monitor.yaml"},
	"pod-monitor":           {"prometheus/pods/monitor.yaml", "prometheus/pods/reader.yaml"},
	"rules":                 {"prometheus/rules.yaml"},
}

func main() {
	version := flag.String("version", "v0.0.0-dev", "version of the operator, and of its image")
	digest := flag.String("digest", "", "digest of its image, sha256:…; default: the image is named by its version")
	output := flag.String("output", "../dist", "directory to write the package to")
	flag.Parse()
	file, err := pack("..", *version, *digest, *output)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
	fmt.Println(file)
}

// pack writes the package of a version, and returns its path.
func pack(repository, version, digest, output string) (string, error) {
	files, err := contents(repository, version, digest)
	if err != nil {
		return "", err
	}
	archive, err := archive(files)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(output, 0o755); err != nil {
		return "", err
	}
	file, err := filepath.Abs(filepath.Join(output, "erlang-operator-"+strings.TrimPrefix(version, "v")+".tgz"))
	if err != nil {
		return "", err
	}
	return file, os.WriteFile(file, archive, 0o644)
}

var versions = regexp.MustCompile(`(?m)^(version|appVersion): .*$`)

// contents are the files of the chart, by their paths in it.
func contents(repository, version, digest string) (map[string][]byte, error) {
	files := map[string][]byte{}
	chart := os.DirFS(filepath.Join(repository, "config/chart"))
	err := fs.WalkDir(chart, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files[name], err = fs.ReadFile(chart, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the chart: %w", err)
	}
	files["Chart.yaml"] = versions.ReplaceAllFunc(files["Chart.yaml"], func(line []byte) []byte {
		if bytes.HasPrefix(line, []byte("app")) {
			return []byte("appVersion: " + version)
		}
		return []byte("version: " + strings.TrimPrefix(version, "v"))
	})
	files["Chart.yaml"] = bytes.Replace(files["Chart.yaml"], []byte(`image-digest: ""`), fmt.Appendf(nil, "image-digest: %q", digest), 1)
	if err := addManifests(repository, files); err != nil {
		return nil, err
	}
	files["values.schema.json"], err = addProbeSchema(files["values.schema.json"], files["files/crd.yaml"])
	return files, err
}

func addManifests(repository string, files map[string][]byte) error {
	for name, directory := range built {
		text, err := build(repository, "config/"+directory)
		if err != nil {
			return err
		}
		files["files/"+name+".yaml"] = text
	}
	for name, sources := range copied {
		var documents []string
		for _, source := range sources {
			text, err := os.ReadFile(filepath.Join(repository, "config", source))
			if err != nil {
				return err
			}
			documents = append(documents, strings.TrimSpace(string(text)))
		}
		files["files/"+name+".yaml"] = []byte(strings.Join(documents, "\n---\n"))
	}
	return nil
}

// build is what kustomize builds of a directory, except Namespaces, which Helm creates.
func build(repository, directory string) ([]byte, error) {
	command := exec.Command("go", "tool", "-modfile=hack/tools/go.mod", "kustomize", "build", directory)
	command.Dir, command.Stderr = repository, os.Stderr
	text, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("kustomize build %s: %w", directory, err)
	}
	documents := strings.Split(strings.TrimSpace(string(text)), "\n---\n")
	documents = slices.DeleteFunc(documents, func(document string) bool { return strings.Contains("\n"+document, "\nkind: Namespace\n") })
	return []byte(strings.Join(documents, "\n---\n")), nil
}

func archive(files map[string][]byte) ([]byte, error) {
	var archive bytes.Buffer
	compressed := gzip.NewWriter(&archive)
	packed := tar.NewWriter(compressed)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{Name: path.Join("erlang-operator", name), Mode: 0o644, Size: int64(len(files[name])), ModTime: time.Unix(0, 0)}
		if err := packed.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := packed.Write(files[name]); err != nil {
			return nil, err
		}
	}
	if err := packed.Close(); err != nil {
		return nil, err
	}
	if err := compressed.Close(); err != nil {
		return nil, err
	}
	return archive.Bytes(), nil
}
