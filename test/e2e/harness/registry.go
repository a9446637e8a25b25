package harness

import (
	"archive/tar"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Registry serves one image to one machine, at an address that no other has, and to whoever
// has the credentials.
type Registry struct {
	Host, Image, User, Password string

	index struct {
		Manifests []struct{ MediaType, Digest string }
	}
	files map[string][]byte
}

// Registry serves the image of the operator until the test ends.
func (m Machine) Registry(t testing.TB) *Registry {
	t.Helper()
	r := &Registry{User: "puller", Password: rand.Text(), files: map[string][]byte{}}
	build := exec.CommandContext(t.Context(), "go", "run", "-C", "../../hack", "./image", "operator")
	build.Stderr = t.Output()
	if err := r.read(strings.TrimSpace(string(Must(build.Output())(t)))); err != nil {
		t.Fatalf("read the image of the operator: %v", err)
	}
	if err := r.distinguish(); err != nil {
		t.Fatalf("make an image of another digest: %v", err)
	}
	listener := Must(m.listen())(t)
	r.Host = listener.Addr().String()
	r.Image = r.Host + "/erlang-operator:" + strings.ToLower(rand.Text())
	server := &http.Server{Handler: r}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve the registry: %v", err)
		}
	}()
	t.Cleanup(func() { _ = server.Close() })
	return r
}

// read reads an OCI layout.
func (r *Registry) read(archive string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	for entries := tar.NewReader(file); ; {
		entry, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return json.Unmarshal(r.files["index.json"], &r.index)
		}
		if err != nil {
			return err
		}
		if r.files[path.Clean(entry.Name)], err = io.ReadAll(entries); err != nil {
			return err
		}
	}
}

// distinguish makes it an image of its own. A kubelet that has pulled an image with credentials
// wants them of every pod that uses it, by whatever name: other tests have none.
func (r *Registry) distinguish() error {
	var manifest, config map[string]any
	if err := json.Unmarshal(r.files[blob(r.index.Manifests[0].Digest)], &manifest); err != nil {
		return err
	}
	descriptor, ok := manifest["config"].(map[string]any)
	if !ok {
		return errors.New("the manifest has no config")
	}
	if err := json.Unmarshal(r.files[blob(fmt.Sprint(descriptor["digest"]))], &config); err != nil {
		return err
	}
	config["author"] = rand.Text()
	descriptor["digest"], descriptor["size"] = r.add(config)
	r.index.Manifests[0].Digest, _ = r.add(manifest)
	return nil
}

// add adds a file by its digest, and returns that and its size.
func (r *Registry) add(content any) (string, int) {
	text, _ := json.Marshal(content) // It was JSON.
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(text))
	r.files[blob(digest)] = text
	return digest, len(text)
}

func blob(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }

// listen listens at the loopback address of the machine, with which containerd speaks HTTP.
func (m Machine) listen() (listener net.Listener, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and not unlocked, so that the thread ends with this function
		var namespace *os.File
		if namespace, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", m.holder)); err != nil {
			return
		}
		defer namespace.Close()
		if err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err == nil {
			listener, err = net.Listen("tcp4", "127.0.0.1:0")
		}
	}()
	<-done
	return listener, err
}

// ServeHTTP answers a pull of the image, by tag or digest.
func (r *Registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if user, password, _ := request.BasicAuth(); user != r.User || password != r.Password {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
		return
	}
	digest, manifest := path.Base(request.URL.Path), r.index.Manifests[0]
	if !strings.HasPrefix(digest, "sha256:") {
		digest = manifest.Digest
	}
	if digest == manifest.Digest {
		w.Header().Set("Content-Type", manifest.MediaType)
	}
	w.Header().Set("Docker-Content-Digest", digest)
	content, found := r.files[blob(digest)]
	if !found {
		http.NotFound(w, request)
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	_, _ = w.Write(content) // A client that went away wants no answer.
}
