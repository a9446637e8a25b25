//go:build erlang

package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/yaml"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/probe"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/controlplane"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// kubernetes is an API server, and one ErlangCluster in it.
type kubernetes struct {
	t       testing.TB
	cluster *cluster // of the nodes
	config  *rest.Config
	client.Client
	log          log
	refuseWrites atomic.Bool
}

// roundTrip is between the probe and the API server.
func (k *kubernetes) roundTrip(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if request.Method == http.MethodPatch && k.refuseWrites.Load() {
			return nil, syscall.ECONNREFUSED
		}
		return next.RoundTrip(request)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

func newKubernetes(t testing.TB, c *cluster) *kubernetes {
	config := startAPIServer(t)
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	admin, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return &kubernetes{t: t, cluster: c, config: config, Client: admin}
}

// startAPIServer starts one for the duration of a test.
func startAPIServer(t testing.TB) *rest.Config {
	environment, err := controlplane.Start(assets(t), []string{filepath.Join("..", "..", "..", "config", "crd", "bases")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Error(err)
		}
	})
	return environment.Config
}

// assets is where etcd and kube-apiserver are, built if need be.
func assets(t testing.TB) string {
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" {
		return assets
	}
	build := exec.Command("go", "run", "-C", filepath.Join("..", "..", "..", "hack"), "./cluster", "build", "kube-apiserver", "etcd")
	build.Stderr = os.Stderr
	path, err := build.Output()
	if err != nil {
		t.Fatalf("build kube-apiserver and etcd: %v", err)
	}
	return string(bytes.TrimSpace(path))
}

// create makes the ErlangCluster, and an account with the probe's rights.
func (k *kubernetes) create() naming.Names { k.t.Helper(); return k.createOf(3) }

func (k *kubernetes) createOf(replicas int32) naming.Names {
	k.t.Helper()
	chat := &v1alpha1.ErlangCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "chat"},
		Spec: v1alpha1.ErlangClusterSpec{
			Replicas: &replicas,
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "chat", Image: "chat"}}}},
		},
	}
	k.mustCreate(chat)
	names := naming.Of(chat, beam.Domain)
	k.mustCreate(k.plannedRole(names))
	k.mustCreate(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: names.Probe()},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: names.Probe()},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "probe"}},
	})
	return names
}

// plannedRole is the probe's, as the manager makes it, from the golden plan of a cluster of the same
// name.
func (k *kubernetes) plannedRole(names naming.Names) *rbacv1.Role {
	k.t.Helper()
	plan, err := os.ReadFile(filepath.Join("..", "..", "..", "controllers", "internal", "plan", "testdata", "converged.golden.yaml"))
	if err != nil {
		k.t.Fatal(err)
	}
	for _, document := range strings.Split(string(plan), "\n---\n") {
		role := &rbacv1.Role{}
		if !strings.Contains(document, "\nkind: Role\n") {
			continue
		}
		if err := yaml.UnmarshalStrict([]byte(document), role); err != nil {
			k.t.Fatal(err)
		}
		if role.Name == names.Probe() {
			role.Namespace, role.OwnerReferences = names.Namespace, nil
			return role
		}
	}
	k.t.Fatalf("the plan has no Role %s", names.Probe())
	return nil
}

func (k *kubernetes) mustCreate(object client.Object) {
	k.t.Helper()
	if err := k.Create(k.t.Context(), object); err != nil {
		k.t.Fatal(err)
	}
}

// store writes what the manager would: the cookie, the probe's certificate, the
// trust bundle.
func (k *kubernetes) store(c *cluster, names naming.Names, cookie string) {
	k.t.Helper()
	identity := c.ca.Issue(names.ProbeHost())
	for _, object := range []client.Object{
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: names.CookieSecret()},
			Data:       map[string][]byte{naming.CookieKey: []byte(cookie)},
		},
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: names.Certificate(names.Probe())},
			Data:       map[string][]byte{naming.CombinedKey: slices.Concat(identity.KeyPEM, identity.CertPEM)},
		},
		&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: names.Distribution()},
			Data:       map[string]string{naming.TrustKey: string(c.ca.PEM)},
		},
	} {
		err := k.Create(k.t.Context(), object)
		if apierrors.IsAlreadyExists(err) {
			err = k.Update(k.t.Context(), object)
		}
		if err != nil {
			k.t.Fatal(err)
		}
	}
}

