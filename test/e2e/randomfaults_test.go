//go:build e2e

package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

var (
	faultCount = flag.Int("faults", 0, "how many faults TestRandomFaults makes, which is skipped without")
	ofMachines = flag.Bool("machines", false, "TestRandomFaults makes faults of machines and of the control plane, too")
	stretch    = flag.Int("stretch", 1, "how many times longer the faults of TestRandomFaults last")
	onlyFault  = flag.String("fault", "", "a regular expression for the faults that TestRandomFaults makes")
)

// What the cluster promises about a fault, on a machine that has time for it.
const (
	// noticedNode is after how long a node that does not answer is reported.
	noticedNode = 15 * time.Second
	// noticedLink is after how long a link over which nothing arrives is reported.
	noticedLink = 30 * time.Second
	// noticedMachine is after how long the loss of a machine is reported, on which the probe may be.
	noticedMachine = 40 * time.Second
	// recovered is how long after the end of a fault the cluster is Ready.
	recovered = time.Minute
	// twice is within how long a container may not end twice: two minutes, and the time to start.
	twice = 150 * time.Second
	// sweeps is a little more than the time between two sweeps of the probe. What is Ready
	// for that long was not only taken for it.
	sweeps = 7 * time.Second
)

// patience is how many times longer everything may take in the tests that run beside others,
// on a machine that may be slow: what happens is what they are about, and not when.
const patience = 6

// randomFault is something that happens to a running cluster.
type randomFault struct {
	name string
	// make makes the fault, and returns what ends it, and the members that may lose their
	// links by it.
	make func(x *faultRun) (end func(), affected []int)
	// lasts is how long the fault lasts, once it is noticed.
	lasts time.Duration
	// noticed is after how long the cluster is not Ready, until the fault ends, and says of a
	// member that it affects what is wrong. 0: it need not.
	noticed time.Duration
	says    string
}

// memberFaults concern one cluster, and nothing else on its machines.
var memberFaults = []randomFault{
	{name: "kill a node", make: func(x *faultRun) (func(), []int) {
		at := x.victims(1)
		x.KillNode(x.t, at[0])
		return func() {}, at
	}},
	{name: "delete a pod", make: func(x *faultRun) (func(), []int) {
		at := x.member()
		kubectl.Must(x.t, "delete", "pod", x.Pod(at), "-n", x.Namespace)
		return func() {}, []int{at}
	}},
	{name: "kill the probe", make: func(x *faultRun) (func(), []int) {
		kubectl.Must(x.t, "delete", "pods", "-n", x.Namespace, "-l", "erlang-operator.dev/component=probe", "--grace-period=0", "--force")
		return func() {}, nil
	}},
	{name: "freeze a node", lasts: 9 * time.Second, noticed: noticedNode, make: func(x *faultRun) (func(), []int) {
		at := x.member()
		return x.FreezeNode(x.t, at), []int{at}
	}},
	{name: "cut a node off", lasts: 9 * time.Second, noticed: noticedNode, make: func(x *faultRun) (func(), []int) {
		at := x.member()
		return x.CutOff(x.t, at), []int{at}
	}},
	{name: "cut a node off and kill it", lasts: 9 * time.Second, make: func(x *faultRun) (func(), []int) {
		at := x.victims(1)
		end := x.CutOff(x.t, at[0])
		x.KillNode(x.t, at[0])
		return end, at
	}},
	{name: "cut two nodes from each other, one way, and kill one", lasts: 5 * time.Second, make: func(x *faultRun) (func(), []int) {
		at := x.random.Perm(x.members)[:2]
		victim := x.victims(1, at...)[0]
		end := x.CutOffFrom(x.t, at[0], at[1])
		x.KillNode(x.t, victim)
		return end, at
	}},
	{name: "cut two nodes from each other, one way", lasts: 5 * time.Second, noticed: noticedLink, says: " is not linked to", make: func(x *faultRun) (func(), []int) {
		at := x.random.Perm(x.members)[:2]
		return x.CutOffFrom(x.t, at[0], at[1]), at
	}},
	{name: "lose 20 % of the packets of a node", lasts: 9 * time.Second, make: func(x *faultRun) (func(), []int) {
		at := x.member()
		return x.LosePackets(x.t, at, 20), []int{at}
	}},
	{name: "kill two nodes at once", make: func(x *faultRun) (func(), []int) {
		at := x.victims(2)
		x.KillNode(x.t, at[0])
		x.KillNode(x.t, at[1])
		return func() {}, at
	}},
}

