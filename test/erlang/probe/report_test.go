//go:build erlang

package probe

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/erldist"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// TestReport runs the whole program, with the rights that it has in a cluster,
// against a real API server and real nodes.
func TestReport(t *testing.T) {
	c := newCluster(t)
	k := newKubernetes(t, c)
	names := k.create()

	// Without credentials there is no verdict.
	stop := k.probe(c)
	k.checkUnchanged("no report without credentials", 2*time.Second, func(s *v1alpha1.MeshStatus) bool { return s == nil })
	k.store(c, names, cookie)
	k.awaitReport("what fails without nodes", func(s *v1alpha1.MeshStatus) bool {
		return reasons(s, "NameResolutionFailed", "NameResolutionFailed", "NameResolutionFailed")
	})

	nodes := c.startMembers(names)
	whole := func(s *v1alpha1.MeshStatus) bool {
		return reasons(s, "Verified", "Verified", "Verified") && s.Components == 1 && s.Links == 3 && proven(s)
	}
	first := k.awaitReport("a proven mesh", whole)
	k.checkUnchanged("the same report", 5*time.Second, func(s *v1alpha1.MeshStatus) bool { return cmp.Equal(first, s) })

	// One node's cookie is changed by hand, and it loses its links.
	odd := c.dial(nodes[1], cookie)
	c.call(odd, "erlang", "set_cookie", erldist.Atom("An0therCookie"))
	for _, peer := range []int{0, 2} {
		c.call(odd, "erlang", "disconnect_node", erldist.Atom(nodes[peer].Name))
	}
	broken := k.awaitReport("a cookie mismatch", func(s *v1alpha1.MeshStatus) bool {
		// The cookie may be found before the node has lost its links.
		return reasons(s, "Verified", "CookieMismatch", "Verified") && s.Components == 2 && s.Links == 1 && len(s.Nodes[0].MissingLinks) > 0
	})
	if node := broken.Nodes[1]; node.Incarnation != first.Nodes[1].Incarnation || node.OTPRelease != "27" || node.Refusals == nil {
		t.Errorf("known facts about the node are lost: %+v", node)
	}
	if !slices.Equal(broken.Nodes[0].MissingLinks, []string{names.Pod(1)}) {
		t.Errorf("missing links %v", broken.Nodes[0].MissingLinks)
	}

	// The probe restarts, and the cookie is set back: nothing is checked a second time.
	stop()
	stop = k.probe(c)
	c.call(odd, "erlang", "set_cookie", erldist.Atom(cookie))
	healed := k.awaitReport("the mesh healed", whole)
	if !healed.Nodes[0].LastTransitionTime.Equal(first.Nodes[0].LastTransitionTime) ||
		!healed.Nodes[0].StartedAt.Equal(first.Nodes[0].StartedAt) {
		t.Errorf("a node to which nothing happened was %+v and is %+v", first.Nodes[0], healed.Nodes[0])
	}
	for _, node := range nodes {
		if trials := strings.Count(node.Log(), "Invalid challenge reply"); node != nodes[1] && trials != 1 {
			t.Errorf("%s was tried with a wrong cookie %d times, want once in its life", node.Name, trials)
		}
	}

	// A node that restarts is another incarnation, and is checked again.
	nodes[2].Kill()
	k.awaitReport("a node that is gone", func(s *v1alpha1.MeshStatus) bool {
		return s.Nodes[2].Reason != v1alpha1.ReasonVerified
	})
	nodes[2] = nodes[2].Host.Start(beam.Options{OTP: "29", Cookie: cookie, TLS: c.tls(nodes[2].Host)})
	restarted := k.awaitReport("the mesh with the node that restarted", whole)
	if restarted.Nodes[2].Incarnation == first.Nodes[2].Incarnation {
		t.Error("the node that restarted has the incarnation of before")
	}

	// The cookie's Secret is replaced as a whole, without the cookie of before: the nodes are
	// taken over to the new one, and back.
	for _, replaced := range []string{"An0therCookie", cookie} {
		k.store(c, names, replaced)
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: names.Namespace, Name: names.CookieSecret()}}
		if err := k.Get(t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
			t.Fatal(err)
		}
		k.awaitReport("the mesh with the other cookie", func(s *v1alpha1.MeshStatus) bool {
			return s.CookieVersion == secret.ResourceVersion && whole(s)
		})
		for _, node := range nodes {
			if got := c.call(c.dial(node, replaced), "erlang", "get_cookie"); got != erldist.Term(erldist.Atom(replaced)) {
				t.Errorf("%s has not got the cookie of the Secret", node.Name)
			}
		}
	}

	// After a scale-down, the removed node is not reported any more.
	k.scale(2)
	k.awaitReport("two nodes", func(s *v1alpha1.MeshStatus) bool {
		return reasons(s, "Verified", "Verified") && s.Components == 1 && s.Links == 1
	})
	stop()
	c.wantNoSecret(k.log.String())
}

