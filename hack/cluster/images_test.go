package main

import (
	"archive/tar"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnArchiveNamesItsImage(t *testing.T) {
	tests := []struct {
		name, index string
		want        image
		complaint   string
	}{
		{
			name:  "as containerd exports",
			index: `{"manifests":[{"digest":"sha256:ab","annotations":{"io.containerd.image.name":"docker.io/a/b:c","org.opencontainers.image.ref.name":"c"}}]}`,
			want:  image{"docker.io/a/b:c", "sha256:ab"},
		},
		{
			name:  "by the specification alone",
			index: `{"manifests":[{"digest":"sha256:ab","annotations":{"org.opencontainers.image.ref.name":"docker.io/a/b:c"}}]}`,
			want:  image{"docker.io/a/b:c", "sha256:ab"},
		},
		{name: "nameless", index: `{"manifests":[{"digest":"sha256:ab"}]}`, complaint: "no name"},
		{name: "two images", index: `{"manifests":[{},{}]}`, complaint: "2 images"},
		{name: "no archive of images", complaint: "find index.json"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := readArchive(writeArchive(t, test.index))
			if test.complaint != "" {
				if err == nil || !strings.Contains(err.Error(), test.complaint) {
					t.Errorf("error %v, want one with %q", err, test.complaint)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

// writeArchive writes an archive with the index given, if any.
func writeArchive(t *testing.T, index string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	f := must(os.Create(file))(t)
	archive := tar.NewWriter(f)
	members := map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`}
	if index != "" {
		members["index.json"] = index
	}
	for name, content := range members {
		check(t, archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}))
		if _, err := archive.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	check(t, errors.Join(archive.Close(), f.Close()))
	return file
}

func TestAnImageByItsDigest(t *testing.T) {
	for name, want := range map[string]string{
		"ghcr.io/a/b:v1":   "ghcr.io/a/b@sha256:ab",
		"localhost:5000/b": "localhost:5000/b@sha256:ab",
	} {
		if got := (image{name, "sha256:ab"}).byDigest(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
