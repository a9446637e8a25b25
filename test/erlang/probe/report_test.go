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
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/probe"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// TestReport runs the whole program, with the rights that it has in a cluster,
// against a real API server and real nodes.
func TestReport(t *testing.T) {
	c := newCluster(t)
	k := newKubernetes(t, c)
	names := k.create()

	// Before there is anything to show to a node, there is no verdict.
	stop := k.probe(c)
	k.remains("no report without credentials", 2*time.Second, func(s *v1alpha1.MeshStatus) bool { return s == nil })
	k.store(c, names, cookie)
	k.report("what fails without nodes", func(s *v1alpha1.MeshStatus) bool {
		return reasons(s, "NameResolutionFailed", "NameResolutionFailed", "NameResolutionFailed")
	})

	nodes := make([]*beam.Node, 3)
	for ordinal, otp := range beam.Releases {
		pod := names.Pod(int32(ordinal))
		host := c.Host(fmt.Sprintf("%s.%s.%s.svc", pod, names.Service(), names.Namespace))
		if want := names.Host(pod); host.Name != want {
			t.Fatalf("host %s is not %s", host.Name, want)
		}
		host.EPMD(otp)
		nodes[ordinal] = host.Start(beam.Options{OTP: otp, Cookie: cookie, TLS: c.tls(host)})
	}
	whole := func(s *v1alpha1.MeshStatus) bool {
		return reasons(s, "Verified", "Verified", "Verified") && s.Components == 1 && s.Links == 3 && proven(s)
	}
	first := k.report("a proven mesh", whole)
	k.remains("the same resource version between heartbeats", 5*time.Second, func(s *v1alpha1.MeshStatus) bool {
		return s.HeartbeatTime.Equal(&first.HeartbeatTime)
	})

	// One node's cookie is changed by hand, and it loses its links.
	odd := c.dial(nodes[1], cookie)
	c.call(odd, "erlang", "set_cookie", erldist.Atom("An0therCookie"))
	for _, peer := range []int{0, 2} {
		c.call(odd, "erlang", "disconnect_node", erldist.Atom(nodes[peer].Name))
	}
	broken := k.report("a cookie mismatch", func(s *v1alpha1.MeshStatus) bool {
		return reasons(s, "Verified", "CookieMismatch", "Verified") && s.Components == 2 && s.Links == 1
	})
	if node := broken.Nodes[1]; node.Incarnation != first.Nodes[1].Incarnation || node.OTPRelease != "27" || node.Refusals == nil {
		t.Errorf("what was known of the node is lost: %+v", node)
	}
	if !slices.Equal(broken.Nodes[0].MissingLinks, []string{names.Pod(1)}) {
		t.Errorf("missing links %v", broken.Nodes[0].MissingLinks)
	}

	// The probe restarts, and the cookie is mended: nothing is proven again that was.
	stop()
	stop = k.probe(c)
	c.call(odd, "erlang", "set_cookie", erldist.Atom(cookie))
	healed := k.report("the mesh healed", whole)
	if !healed.Nodes[0].LastTransitionTime.Equal(first.Nodes[0].LastTransitionTime) ||
		!healed.Nodes[0].StartedAt.Equal(first.Nodes[0].StartedAt) {
		t.Errorf("a node to which nothing happened was %+v and is %+v", first.Nodes[0], healed.Nodes[0])
	}
	for _, node := range nodes {
		if trials := strings.Count(node.Log(), "Invalid challenge reply"); node != nodes[1] && trials != 1 {
			t.Errorf("%s was tried with a wrong cookie %d times, want once in its life", node.Name, trials)
		}
	}

	// A node that restarts is another incarnation, and is proven anew.
	nodes[2].Kill()
	k.report("a node that is gone", func(s *v1alpha1.MeshStatus) bool {
		return s.Nodes[2].Reason != v1alpha1.ReasonVerified
	})
	nodes[2] = nodes[2].Host.Start(beam.Options{OTP: "29", Cookie: cookie, TLS: c.tls(nodes[2].Host)})
	restarted := k.report("the mesh with the node that restarted", whole)
	if restarted.Nodes[2].Incarnation == first.Nodes[2].Incarnation {
		t.Error("the node that restarted has the incarnation of before")
	}

	// Credentials change without a restart of the probe.
	k.store(c, names, "An0therCookie")
	k.report("that no node has the new cookie", func(s *v1alpha1.MeshStatus) bool {
		return reasons(s, "CookieMismatch", "CookieMismatch", "CookieMismatch")
	})
	k.store(c, names, cookie)
	k.report("the mesh with the old cookie", whole)

	// Scaled down, a node is no longer spoken of.
	k.scale(2)
	k.report("two nodes", func(s *v1alpha1.MeshStatus) bool {
		return reasons(s, "Verified", "Verified") && s.Components == 1 && s.Links == 1
	})
	stop()
	c.wantNoSecret(k.log.String())
}