// TestPublishedNodes: the probe as it runs in a pod, which finds nodes by DNS, asks for those alone
// that an EndpointSlice of their Service has, and for another as soon as that has it.
func TestPublishedNodes(t *testing.T) {
	logf.SetLogger(zap.New(zap.WriteTo(io.Discard)))
	c := newCluster(t)
	k := newKubernetes(t, c)
	names := k.createOf(2)
	k.store(c, names, cookie)
	nodes := c.startNamed(names, 2)
	k.publish(names.Service(), nodes[:1])
	k.publish("another", nodes)
	p := startProgram(t, c, k)
	awaitReasons := func(what string, want ...string) {
		t.Helper()
		await.Until(t, 2*time.Minute, what, func(ctx context.Context) error {
			mesh, err := k.mesh(ctx)
			if err == nil && (mesh == nil || !reasons(mesh, want...)) {
				err = fmt.Errorf("the last report is %+v\n%s", mesh, p.log.String())
			}
			return err
		})
	}
	awaitReasons("one node is published", "Verified", "NameResolutionFailed")
	k.publish(names.Service(), nodes)
	awaitReasons("both are", "Verified", "Verified")
}

// While the API server rejects reports, the mesh is healed at the ordinary interval, and
// refusal checks are not repeated. The report is written when that is possible again.
func TestReportAfterFailedWrites(t *testing.T) {
	c := newCluster(t)
	k := newKubernetes(t, c)
	names := k.create()
	k.scale(2)
	k.store(c, names, cookie)
	var hosts []*beam.Host
	for ordinal := range int32(2) {
		hosts = append(hosts, c.Host(fmt.Sprintf("%s.%s.%s.svc", names.Pod(ordinal), names.Service(), names.Namespace)))
		hosts[ordinal].EPMD("27")
	}
	start := func(ordinal int) *beam.Node {
		return hosts[ordinal].Start(beam.Options{OTP: "27", Cookie: cookie, TLS: c.tls(hosts[ordinal])})
	}
	nodes := []*beam.Node{start(0), start(1)}
	k.probe(c)
	whole := func(s *v1alpha1.MeshStatus) bool {
		return reasons(s, "Verified", "Verified") && s.Links == 1 && proven(s)
	}
	k.awaitReport("a proven mesh", whole)
	conn := c.dial(nodes[0], cookie)
	linked := func() bool {
		term, err := conn.Call(deadline(t), "erlang", "nodes")
		peers, _ := erldist.Atoms(term)
		return err == nil && slices.Contains(peers, nodes[1].Name)
	}
	// staysLinked reports whether the link is made again, and is made each time that it is lost.
	staysLinked := func() bool {
		for range 3 {
			for begun := time.Now(); !linked(); time.Sleep(50 * time.Millisecond) {
				if time.Since(begun) > 15*time.Second {
					return false
				}
			}
			c.call(conn, "erlang", "disconnect_node", erldist.Atom(nodes[1].Name))
		}
		return true
	}

	var gone *v1alpha1.MeshStatus
	for try := 1; ; try++ {
		nodes[1].Kill()
		gone = k.awaitReport("a node that is gone", func(s *v1alpha1.MeshStatus) bool {
			return s.Nodes[1].Reason == v1alpha1.ReasonNodeNotRegistered && s.Links == 0 && len(s.Nodes[0].MissingLinks) > 0
		})
		k.refuseWrites.Store(true)
		nodes[1] = start(1)
		if staysLinked() {
			break
		}
		// A probe that cannot report what it finds stops to make links ten seconds after it could. The
		// machine may have been too busy until then.
		if try == 5 {
			t.Fatalf("the link is not made again\n%s", k.log.String())
		}
		k.refuseWrites.Store(false)
		k.awaitReport("a proven mesh", whole)
	}
	if now, err := k.mesh(t.Context()); err != nil || now.Nodes[1].Incarnation != gone.Nodes[1].Incarnation {
		t.Errorf("a report was written: %+v, %v", now, err)
	}

	k.refuseWrites.Store(false)
	k.awaitReport("the node that restarted", func(s *v1alpha1.MeshStatus) bool {
		return whole(s) && s.Nodes[1].Incarnation != gone.Nodes[1].Incarnation
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

// proven reports whether every node has passed the refusal checks in its present
// incarnation.
func proven(s *v1alpha1.MeshStatus) bool {
	for _, node := range s.Nodes {
		if node.Refusals == nil || node.Refusals.Incarnation != node.Incarnation || len(node.Refusals.Accepted) > 0 {
			return false
		}
	}
	return true
}
