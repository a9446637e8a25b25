package probe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// leaseServer is an API server with one Lease.
type leaseServer struct {
	mutex   sync.Mutex
	lease   *coordinationv1.Lease
	version int
	created time.Time
}

var (
	leaseResource = coordinationv1.Resource("leases")
	leaseKind     = schema.GroupKind{Group: coordinationv1.GroupName, Kind: "Lease"}
)

func (s *leaseServer) get() (*coordinationv1.Lease, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.lease == nil {
		return nil, apierrors.NewNotFound(leaseResource, "chat-probe")
	}
	return s.lease.DeepCopy(), nil
}

func (s *leaseServer) update(lease *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.lease != nil && s.lease.ResourceVersion != lease.ResourceVersion || s.lease == nil && lease.ResourceVersion != "" {
		return nil, apierrors.NewConflict(leaseResource, "chat-probe", errors.New("changed meanwhile"))
	}
	if transitions := ptr.Deref(lease.Spec.LeaseTransitions, 0); transitions < 0 {
		return nil, apierrors.NewInvalid(leaseKind, "chat-probe", field.ErrorList{field.Invalid(field.NewPath("spec", "leaseTransitions"), transitions, "must be at least 0")})
	}
	if s.lease == nil {
		s.created = time.Now()
	}
	s.version++
	s.lease = lease.DeepCopy()
	s.lease.ResourceVersion = fmt.Sprint(s.version)
	return s.lease.DeepCopy(), nil
}

// edit changes the Lease as a person does, if there is one that everybody has had the time to
// see; nil deletes it.
func (s *leaseServer) edit(change func(*coordinationv1.LeaseSpec)) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	switch {
	case s.lease == nil || time.Since(s.created) < 2*renewInterval:
	case change == nil:
		s.lease = nil
	default:
		s.version++
		change(&s.lease.Spec)
		s.lease.ResourceVersion = fmt.Sprint(s.version)
	}
}

// The ways in which a Lease is edited.
func heldBy(holder string) func(*coordinationv1.LeaseSpec) {
	return func(spec *coordinationv1.LeaseSpec) { spec.HolderIdentity = ptr.To(holder) }
}

func withoutHolder(spec *coordinationv1.LeaseSpec) { spec.HolderIdentity = nil }

// connection is the way of one probe to the server: requests and answers take their time, are
// lost, or arrive long after the probe has given up.
type connection struct {
	server *leaseServer
	// delay is how long a request or an answer takes; negative if it never arrives.
	delay func() time.Duration
}

func (c connection) Get(ctx context.Context, _ string, _ metav1.GetOptions) (*coordinationv1.Lease, error) {
	return c.request(ctx, c.server.get)
}

func (c connection) Update(ctx context.Context, lease *coordinationv1.Lease, _ metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	return c.request(ctx, func() (*coordinationv1.Lease, error) { return c.server.update(lease) })
}