// TestReportAfterFailedWrites: while the API server takes no reports, the mesh is healed at
// the ordinary interval, and what was tried at a node is not tried again. The report is
// written when it can be.
func TestReportAfterFailedWrites(t *testing.T) {
	c := newCluster(t)
	k := newKubernetes(t, c)
	names := k.create()
	k.scale(2)
	k.store(c, names, cookie)
	start := func(ordinal int32) *beam.Node {
		host := c.Host(fmt.Sprintf("%s.%s.%s.svc", names.Pod(ordinal), names.Service(), names.Namespace))
		host.EPMD("27")
		return host.Start(beam.Options{OTP: "27", Cookie: cookie, TLS: c.tls(host)})
	}
	nodes := []*beam.Node{start(0), start(1)}
	k.probe(c)
	whole := func(s *v1alpha1.MeshStatus) bool {
		return reasons(s, "Verified", "Verified") && s.Links == 1 && proven(s)
	}
	first := k.report("a proven mesh", whole)

	k.refuseWrites.Store(true)
	nodes[1].Kill()
	nodes[1] = nodes[1].Host.Start(beam.Options{OTP: "27", Cookie: cookie, TLS: c.tls(nodes[1].Host)})
	conn := c.dial(nodes[0], cookie)
	linked := func() bool {
		peers, _ := erldist.Atoms(c.call(conn, "erlang", "nodes"))
		return slices.Contains(peers, nodes[1].Name)
	}
	for range 3 {
		for begun := time.Now(); !linked(); time.Sleep(50 * time.Millisecond) { // until the next look
			if time.Since(begun) > 15*time.Second {
				t.Fatalf("the link is not made again\n%s", k.log.String())
			}
		}
		c.call(conn, "erlang", "disconnect_node", erldist.Atom(nodes[1].Name))
	}
	if now := k.mesh(); now.Nodes[1].Incarnation != first.Nodes[1].Incarnation {
		t.Errorf("a report was written: %+v", now)
	}

	k.refuseWrites.Store(false)
	k.report("the node that restarted", func(s *v1alpha1.MeshStatus) bool {
		return whole(s) && s.Nodes[1].Incarnation != first.Nodes[1].Incarnation
	})
	if trials := strings.Count(nodes[1].Log(), "Invalid challenge reply"); trials != 1 {
		t.Errorf("%s was tried with a wrong cookie %d times, want once in its life", nodes[1].Name, trials)
	}
}

func reasons(s *v1alpha1.MeshStatus, want ...string) bool {
	if s == nil || len(s.Nodes) != len(want) {
		return false
	}
	for i, node := range s.Nodes {
		if node.Reason != want[i] {
			return false
		}
	}
	return true
}

// proven says that every node was tried, at the incarnation that it is.
func proven(s *v1alpha1.MeshStatus) bool {
	for _, node := range s.Nodes {
		if node.Refusals == nil || node.Refusals.Incarnation != node.Incarnation || len(node.Refusals.Accepted) > 0 {
			return false
		}
	}
	return true
}