// publish writes what Kubernetes would of a Service of some nodes: their names and addresses.
func (k *kubernetes) publish(service string, nodes []*beam.Node) {
	k.t.Helper()
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: service, Labels: map[string]string{discoveryv1.LabelServiceName: service},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	for _, node := range nodes {
		pod, _, _ := strings.Cut(node.Host.Name, ".")
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Hostname: &pod, Addresses: []string{node.Host.Address}})
	}
	if err := k.Create(k.t.Context(), slice); !apierrors.IsAlreadyExists(err) {
		k.check(err)
		return
	}
	k.check(k.Update(k.t.Context(), slice))
}

func (k *kubernetes) check(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *kubernetes) scale(replicas int32) {
	k.t.Helper()
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas))
	chat := &v1alpha1.ErlangCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "chat"}}
	if err := k.Patch(k.t.Context(), chat, patch); err != nil {
		k.t.Fatal(err)
	}
}

// probe runs the program, until the function that it returns is called, which waits
// for its end.
func (k *kubernetes) probe(c *cluster) (stop func()) { return k.probeAs(c, "probe", &atomic.Bool{}) }

// probeAs runs the program as the probe of a name. While it is cut off, the API server is out
// of its reach.
func (k *kubernetes) probeAs(c *cluster, identity string, cutOff *atomic.Bool) (stop func()) {
	k.t.Helper()
	config := rest.CopyConfig(k.config)
	config.Impersonate.UserName = "probe"
	config.Wrap(k.roundTrip)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			if cutOff.Load() {
				return nil, syscall.ECONNREFUSED
			}
			return next.RoundTrip(request)
		})
	})
	logf.SetLogger(zap.New(zap.WriteTo(&k.log)))
	ctx, cancel := context.WithCancel(k.t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- probe.Run(ctx, config, probe.Options{
			Namespace: "default", Cluster: "chat", Domain: beam.Domain, Identity: identity,
			Intervals: probe.Intervals{Settled: 500 * time.Millisecond, Unsettled: 200 * time.Millisecond},
			Resolve:   c.Resolve, DialContext: c.DialContext,
			MetricsAddr: "0", HealthAddr: "0",
		})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			k.t.Errorf("the probe ended: %v", err)
		}
	})
	k.t.Cleanup(stop)
	return stop
}

// mesh is status.mesh, which must hold no secret.
func (k *kubernetes) mesh(ctx context.Context) (*v1alpha1.MeshStatus, error) {
	var chat v1alpha1.ErlangCluster
	if err := k.Get(ctx, client.ObjectKey{Namespace: "default", Name: "chat"}, &chat); err != nil {
		return nil, err
	}
	status, err := json.Marshal(chat.Status)
	k.cluster.wantNoSecret(string(status))
	return chat.Status.Mesh, err
}

// awaitReport waits until status.mesh is as wanted: within 30 s, as documented.
func (k *kubernetes) awaitReport(what string, wanted func(*v1alpha1.MeshStatus) bool) (mesh *v1alpha1.MeshStatus) {
	k.t.Helper()
	begun := time.Now()
	await.Until(k.t, 30*time.Second, "a report of "+what, func(ctx context.Context) (err error) {
		if mesh, err = k.mesh(ctx); err == nil && (mesh == nil || !wanted(mesh)) {
			err = fmt.Errorf("the last is %+v\n%s", mesh, k.log.String())
		}
		return err
	})
	k.t.Logf("%s after %s", what, time.Since(begun).Round(time.Millisecond))
	return mesh
}

// checkUnchanged requires that status.mesh is as wanted for some time.
func (k *kubernetes) checkUnchanged(what string, span time.Duration, wanted func(*v1alpha1.MeshStatus) bool) {
	k.t.Helper()
	for begun := time.Now(); time.Since(begun) < span; time.Sleep(50 * time.Millisecond) {
		if mesh, err := k.mesh(k.t.Context()); err != nil || !wanted(mesh) {
			k.t.Fatalf("not %s: %+v, %v\n%s", what, mesh, err, k.log.String())
		}
	}
}

// log keeps what several goroutines write.
type log struct {
	sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.Lock()
	defer l.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.Lock()
	defer l.Unlock()
	return l.text.String()
}