func (c connection) request(ctx context.Context, handle func() (*coordinationv1.Lease, error)) (*coordinationv1.Lease, error) {
	type answer struct {
		lease *coordinationv1.Lease
		err   error
	}
	answered := make(chan answer, 1)
	there, back := c.delay(), c.delay()
	go func() {
		if there < 0 {
			return
		}
		time.Sleep(there)
		lease, err := handle()
		if back >= 0 {
			time.Sleep(back)
			answered <- answer{lease, err}
		}
	}()
	select {
	case got := <-answered:
		return got.lease, got.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// testLock is the lock of a probe that confirms its report all the time.
func testLock(server *leaseServer, identity string, delay func() time.Duration) *lock {
	l := &lock{
		leases: connection{server, delay}, name: "chat-probe", identity: identity, log: logr.Discard(),
		changed: make(chan struct{}, 1), passes: make(chan struct{}, 1), soon: make(chan struct{}, 1), acquired: make(chan event.GenericEvent, 1),
	}
	l.begin(chat)()
	return l
}

func atOnce() time.Duration { return 0 }

// unless a connection is cut, it takes no time.
func unless(cut *atomic.Bool) func() time.Duration {
	return func() time.Duration {
		if cut.Load() {
			return -1
		}
		return 0
	}
}

// keepLock runs a lock until the function that it returns is called.
func keepLock(t *testing.T, l *lock) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- l.Start(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// awaitHeld waits until a lock is held, and returns how long that took.
func awaitHeld(t *testing.T, l *lock, atMost time.Duration) time.Duration {
	t.Helper()
	begun := time.Now()
	for ; !l.held(); time.Sleep(100 * time.Millisecond) {
		if time.Since(begun) > atMost {
			t.Fatalf("%s does not hold the lock within %s", l.identity, atMost)
		}
	}
	return time.Since(begun)
}

// reported is a cluster of which a probe has reported.
var reported = func() *v1alpha1.ErlangCluster {
	cluster := chat.DeepCopy()
	cluster.Status.Mesh = &v1alpha1.MeshStatus{}
	return cluster
}()

// setupTime is how long a node tries to connect to another, unless net_setuptime is set.
const setupTime = 7 * time.Second

// silenceWatcher releases the Lease of a silent probe, as the manager does.
type silenceWatcher struct {
	server  *leaseServer
	version string
	since   time.Time
}

func (w *silenceWatcher) watch() {
	lease, err := w.server.get()
	if err != nil {
		return
	}
	if lease.ResourceVersion != w.version {
		w.version, w.since = lease.ResourceVersion, time.Now()
	}
	if time.Since(w.since) > 27*time.Second && ptr.Deref(lease.Spec.HolderIdentity, "") != "" {
		v1alpha1.Release(&lease.Spec)
		_, _ = w.server.update(lease) // What was renewed meanwhile stays.
	}
}

// TestOneHolder: whatever happens to requests, though the manager releases the Lease of a silent
// probe, and though somebody edits or deletes it, between a moment at which one probe may change nodes and one at which another
// may there is the time that a node takes for a link. When the faults are over, one of them soon
// holds the lock.
func TestOneHolder(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			var mutex sync.Mutex
			worst := [3]time.Duration{-1, -1, -1} // of each connection; negative while it is cut
			delay := func(i int) func() time.Duration {
				return func() time.Duration {
					mutex.Lock()
					defer mutex.Unlock()
					if worst[i] < 0 || random.IntN(10) == 0 && worst[i] > 0 {
						return -1
					}
					return time.Duration(random.Int64N(int64(worst[i]) + 1))
				}
			}
			server, locks, lastHeld := &leaseServer{}, [3]*lock{}, [3]time.Time{}
			manager := silenceWatcher{server: server}
			for i := range locks {
				locks[i] = testLock(server, fmt.Sprint("probe-", i), delay(i))
				locks[i].begin(reported)()
				defer keepLock(t, locks[i])()
			}
			changes := 0
			watch := func(span time.Duration) {
				for end := time.Now().Add(span); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
					manager.watch()
					for i, l := range locks {
						l.report()
						if !l.held() {
							continue
						}
						for j, last := range lastHeld {
							if apart := time.Since(last); j != i && !last.IsZero() && apart < setupTime-50*time.Millisecond {
								t.Fatalf("seed %d: probe %d may change nodes %s after probe %d might", seed, i, apart, j)
							}
						}
						if lastHeld[i].IsZero() {
							changes++
						}
						lastHeld = [3]time.Time{}
						lastHeld[i] = time.Now()
					}
				}
			}
			for range 20 {
				mutex.Lock()
				for i := range worst {
					worst[i] = []time.Duration{-1, 0, 0, time.Second, 8 * time.Second}[random.IntN(5)]
				}
				span := time.Duration(random.Int64N(int64(40 * time.Second)))
				mutex.Unlock()
				watch(span)
				mutex.Lock()
				edits, edit := random.IntN(3) == 0, random.IntN(3)
				mutex.Unlock()
				if edits {
					server.edit([]func(*coordinationv1.LeaseSpec){nil, withoutHolder, heldBy("somebody")}[edit])
				}
			}
			mutex.Lock()
			worst = [3]time.Duration{}
			mutex.Unlock()
			watch(30 * time.Second)
			if !locks[0].held() && !locks[1].held() && !locks[2].held() {
				t.Errorf("seed %d: nobody holds the lock", seed)
			}
			if changes == 0 {
				t.Errorf("seed %d: nobody ever held the lock", seed)
			}
		})
	}
}