// kubernetes is an API server, and one ErlangCluster in it.
type kubernetes struct {
	t       *testing.T
	cluster *cluster // of the nodes
	config  *rest.Config
	client.Client
	log          log
	refuseWrites atomic.Bool
}

// roundTrip is the probe's way to the API server.
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

func newKubernetes(t *testing.T, c *cluster) *kubernetes {
	environment := &envtest.Environment{
		BinaryAssetsDirectory: assets(t),
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true,
	}
	config, err := environment.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Error(err)
		}
	})
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	k := &kubernetes{t: t, cluster: c, config: config}
	if k.Client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	return k
}

// assets is where etcd and kube-apiserver are, built if need be.
func assets(t *testing.T) string {
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
func (k *kubernetes) create() naming.Names {
	k.t.Helper()
	replicas := int32(3)
	chat := &v1alpha1.ErlangCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "chat"},
		Spec: v1alpha1.ErlangClusterSpec{
			Replicas: &replicas,
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "chat", Image: "chat"}}}},
		},
	}
	k.mustCreate(chat)
	names := naming.Of(chat, beam.Domain)
	k.mustCreate(&rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: names.Probe()},
		Rules: []rbacv1.PolicyRule{
			allow(v1alpha1.Group, "erlangclusters", []string{"get", "list", "watch"}, "chat"),
			allow(v1alpha1.Group, "erlangclusters/status", []string{"patch"}, "chat"),
			allow("", "secrets", []string{"get", "list", "watch"}, names.CookieSecret(), names.Certificate(names.Probe()), names.Certificate(names.Canary())),
			allow("", "configmaps", []string{"get", "list", "watch"}, names.Distribution()),
		},
	})
	k.mustCreate(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: names.Probe()},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: names.Probe()},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "probe"}},
	})
	return names
}

func allow(group, resource string, verbs []string, names ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs, ResourceNames: names}
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
func (k *kubernetes) probe(c *cluster) (stop func()) {
	k.t.Helper()
	config := rest.CopyConfig(k.config)
	config.Impersonate.UserName = "probe"
	config.Wrap(k.roundTrip)
	logf.SetLogger(zap.New(zap.WriteTo(&k.log)))
	ctx, cancel := context.WithCancel(k.t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- probe.Run(ctx, config, probe.Options{
			Namespace: "default", Cluster: "chat", Domain: beam.Domain,
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

func (k *kubernetes) mesh() *v1alpha1.MeshStatus {
	k.t.Helper()
	var chat v1alpha1.ErlangCluster
	if err := k.Get(k.t.Context(), client.ObjectKey{Namespace: "default", Name: "chat"}, &chat); err != nil {
		k.t.Fatal(err)
	}
	status, err := json.Marshal(chat.Status)
	if err != nil {
		k.t.Fatal(err)
	}
	k.cluster.wantNoSecret(string(status))
	return chat.Status.Mesh
}

// report waits until status.mesh is as wanted: within 30 s, as users are promised.
func (k *kubernetes) report(what string, wanted func(*v1alpha1.MeshStatus) bool) *v1alpha1.MeshStatus {
	k.t.Helper()
	begun := time.Now()
	for {
		mesh := k.mesh()
		if mesh != nil && wanted(mesh) {
			k.t.Logf("%s after %s", what, time.Since(begun).Round(time.Millisecond))
			return mesh
		}
		if time.Since(begun) > 30*time.Second {
			k.t.Fatalf("no report of %s; the last is %+v\n%s", what, mesh, k.log.String())
		}
		time.Sleep(50 * time.Millisecond) // until the next look
	}
}

// remains wants status.mesh to be so all the time.
func (k *kubernetes) remains(what string, span time.Duration, wanted func(*v1alpha1.MeshStatus) bool) {
	k.t.Helper()
	for begun := time.Now(); time.Since(begun) < span; time.Sleep(50 * time.Millisecond) {
		if mesh := k.mesh(); !wanted(mesh) {
			k.t.Fatalf("not %s: %+v\n%s", what, mesh, k.log.String())
		}
	}
}
