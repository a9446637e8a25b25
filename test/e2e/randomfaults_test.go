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
	"sync"
	"testing"
	"time"

	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

var (
	faultCount = flag.Int("faults", 10, "how many faults TestRandomFaults makes")
	ofMachines = flag.Bool("machines", false, "TestRandomFaults makes faults of machines and of the control plane, too")
	stretch    = flag.Int("stretch", 1, "how many times longer the faults of TestRandomFaults last")
	onlyFault  = flag.String("fault", "", "a regular expression for the faults that TestRandomFaults makes")
)

// What the cluster promises about a fault.
const (
	// noticedNode is after how long a node that does not answer is reported.
	noticedNode = 15 * time.Second
	// noticedLink is after how long a link over which nothing arrives is reported.
	noticedLink = 30 * time.Second
	// recovered is how long after the end of a fault the cluster is Ready, and healed after the
	// end of one of the network.
	recovered = time.Minute
	healed    = 20 * time.Second
	// sweeps is a little more than the time between two sweeps of the probe. What is Ready
	// for that long was not only taken for it.
	sweeps = 7 * time.Second
)

// randomFault is something that happens to a running cluster.
type randomFault struct {
	name string
	// make makes the fault, and returns what ends it, and the members that may lose their
	// links by it.
	make func(x *randomFaults) (end func(), affected []int)
	// lasts is how long the fault lasts, once it is noticed.
	lasts time.Duration
	// noticed is after how long the cluster is not Ready, until the fault ends. 0: it need
	// not be.
	noticed time.Duration
}

// memberFaults concern one cluster, and nothing else on its machines.
var memberFaults = []randomFault{
	{name: "kill a node", make: func(x *randomFaults) (func(), []int) {
		at := x.member()
		x.KillNode(x.t, at)
		return func() {}, []int{at}
	}},
	{name: "delete a pod", make: func(x *randomFaults) (func(), []int) {
		at := x.member()
		kubectl.Must(x.t, "delete", "pod", x.Pod(at), "-n", x.Namespace)
		return func() {}, []int{at}
	}},
	{name: "kill the probe", make: func(x *randomFaults) (func(), []int) {
		kubectl.Must(x.t, "delete", "pods", "-n", x.Namespace, "-l", "erlang-operator.dev/component=probe", "--grace-period=0", "--force")
		return func() {}, nil
	}},
	{name: "freeze a node", lasts: 9 * time.Second, noticed: noticedNode, make: func(x *randomFaults) (func(), []int) {
		at := x.member()
		return x.FreezeNode(x.t, at), []int{at}
	}},
	{name: "cut a node off", lasts: 9 * time.Second, noticed: noticedNode, make: func(x *randomFaults) (func(), []int) {
		at := x.member()
		return x.CutOff(x.t, at), []int{at}
	}},
	{name: "cut a node off and kill it", lasts: 9 * time.Second, make: func(x *randomFaults) (func(), []int) {
		at := x.member()
		end := x.CutOff(x.t, at)
		x.KillNode(x.t, at)
		return end, []int{at}
	}},
	{name: "cut two nodes from each other, one way, and kill one", lasts: 5 * time.Second, make: func(x *randomFaults) (func(), []int) {
		at := x.random.Perm(x.members)
		end := x.CutOffFrom(x.t, at[0], at[1])
		x.KillNode(x.t, at[x.random.IntN(2)])
		return end, at[:2]
	}},
	{name: "cut two nodes from each other, one way", lasts: 5 * time.Second, noticed: noticedLink, make: func(x *randomFaults) (func(), []int) {
		at := x.random.Perm(x.members)
		return x.CutOffFrom(x.t, at[0], at[1]), at[:2]
	}},
	{name: "lose 20 % of the packets of a node", lasts: 9 * time.Second, make: func(x *randomFaults) (func(), []int) {
		at := x.member()
		return x.LosePackets(x.t, at, 20), []int{at}
	}},
}

// What a node sends to the distribution port of others is dropped: the links that it has made
// are silent, and those that others have made to it are not. The cluster is not Ready long
// before OTP ends these links, and names the node. When the packets arrive, the links work.
func TestOutgoingPortDropped(t *testing.T) {
	t.Parallel()
	c := harness.Start(t, harness.Namespace(t), "chat", 3, "27")
	timeline, begun := c.Timeline(t), time.Now()
	at := c.Dialled(t, 3, 9100)
	end := c.DropOutgoing(t, at, 9100)
	await.Until(t, noticedLink, "not Ready", func(context.Context) error {
		_, text, err := timeline.Reached(false, begun)
		if err == nil && !strings.Contains(text, c.Pod(at)) {
			t.Errorf("it does not name %s: %s", c.Pod(at), text)
		}
		return err
	})
	end()
	await.Until(t, healed, "Ready again", func(context.Context) error {
		_, err := timeline.Stable()
		return err
	})
}