// report is a pass that is reported, whatever is read of the Lease.
func (l *lock) report() {
	l.begin(l.cluster.Load())()
	l.confirm()
}

// TestCutOffProbe stops to change nodes in time, and begins again where nobody has taken over.
func TestCutOffProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, cut := &leaseServer{}, atomic.Bool{}
		first := testLock(server, "first", unless(&cut))
		defer keepLock(t, first)()
		awaitHeld(t, first, time.Second)
		time.Sleep(time.Minute)
		if !first.held() {
			t.Error("a lock that is renewed is not held")
		}
		cut.Store(true)
		time.Sleep(validity + time.Second)
		if err := first.mayReport(t.Context()); first.held() || !errors.Is(err, errInterrupted) {
			t.Errorf("cut off: held %t, report: %v", first.held(), err)
		}
		cut.Store(false)
		first.report()
		awaitHeld(t, first, renewTimeout+2*retryInterval)

		cut.Store(true)
		second := testLock(server, "second", atOnce)
		defer keepLock(t, second)()
		if took := awaitHeld(t, second, leaseDuration+2*retryInterval); took < leaseDuration {
			t.Errorf("taken over after %s", took)
		}
		cut.Store(false)
		time.Sleep(renewTimeout + 2*retryInterval)
		first.begin(chat)()
		if err := first.mayReport(t.Context()); first.held() || !errors.Is(err, errNotHolder) {
			t.Errorf("replaced: held %t, report: %v", first.held(), err)
		}
	})
}

// forgetful is a connection that loses the answer to one write, and tells when.
type forgetful struct {
	connection
	lost chan time.Time
}

func (f forgetful) Update(ctx context.Context, lease *coordinationv1.Lease, options metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	written, err := f.connection.Update(ctx, lease, options)
	if err != nil {
		return nil, err
	}
	select {
	case f.lost <- time.Now():
		return nil, context.DeadlineExceeded
	default:
		return written, nil
	}
}

// TestLostAnswer: a probe that has taken over, and did not get the answer, does not wait a second
// time. One that reads its name in a Lease that somebody has edited does.
func TestLostAnswer(t *testing.T) {
	for name, edited := range map[string]bool{"lost": false, "lost, and then edited": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, cut, answers := &leaseServer{}, atomic.Bool{}, make(chan time.Time, 1)
				first, second := testLock(server, "first", unless(&cut)), testLock(server, "second", atOnce)
				defer keepLock(t, first)()
				awaitHeld(t, first, time.Second)
				cut.Store(true)
				second.leases = forgetful{connection{server, atOnce}, answers}
				second.begin(reported)()
				defer keepLock(t, second)()
				lost := <-answers
				answers <- lost // Only one is lost.
				if edited {
					server.edit(func(spec *coordinationv1.LeaseSpec) { spec.RenewTime.Time = lost.Add(time.Millisecond) })
				}
				awaitHeld(t, second, leaseDuration+2*retryInterval)
				if took := time.Since(lost); edited != (took > leaseDuration) || !edited && took > 2*retryInterval {
					t.Errorf("the Lease was taken %s after the answer was lost", took)
				}
			})
		})
	}
}

// TestRenewalAfterPass: a lock that is to be renewed within a second is renewed when a pass ends.
func TestRenewalAfterPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &leaseServer{}
		l := testLock(server, "first", atOnce)
		defer keepLock(t, l)()
		awaitHeld(t, l, time.Second)
		for range 10 {
			before, err := server.get()
			if err != nil {
				t.Fatal(err)
			}
			for _, age := range []time.Duration{renewInterval - 2*retryInterval, renewInterval - retryInterval/5} {
				time.Sleep(age - time.Since(before.Spec.RenewTime.Time))
				l.report()
				time.Sleep(time.Millisecond)
				after, err := server.get()
				if due := age > renewInterval-retryInterval; err != nil || due != (after.ResourceVersion != before.ResourceVersion) {
					t.Fatalf("%s after the last renewal a pass ends, and the Lease was renewed at %s: %v", age, after.Spec.RenewTime, err)
				}
			}
		}
	})
}

