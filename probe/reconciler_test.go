package probe

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/probe/probetest"
	"github.com/erlang-operator/erlang-operator/probe/sweep"
)

// proving is a reconciler whose reports are kept, and some peers.
func proving(t *testing.T, size int) (*reconciler, *probetest.Network, desired, *[]*v1alpha1.MeshStatus) {
	t.Helper()
	options, err := Options{Namespace: "default", Cluster: "chat"}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	network := probetest.NewNetwork(t, size)
	options.Limits = network.Verifier().Limits
	options.Resolve = func(context.Context, string) ([]string, error) { return []string{"127.0.0.1"}, nil }
	desired := wanted(1)
	desired.credentials = network.Verifier().Credentials
	for _, peer := range network.Peers {
		desired.members = append(desired.members, sweep.Member{Target: peer.Target()})
	}
	var reports []*v1alpha1.MeshStatus
	r := newReconciler(nil, options, &lock{renewed: time.Now(), ours: true})
	r.publisher.write = func(_ context.Context, _ *v1alpha1.ErlangCluster, mesh *v1alpha1.MeshStatus) error {
		reports = append(reports, mesh)
		return nil
	}
	return r, network, desired, &reports
}

// TestVerdictsBeforeHealing: a failure is published before the first link is made, and what
// the next sweep has yet to observe is not taken back meanwhile.
func TestVerdictsBeforeHealing(t *testing.T) {
	r, network, desired, reports := proving(t, 3)
	network.Peers[2].Set(func(p *probetest.Peer) { p.Release = "24" })
	var tries atomic.Int32
	network.OnConnect(func(string, string) bool {
		tries.Add(1)
		if len(*reports) != 1 || (*reports)[0].Nodes[0].Reason != v1alpha1.ReasonVerified || (*reports)[0].Nodes[2].Reason != v1alpha1.ReasonUnsupportedFlags {
			t.Errorf("reports before healing: %+v", *reports)
		}
		return false
	})
	_, first := r.prove(t.Context(), chat, desired)
	if first.Nodes[0].Message == "" || tries.Load() == 0 {
		t.Errorf("no message about the link that failed: %+v", first.Nodes[0])
	}

	*reports = nil
	r.lock.withdraw()
	network.OnConnect(func(string, string) bool {
		r.lock.mutex.Lock()
		defer r.lock.mutex.Unlock()
		if !r.lock.reported {
			t.Error("what the report says was seen again, and is not confirmed before healing")
		}
		return false
	})
	if _, second := r.prove(t.Context(), chat, desired); !same(first, second) || len(*reports) > 0 {
		t.Errorf("%d reports: %+v", len(*reports), second)
	}
}

// TestSilenceBeforeHealing: a link that has become silent is published, with what it means, before
// the first link is made, and once.
func TestSilenceBeforeHealing(t *testing.T) {
	r, network, desired, reports := proving(t, 4)
	network.LinkPair(network.Peers[0].Name, network.Peers[1].Name)
	network.Silence(network.Peers[0].Name, network.Peers[1].Name, true)
	var tries atomic.Int32
	network.OnConnect(func(string, string) bool {
		tries.Add(1)
		if len(*reports) != 1 || !strings.Contains((*reports)[0].Nodes[0].Message, "gets no answer") || (*reports)[0].Links != 0 {
			t.Errorf("reports before healing: %+v", *reports)
		}
		return false
	})
	_, first := r.prove(t.Context(), chat, desired)
	if tries.Load() == 0 {
		t.Error("no link was tried")
	}
	*reports = nil
	network.OnConnect(func(string, string) bool { return false })
	if _, second := r.prove(t.Context(), chat, desired); !same(first, second) || len(*reports) > 0 {
		t.Errorf("%d reports: %+v", len(*reports), second)
	}
}