// What a node sends to the distribution port of others is dropped: the links that it has made
// are silent, and those that others have made to it are not. The cluster is not Ready long before
// OTP ends these links, and names the node. When the packets arrive, the links work.
func TestOutgoingPortDropped(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Namespace(t), "chat", 3, "27")
	timeline, begun := c.Timeline(t), time.Now()
	at := c.Dialled(t, 3, 9100)
	end := c.DropOutgoing(t, at, 9100)
	var text string
	await.Until(t, patience*noticedLink, "not Ready", func(context.Context) (err error) {
		_, text, err = timeline.NotReady(begun, c.Pod(at)+" is not linked to")
		return err
	})
	if !strings.Contains(text, "gets no answer over that link") {
		t.Errorf("it does not tell that a link is silent: %s", text)
	}
	end()
	await.Until(t, patience*recovered, "Ready again", func(context.Context) error {
		_, err := timeline.Stable()
		return err
	})
}

// TestEveryFault makes every fault of members, one after the other, at two clusters. Each is noticed, and the
// cluster is not Ready until it ends; then the cluster recovers by itself, and no link was lost
// between two members that it did not concern.
func TestEveryFault(t *testing.T) {
	t.Parallel()
	for faults := range slices.Chunk(memberFaults, 5) {
		t.Run(faults[0].name, func(t *testing.T) {
			t.Parallel()
			x := newFaultRun(t, 1, patience)
			for number, fault := range faults {
				x.one(number, fault)
			}
		})
	}
}

// TestRandomFaults makes faults in random order, each within the time that is promised.
func TestRandomFaults(t *testing.T) {
	if *faultCount == 0 {
		t.Skip("wants the machine for itself: run `make soak`, or give -faults=20")
	}
	seed := *seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to repeat: -seed=%d -faults=%d -machines=%t -stretch=%d -fault=%q", seed, *faultCount, *ofMachines, *stretch, *onlyFault)
	faults := slices.Clone(memberFaults)
	if *ofMachines {
		faults = append(faults, machineFaults...)
	}
	only := regexp.MustCompile(*onlyFault)
	faults = slices.DeleteFunc(faults, func(f randomFault) bool { return !only.MatchString(f.name) })
	x := newFaultRun(t, seed, 1)
	var order []int
	for number := range *faultCount {
		if len(order) == 0 { // Each fault once, in random order, before any is made again.
			order = x.random.Perm(len(faults))
		}
		x.one(number, faults[order[0]])
		order = order[1:]
	}
}

// faultRun is a cluster at which faults are made.
type faultRun struct {
	harness.Cluster
	t        *testing.T
	random   *rand.Rand
	patience time.Duration // how many times longer than promised everything may take
	members  int
	killed   []time.Time // when each was last
	timeline *harness.Timeline
	known    map[harness.LinkDown]bool // that were checked
}

func newFaultRun(t *testing.T, seed uint64, patience time.Duration) *faultRun {
	x := &faultRun{t: t, members: 4, killed: make([]time.Time, 4), random: rand.New(rand.NewPCG(seed, 4)), patience: patience, known: map[harness.LinkDown]bool{}}
	x.Cluster = harness.StartWatched(t, "chat", x.members)
	x.timeline = x.Timeline(t)
	x.awaitStable(time.Now())
	return x
}

func (x *faultRun) member() int { return x.random.IntN(x.members) }