// TestInterruptedPass: of a pass during which the lock was not renewed in time, nothing is
// reported, and nothing that was reported before is confirmed, until a pass that began later is.
func TestInterruptedPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, cut := &leaseServer{}, atomic.Bool{}
		l := testLock(server, "first", unless(&cut))
		defer keepLock(t, l)()
		awaitHeld(t, l, time.Second)
		l.begin(chat)()
		if err := l.mayReport(t.Context()); err != nil {
			t.Errorf("held: %v", err)
		}
		cut.Store(true)
		time.Sleep(time.Minute)
		cut.Store(false)
		before, err := server.get()
		if err != nil {
			t.Fatal(err)
		}
		l.confirm()
		time.Sleep(time.Minute)
		if after, err := server.get(); err != nil || after.ResourceVersion != before.ResourceVersion || !errors.Is(l.mayReport(t.Context()), errInterrupted) {
			t.Errorf("interrupted: the Lease was renewed at %s, report: %v, %v", after.Spec.RenewTime, l.mayReport(t.Context()), err)
		}
		l.begin(chat)()
		if err := l.mayReport(t.Context()); err != nil {
			t.Errorf("the next pass: %v", err)
		}
		l.confirm()
		awaitHeld(t, l, 2*retryInterval)
	})
}

// TestOldReport: a report that was confirmed while the API server was out of reach, since nothing
// had changed, does not count any more when the API server is back: what has happened since is
// published first.
func TestOldReport(t *testing.T) {
	for name, afterwards := range map[string]func(l *lock){
		"the probe does not run":                      func(*lock) { time.Sleep(15 * time.Second) },
		"a node fails, and that could not be written": func(l *lock) { time.Sleep(15 * time.Second); l.begin(chat)() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, cut := &leaseServer{}, atomic.Bool{}
				l := testLock(server, "first", unless(&cut))
				defer keepLock(t, l)()
				awaitHeld(t, l, time.Second)
				cut.Store(true)
				for range 4 {
					time.Sleep(4 * time.Second)
					l.report()
				}
				before, err := server.get()
				if err != nil {
					t.Fatal(err)
				}
				afterwards(l)
				cut.Store(false)
				time.Sleep(validity)
				if after, err := server.get(); err != nil || after.ResourceVersion != before.ResourceVersion || l.held() {
					t.Errorf("the Lease was renewed at %s: %v", after.Spec.RenewTime, err)
				}
				l.report()
				awaitHeld(t, l, 2*retryInterval)
			})
		})
	}
}

// TestReportWithoutLock: a probe that does not renew the lock for want of a report may report,
// unless another has taken it, or it was held by another in the meantime.
func TestReportWithoutLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &leaseServer{}
		first := testLock(server, "first", atOnce)
		defer keepLock(t, first)()
		first.begin(chat)()
		awaitHeld(t, first, time.Second)
		time.Sleep(confirmationTimeout + 2*validity)
		if err := first.mayReport(t.Context()); err != nil || first.held() {
			t.Errorf("paused: held %t, report: %v", first.held(), err)
		}
		second := testLock(server, "second", atOnce)
		stop := keepLock(t, second)
		awaitHeld(t, second, leaseDuration+2*retryInterval)
		stop()
		if err := first.mayReport(t.Context()); err != nil {
			t.Errorf("the other has released it: %v", err)
		}
		defer keepLock(t, testLock(server, "third", atOnce))()
		time.Sleep(2 * retryInterval)
		if err := first.mayReport(t.Context()); !errors.Is(err, errNotHolder) {
			t.Errorf("another holds it: %v", err)
		}
	})
}