// TestRandomFaults makes one fault after the other. Each is noticed in time, and the cluster is
// not Ready until it ends; then the cluster recovers by itself, and no link was lost between
// two members that it did not concern.
func TestRandomFaults(t *testing.T) {
	seed := *seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to repeat: -seed=%d -faults=%d -machines=%t -stretch=%d", seed, *faultCount, *ofMachines, *stretch)
	faults := memberFaults
	if *ofMachines {
		faults = slices.Concat(memberFaults, machineFaults)
	} else {
		t.Parallel()
	}
	if only := regexp.MustCompile(*onlyFault); *onlyFault != "" {
		faults = slices.DeleteFunc(slices.Clone(faults), func(f randomFault) bool { return !only.MatchString(f.name) })
	}
	x := &randomFaults{t: t, members: 4, random: rand.New(rand.NewPCG(seed, 4))}
	x.Cluster = harness.StartMixed(t, "chat", x.members)
	x.timeline = x.Timeline(t)
	var order []int
	for number := range *faultCount {
		if len(order) == 0 { // Each fault once, in random order, before any is made again.
			order = x.random.Perm(len(faults))
		}
		x.one(number, faults[order[0]])
		order = order[1:]
	}
}

// randomFaults is one run of TestRandomFaults.
type randomFaults struct {
	harness.Cluster
	t        *testing.T
	random   *rand.Rand
	members  int
	timeline *harness.Timeline
}

func (x *randomFaults) member() int { return x.random.IntN(x.members) }

// one makes a fault, and checks what is promised.
func (x *randomFaults) one(number int, fault randomFault) {
	x.awaitStable(time.Now())
	x.ofEach(func(ctx context.Context, ordinal int) error {
		if err := x.WatchLinks(ctx, ordinal); err != nil {
			return err
		}
		_, err := x.LinksDown(ctx, ordinal)
		return err
	})
	begun := time.Now()
	end, affected := fault.make(x)
	told := x.awaitNoticed(fault, begun)
	time.Sleep(x.lasts(fault)) // That it lasts is the fault.
	ended := time.Now()
	end()
	if lapses := x.timeline.Lapses(told, ended); fault.noticed > 0 && len(lapses) > 0 {
		x.t.Errorf("%s: Ready before it ended: %v", fault.name, lapses)
	}
	ready := x.awaitStable(ended)
	noticed := "not noticed"
	if at, reason, err := x.timeline.Reached(false, begun); err == nil && at.Before(ready.Add(time.Second)) {
		noticed = fmt.Sprintf("noticed after %s (%.40s)", at.Sub(begun).Round(100*time.Millisecond), reason)
	}
	x.t.Logf("%d, %s, members %v: %s, Ready %s after its end", number+1, fault.name, affected, noticed, ready.Sub(ended).Round(100*time.Millisecond))
	x.checkLinks(fault, affected)
}

func (x *randomFaults) lasts(fault randomFault) time.Duration {
	return time.Duration(*stretch) * fault.lasts
}

// awaitNoticed waits until the cluster is not Ready, and returns since when.
func (x *randomFaults) awaitNoticed(fault randomFault, begun time.Time) (at time.Time) {
	if fault.noticed > 0 {
		within := fault.noticed
		if !*ofMachines {
			within += 5 * time.Second // Other tests run at the same time.
		}
		await.Until(x.t, within, fault.name+": not Ready", func(context.Context) (err error) {
			at, _, err = x.timeline.Reached(false, begun)
			return err
		})
	}
	return at
}

// awaitStable waits until the cluster is Ready and stays it, and returns since when.
func (x *randomFaults) awaitStable(since time.Time) (at time.Time) {
	await.Until(x.t, recovered+sweeps, "Ready", func(context.Context) (err error) {
		if at, err = x.timeline.Stable(); err == nil && time.Since(at) < sweeps || time.Since(since) < sweeps {
			err = errors.New("it may not last")
		}
		return err
	})
	return slices.MaxFunc([]time.Time{at, since}, time.Time.Compare)
}

// checkLinks requires that no link went down between members that the fault did not concern.
func (x *randomFaults) checkLinks(fault randomFault, affected []int) {
	x.ofEach(func(ctx context.Context, ordinal int) error {
		down, err := x.LinksDown(ctx, ordinal)
		for _, link := range down {
			concerned := slices.ContainsFunc(affected, func(at int) bool { return x.Pod(at) == link.Pod || x.Pod(at) == link.Peer })
			x.t.Logf("link down: %+v", link)
			if !concerned {
				x.t.Errorf("%s, members %v: lost the link %+v", fault.name, affected, link)
			}
		}
		return err
	})
}

// ofEach does something with every member at once.
func (x *randomFaults) ofEach(do func(ctx context.Context, ordinal int) error) {
	var group sync.WaitGroup
	for ordinal := range x.members {
		group.Go(func() {
			if err := do(x.t.Context(), ordinal); err != nil {
				x.t.Error(err)
			}
		})
	}
	group.Wait()
}