// victims are members to kill, among some or all. They take turns: a container that ends twice
// within two minutes is reported until it has run for two, and the kubelet waits the longer before
// it starts one again, the more often that has ended.
func (x *faultRun) victims(count int, among ...int) []int {
	if len(among) == 0 {
		among = x.random.Perm(x.members)
	}
	at := slices.SortedStableFunc(slices.Values(among), func(a, b int) int { return x.killed[a].Compare(x.killed[b]) })[:count]
	time.Sleep(time.Until(x.killed[at[count-1]].Add(twice)))
	for _, victim := range at {
		x.killed[victim] = time.Now()
	}
	return at
}

// one makes a fault, and checks what is promised.
func (x *faultRun) one(number int, fault randomFault) {
	begun := time.Now()
	end, affected := fault.make(x)
	told := x.awaitNoticed(fault, affected, begun)
	time.Sleep(time.Duration(*stretch) * fault.lasts) // That it lasts is the fault.
	ended := time.Now()
	end()
	if lapses := x.timeline.Lapses(told, ended); fault.noticed > 0 && len(lapses) > 0 {
		x.t.Errorf("%s: Ready before it ended: %v", fault.name, lapses)
	}
	ready := x.awaitStable(ended)
	noticed := "not noticed"
	if at, reason, err := x.timeline.NotReady(begun); err == nil && at.Before(ready.Add(time.Second)) {
		noticed = fmt.Sprintf("noticed after %s (%.40s)", at.Sub(begun).Round(100*time.Millisecond), reason)
	}
	x.t.Logf("%d, %s, members %v: %s, Ready %s after its end", number+1, fault.name, affected, noticed, ready.Sub(ended).Round(100*time.Millisecond))
	x.checkLinks(fault, affected)
}

// awaitNoticed waits until the cluster is not Ready because of a fault, and returns since when.
func (x *faultRun) awaitNoticed(fault randomFault, affected []int, begun time.Time) (at time.Time) {
	texts := x.pods(affected, fault.says)
	if fault.noticed == noticedMachine {
		texts = append(texts, "The probe has not reported for") // It may run there.
	}
	if fault.noticed > 0 {
		await.Until(x.t, x.patience*fault.noticed, fault.name+": not Ready", func(context.Context) (err error) {
			at, _, err = x.timeline.NotReady(begun, texts...)
			return err
		})
	}
	return at
}

// pods are the names of some pods, each with a text after it.
func (x *faultRun) pods(ordinals []int, text string) (pods []string) {
	for _, ordinal := range ordinals {
		pods = append(pods, x.Pod(ordinal)+text)
	}
	return pods
}

// awaitStable waits until the cluster is Ready and stays it, and returns since when.
func (x *faultRun) awaitStable(since time.Time) (at time.Time) {
	await.Until(x.t, x.patience*recovered+sweeps, "Ready", func(context.Context) (err error) {
		if at, err = x.timeline.Stable(); err == nil && time.Since(at) < sweeps || time.Since(since) < sweeps {
			err = errors.New("it may not last")
		}
		return err
	})
	return slices.MaxFunc([]time.Time{at, since}, time.Time.Compare)
}

// checkLinks requires that no link has gone down between members that the fault did not concern.
func (x *faultRun) checkLinks(fault randomFault, affected []int) {
	concerned := x.pods(affected, "")
	for ordinal := range x.members {
		var down []harness.LinkDown
		await.Until(x.t, time.Minute, "links that went down", func(ctx context.Context) (err error) {
			down, err = x.LinksDown(ctx, ordinal)
			return err
		})
		for _, link := range down {
			if x.known[link] {
				continue
			}
			x.known[link] = true
			x.t.Logf("link down: %+v", link)
			if !slices.Contains(concerned, link.Pod) && !slices.Contains(concerned, link.Peer) {
				x.t.Errorf("%s, members %v: lost the link %+v", fault.name, affected, link)
			}
		}
	}
}