// TestReleasedLock: a probe that ends makes way at once, after its last pass.
func TestReleasedLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &leaseServer{}
		first, second := testLock(server, "first", atOnce), testLock(server, "second", atOnce)
		stop := keepLock(t, first)
		awaitHeld(t, first, time.Second)
		defer keepLock(t, second)()
		end := first.begin(chat)
		go stop()
		time.Sleep(2 * retryInterval)
		if !first.held() || second.held() {
			t.Error("the lock was released during a pass")
		}
		end()
		awaitHeld(t, second, 2*retryInterval)
		if first.held() {
			t.Error("a lock that was released is held")
		}
		first.begin(chat)() // A pass that was queued before the end does not keep the probe from ending.
		lease, err := server.get()
		if err != nil || *lease.Spec.LeaseTransitions != 2 || !metav1.IsControlledBy(lease, chat) || lease.Labels[naming.LabelCluster] != chat.Name {
			t.Errorf("Lease %+v, %v", lease, err)
		}
	})
}

// TestEditedLease: whatever becomes of the Lease, the probe that waits does not begin before the
// holder has stopped. The holder stops as soon as it reads that it is not it any more, and goes on
// when nobody else is named; and a probe that starts does not take a deleted Lease at once.
func TestEditedLease(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*coordinationv1.LeaseSpec)
		lost bool
	}{
		"deleted":          {nil, false},
		"without a holder": {withoutHolder, false},
		"held by another":  {heldBy("somebody"), true},
		"with absurd times": {func(spec *coordinationv1.LeaseSpec) {
			spec.LeaseDurationSeconds, spec.RenewTime = ptr.To(int32(1)), nil
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, cut := &leaseServer{}, atomic.Bool{}
				first, second, third := testLock(server, "first", atOnce), testLock(server, "second", atOnce), testLock(server, "third", unless(&cut))
				defer keepLock(t, first)()
				awaitHeld(t, first, time.Second)
				cut.Store(true)
				for _, l := range []*lock{second, third} {
					l.begin(reported)()
					defer keepLock(t, l)()
				}
				time.Sleep(3 * renewInterval)
				server.edit(tc.edit)
				cut.Store(false)
				for end := time.Now().Add(leaseDuration); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
					if second.held() || third.held() {
						t.Fatal("another probe has begun")
					}
					if since := leaseDuration - time.Until(end); tc.lost && first.held() && since > renewInterval+100*time.Millisecond {
						t.Fatalf("the probe may change nodes %s after another holds the Lease", since)
					}
				}
				if !tc.lost && !first.held() {
					t.Error("the holder has stopped")
				}
				time.Sleep(renewInterval + 2*retryInterval)
				if !first.held() && !second.held() && !third.held() {
					t.Error("no probe holds the Lease again")
				}
			})
		})
	}
}

// TestForgedTransitions: a count that cannot be raised does not keep a probe from the Lease.
func TestForgedTransitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &leaseServer{}
		if _, err := server.update(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Labels: naming.Labels("chat")},
			Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To("somebody"), LeaseTransitions: ptr.To[int32](math.MaxInt32),
				Strategy: ptr.To(coordinationv1.OldestEmulationVersion), PreferredHolder: ptr.To("somebody")}}); err != nil {
			t.Fatal(err)
		}
		l := testLock(server, "first", atOnce)
		defer keepLock(t, l)()
		awaitHeld(t, l, leaseDuration+2*retryInterval)
		if lease, err := server.get(); err != nil || *lease.Spec.LeaseTransitions != math.MaxInt32 || lease.Spec.Strategy != nil || lease.Spec.PreferredHolder != nil {
			t.Errorf("Lease %+v, %v", lease, err)
		}
	})
}

// TestUnconfirmedReport: a probe that cannot report does not go on renewing, and nobody takes
// it for alive.
func TestUnconfirmedReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := testLock(&leaseServer{}, "first", atOnce)
		defer keepLock(t, l)()
		awaitHeld(t, l, time.Second)
		time.Sleep(confirmationTimeout - validity)
		if !l.held() {
			t.Error("the lock is not held although the report is recent")
		}
		time.Sleep(2*validity + renewInterval)
		if l.held() {
			t.Error("the lock is held although nothing was reported")
		}
		l.confirm()
		awaitHeld(t, l, 2*retryInterval)
	})
}