// TestNodeComesBack: a node that is verified again is not reported as one without links while
// its links are made.
func TestNodeComesBack(t *testing.T) {
	r, network, desired, reports := proving(t, 2)
	network.Peers[1].Set(func(p *probetest.Peer) { p.Release = "24" })
	r.prove(t.Context(), chat, desired)
	network.Peers[1].Set(func(p *probetest.Peer) { p.Release = "25" })
	*reports = nil
	r.prove(t.Context(), chat, desired)
	for _, report := range *reports {
		if report.Nodes[1].Verified() && report.Links != 1 {
			t.Errorf("a report of %d links: %+v", report.Links, report)
		}
	}
	if len(*reports) == 0 {
		t.Errorf("no report: %+v", r.publisher.last)
	}
}

// TestLockIsLost: a probe that no longer holds the lock begins no further link, neither another of
// the two parts that it is joining nor one of the next step, and continues to verify.
func TestLockIsLost(t *testing.T) {
	r, network, desired, reports := proving(t, 4)
	network.LinkPair(network.Peers[0].Name, network.Peers[1].Name)
	network.LinkPair(network.Peers[2].Name, network.Peers[3].Name)
	var links atomic.Int32
	network.OnConnect(func(from, to string) bool {
		links.Add(1)
		network.LinkPair(from, to)
		r.lock.mutex.Lock()
		defer r.lock.mutex.Unlock()
		r.lock.renewed = time.Now().Add(-validity)
		return true
	})
	result, _ := r.prove(t.Context(), chat, desired)
	if links.Load() != 1 || !result.ReadOnly {
		t.Errorf("%d links were made, read-only: %t", links.Load(), result.ReadOnly)
	}
	r.lock.ours = false
	r.publisher.write = writeStatus(nil, r.lock)
	*reports = nil
	result, current := r.prove(t.Context(), chat, desired)
	if links.Load() != 1 || result.Outcomes[2].Reason != v1alpha1.ReasonVerified || current.Nodes[2].Reason != v1alpha1.ReasonVerified {
		t.Errorf("%d links were made; node 2 is %s", links.Load(), result.Outcomes[2].Reason)
	}
}

// absent has no object.
type absent struct{ client.Reader }

func (absent) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return apierrors.NewNotFound(corev1.Resource("secrets"), "chat-cookie")
}

// TestSessionsEnd: when there is nothing to verify any more, no session stays open: the next sweep
// verifies every node.
func TestSessionsEnd(t *testing.T) {
	reconcile := func(t *testing.T, r *reconciler, cluster *v1alpha1.ErlangCluster) {
		if _, err := r.Reconcile(t.Context(), cluster); err != nil {
			t.Error(err)
		}
	}
	for name, end := range map[string]func(*testing.T, *reconciler){
		"the cluster is deleted": func(t *testing.T, r *reconciler) {
			deleted := chat.DeepCopy()
			deleted.DeletionTimestamp = &metav1.Time{Time: noon}
			reconcile(t, r, deleted)
		},
		"credentials are missing": func(t *testing.T, r *reconciler) { reconcile(t, r, chat) },
		"the probe ends": func(t *testing.T, r *reconciler) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := r.Start(ctx); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, network, desired, _ := proving(t, 3)
			r.lock.passes, r.lock.changed = make(chan struct{}, 1), make(chan struct{}, 1)
			r.reader.cookie = absent{}
			verifiesAll := func() bool {
				var before []int
				for _, peer := range network.Peers {
					before = append(before, peer.Called("init:get_argument"))
				}
				r.prove(t.Context(), chat, desired)
				all := true
				for i, peer := range network.Peers {
					all = all && peer.Called("init:get_argument") > before[i]
				}
				return all
			}
			for begun := time.Now(); verifiesAll(); {
				if time.Since(begun) > time.Minute {
					t.Fatal("no session is kept")
				}
			}
			if end(t, r); !verifiesAll() {
				t.Error("a session was still open")
			}
		})
	}
}