// TestNoConfirmation: a probe that takes the lock confirms nothing, since the report may be another's, until it
// has reported itself; and no longer when it finds something that it cannot write. Before there is a report,
// each renewal tells that it is alive.
func TestNoConfirmation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &leaseServer{}
		expect := func(when string, holder string, confirms bool) {
			t.Helper()
			lease, err := server.get()
			if err != nil || *lease.Spec.HolderIdentity != holder || v1alpha1.Confirms(lease.Spec) != confirms {
				t.Errorf("%s: %+v, %v", when, lease.Spec, err)
			}
		}
		reported := chat.DeepCopy()
		reported.Status.Mesh = &v1alpha1.MeshStatus{}
		first := testLock(server, "first", atOnce)
		stop := keepLock(t, first)
		time.Sleep(renewInterval / 2)
		expect("a new cluster", "first", true)
		first.confirm()
		stop()

		second := testLock(server, "second", atOnce)
		second.cluster.Store(nil)
		second.begin(reported)()
		defer keepLock(t, second)()
		time.Sleep(3 * renewInterval)
		expect("another, which has not reported", "second", false)
		second.confirm()
		time.Sleep(time.Millisecond)
		expect("it has reported", "second", true)
		second.withdraw()
		before, _ := server.get()
		time.Sleep(time.Minute)
		if after, err := server.get(); err != nil || after.ResourceVersion != before.ResourceVersion {
			t.Errorf("what was found could not be written, and the Lease is renewed: %+v, %v", after, err)
		}
		second.confirm()
		time.Sleep(2 * retryInterval)
		expect("it could be written", "second", true)
	})
}

// TestForeignLease: a Lease of somebody else stays.
func TestForeignLease(t *testing.T) {
	for name, tc := range map[string]struct {
		lease metav1.ObjectMeta
		want  bool
	}{
		"without our labels":             {metav1.ObjectMeta{}, false},
		"of another owner":               {metav1.ObjectMeta{Labels: naming.Labels("chat"), OwnerReferences: []metav1.OwnerReference{{Kind: "Deployment", Controller: ptr.To(true)}}}, false},
		"of another group's kind":        {metav1.ObjectMeta{Labels: naming.Labels("chat"), OwnerReferences: []metav1.OwnerReference{{APIVersion: "example.com/v1", Kind: "ErlangCluster", Controller: ptr.To(true)}}}, false},
		"of a cluster that had its name": {metav1.ObjectMeta{Labels: naming.Labels("chat"), OwnerReferences: []metav1.OwnerReference{{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "ErlangCluster", UID: "former", Controller: ptr.To(true)}}}, true},
		"that lost its labels":           {metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "ErlangCluster", UID: chat.UID, Controller: ptr.To(true)}}}, true},
		"of another cluster":             {metav1.ObjectMeta{Labels: naming.Labels("mail"), OwnerReferences: []metav1.OwnerReference{{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "ErlangCluster", UID: "mail", Controller: ptr.To(true)}}}, false},
		"that lost its owner":            {metav1.ObjectMeta{Labels: naming.Labels("chat")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &leaseServer{}
				if _, err := server.update(&coordinationv1.Lease{ObjectMeta: tc.lease}); err != nil {
					t.Fatal(err)
				}
				l := testLock(server, "first", atOnce)
				defer keepLock(t, l)()
				time.Sleep(time.Minute)
				if l.held() != tc.want {
					t.Errorf("held: %t", l.held())
				}
			})
		})
	}
}

// TestNoLease: without an ErlangCluster there is no Lease, and after another is created in its
// place the Lease is that one's.
func TestNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &leaseServer{}
		l := testLock(server, "first", atOnce)
		l.forget()
		defer keepLock(t, l)()
		time.Sleep(time.Minute)
		if _, err := server.get(); !apierrors.IsNotFound(err) {
			t.Errorf("without a cluster: %v", err)
		}
		recreated := chat.DeepCopy()
		recreated.UID = types.UID("recreated")
		l.begin(recreated)()
		awaitHeld(t, l, time.Second)
		if lease, err := server.get(); err != nil || !metav1.IsControlledBy(lease, recreated) {
			t.Errorf("Lease %+v, %v", lease, err)
		}
	})
}
