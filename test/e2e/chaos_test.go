//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/certs/naming"
)

var seed = flag.Uint64("seed", 0, "of TestChaos; another each time, unless it is given")

// TestChaos renews and rotates everything while manager and probe are killed again
// and again, a member restarts in every phase, and one is added in the midst of it.
// The members that nobody touches lose nothing, and in the end all is as if nothing
// had happened. Not parallel: the manager is everybody's.
func TestChaos(t *testing.T) {
	const (
		steady  = 3 // the first so many are left alone
		members = 5
		grown   = 6
	)
	seed := *seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("for the same moments again: -seed=%d", seed)
	random := rand.New(rand.NewPCG(seed, 1))

	ns := mixedNamespace(t)
	persistentVolumes(t, ns, "chat", grown)
	c := start(t, ns, "chat", members, "27",
		append(claims(ns, "chat"), "persistentVolumeClaimRetentionPolicy: {whenScaled: Delete}")...)
	pods, first := c.restarts(steady), c.identity()
	c.startTraffic(steady)
	restartOne := func() {
		pod := c.pod(steady + random.IntN(members-steady))
		t.Logf("restart %s", pod)
		must(t, "delete", "pod", pod, "-n", ns, "--wait=false")
	}
	grow := func() {
		must(t, "scale", "erlangcluster", c.name, "-n", ns, fmt.Sprintf("--replicas=%d", grown))
	}

	killers := []*killer{
		{victim: theManager(), random: rand.New(rand.NewPCG(seed, 2))},
		{victim: c.itsProbe(), random: rand.New(rand.NewPCG(seed, 3))},
	}
	met := map[phase]bool{}
	round := 0
	for round == 0 || len(met) < len(phases) && round < 5 { // A phase that goes by too quickly is met in another round.
		round++
		c.whileKilling(killers, 3, func() { c.renewInChaos(restartOne) })
		c.whileKilling(killers, 4, func() { c.rotateCAInChaos(round, met, restartOne, grow) })
		c.whileKilling(killers, 3, func() { c.rotateCookieInChaos(round, restartOne) })
	}
	t.Logf("all of it was renewed and rotated %d times", round)
	for _, phase := range phases {
		if !met[phase] {
			t.Errorf("no member was restarted while the rotation of the CA was %s", phase)
		}
	}

	c.awaitWhole(grown)
	c.checkTraffic(steady)
	c.checkRestarts(steady, pods)
	c.checkOnlyNowAdmits(grown, first)
	c.awaitNothingElse(grown, round)

	must(t, "scale", "erlangcluster", c.name, "-n", ns, fmt.Sprintf("--replicas=%d", steady))
	c.awaitWhole(steady)
	c.awaitNothingElse(steady, round)
	c.checkTraffic(steady)
}

// victim is a Deployment whose pod is killed again and again.
type victim struct {
	name, namespace, selector string
	lease                     string // that the pod at work holds; empty if it needs none
}

func theManager() victim {
	return victim{"manager", "erlang-operator-system", "app.kubernetes.io/component=manager", "erlang-operator.erlang-operator.dev"}
}

func (c cluster) itsProbe() victim {
	return victim{name: "probe", namespace: c.namespace,
		selector: "erlang-operator.dev/cluster=" + c.name + ",erlang-operator.dev/component=probe"}
}

// killer of a victim, and what it has done so far.
type killer struct {
	victim
	random *rand.Rand
	killed int
}

// whileKilling does something while each victim is killed so many times, and comes back
// when all of that is over.
func (c cluster) whileKilling(killers []*killer, times int, do func()) {
	c.t.Helper()
	var kills sync.WaitGroup
	c.t.Cleanup(kills.Wait) // Doing it may end the test.
	for _, killer := range killers {
		kills.Go(func() { killer.kill(c.t, times) })
	}
	do()
	kills.Wait()
}

// kill kills the victim so many times more, each time at some moment after another pod
// has taken over.
func (k *killer) kill(t *testing.T, times int) {
	ctx := t.Context()
	for end := k.killed + times; k.killed < end && ctx.Err() == nil; {
		pod, err := k.atWork(ctx)
		if err != nil {
			time.Sleep(200 * time.Millisecond) // between two looks
			continue
		}
		time.Sleep(time.Duration(k.random.Int64N(int64(5 * time.Second)))) // The moments of death are spread over a life.
		// Who is ended by the kubelet lets go of a lease first. So one time in five it is
		// done at once, and the successor waits until the lease runs out.
		err = k.end(ctx, pod, k.lease != "" && k.killed%5 == 1)
		switch {
		case err == nil:
			k.killed++
			t.Logf("killed the %s, number %d", k.name, k.killed)
		case ctx.Err() == nil && !strings.Contains(err.Error(), "NotFound"): // It may have gone by itself.
			t.Errorf("kill the %s: %v", k.name, err)
			return
		}
	}
}

// atWork is the pod that does the work by now.
func (v victim) atWork(ctx context.Context) (corev1.Pod, error) {
	text, err := kubectl(ctx, "", "get", "pods", "-n", v.namespace, "-l", v.selector, "--field-selector=status.phase=Running", "-o", "json")
	if err != nil {
		return corev1.Pod{}, err
	}
	holder := ""
	if v.lease != "" {
		if holder, err = kubectl(ctx, "", "get", "lease", v.lease, "-n", v.namespace, "-o", "jsonpath={.spec.holderIdentity}"); err != nil {
			return corev1.Pod{}, err
		}
	}
	var running corev1.PodList
	if err := json.Unmarshal([]byte(text), &running); err != nil {
		return corev1.Pod{}, err
	}
	for _, pod := range running.Items {
		if v.lease == "" || strings.HasPrefix(holder, pod.Name+"_") {
			return pod, nil
		}
	}
	return corev1.Pod{}, fmt.Errorf("no %s is at work", v.name)
}

// end leaves a pod no time, and if it is to be at once, not even the two seconds that a
// kubelet gives to all.
func (v victim) end(ctx context.Context, pod corev1.Pod, atOnce bool) error {
	if atOnce {
		killed, err := killProcesses("erlang-operator", "cgroup", "pod"+string(pod.UID))
		if err != nil {
			return err
		}
		if killed == 0 {
			return fmt.Errorf("no process of pod %s runs on this machine", pod.Name)
		}
	}
	_, err := kubectl(ctx, "", "delete", "pod", pod.Name, "-n", v.namespace, "--grace-period=0", "--force")
	return err
}

// renewInChaos takes the certificate of every member away, so that another is made, and
// restarts a member meanwhile.
func (c cluster) renewInChaos(restartOne func()) {
	c.t.Helper()
	before, err := c.serials()
	if err != nil {
		c.t.Fatal(err)
	}
	args := []string{"delete", "-n", c.namespace, "secret"}
	for pod := range before {
		args = append(args, pod+"-tls")
	}
	must(c.t, args...)
	restartOne()
	c.awaitRenewed(before)
}

// phase of a rotation of the CA, as the objects tell it.
type phase string

const (
	widening  phase = "widening trust"
	reissuing phase = "reissuing"
	shrinking phase = "shrinking trust"
)

var phases = []phase{widening, reissuing, shrinking}

// phaseOfCA is where the rotation from one CA to another is: how many of the phases
// have begun.
func (c cluster) phaseOfCA(from, to string) (int, error) {
	var trust corev1.ConfigMap
	if err := get(c.t, &trust, "configmap", c.name+"-distribution", "-n", c.namespace); err != nil {
		return 0, err
	}
	issuer, err := kubectl(c.t.Context(), "", "get", "certificate", c.pod(0)+"-tls", "-n", c.namespace, "-o", "jsonpath={.spec.issuerRef.name}")
	if err != nil {
		return 0, err
	}
	wide := strings.Count(trust.Data[naming.TrustKey], "BEGIN CERTIFICATE") > 1
	switch {
	case issuer == from && !wide:
		return 0, fmt.Errorf("it has not begun")
	case issuer == from:
		return 1, nil
	case issuer != to:
		return 0, fmt.Errorf("certificates are issued by %s, neither %s nor %s", issuer, from, to)
	case wide:
		return 2, nil
	}
	if _, err := kubectl(c.t.Context(), "", "get", "secret", from, "-n", c.namespace); err == nil {
		return 3, nil
	}
	return 4, nil
}

// rotateCAInChaos rotates the CA and restarts a member in each phase that it meets.
func (c cluster) rotateCAInChaos(round int, met map[phase]bool, restartOne, grow func()) {
	c.t.Helper()
	names := naming.Names{Cluster: c.name}
	id := func(round int) string {
		if round == 0 {
			return ""
		}
		return fmt.Sprintf("round-%d", round)
	}
	var before string
	eventually(c.t, 3*time.Minute, "one CA is served", func() (err error) {
		before, err = c.serving()
		return err
	})
	from, to := names.CA(id(round-1)), names.CA(id(round))
	c.patchTLS(fmt.Sprintf(`{"ca":{"rotationID":%q}}`, id(round)))
	for i, phase := range phases {
		begun := 0
		eventually(c.t, 3*time.Minute, "the rotation of the CA comes to "+string(phase), func() (err error) {
			if begun, err = c.phaseOfCA(from, to); err == nil && begun <= i {
				err = fmt.Errorf("it is %s", phases[begun-1])
			}
			return err
		})
		if begun > i+1 {
			c.t.Logf("it was not met %s", phase)
			continue
		}
		c.t.Logf("the CA changes: %s", phase)
		met[phase] = true
		restartOne()
		if phase == reissuing {
			grow()
		}
	}
	c.awaitCA(5*time.Minute, before, to)
}

// rotateCookieInChaos rotates the cookie, and restarts a member half-way. So that there is
// a half-way, the probe, which takes the nodes along, is killed first.
func (c cluster) rotateCookieInChaos(round int, restartOne func()) {
	c.t.Helper()
	before := c.cookie()
	must(c.t, "delete", "pods", "-n", c.namespace, "-l", "erlang-operator.dev/component=probe", "--grace-period=0", "--force")
	c.patchCookie(fmt.Sprintf("round-%d", round))
	eventually(c.t, 3*time.Minute, "there are two cookies", func() error {
		if c.cookie() == before {
			return fmt.Errorf("there is the one before only")
		}
		return nil
	})
	restartOne()
	c.awaitCookie(3*time.Minute, before)
}

// awaitNothingElse waits until there is, of all that could be left over, what so many
// members need and nothing else.
func (c cluster) awaitNothingElse(members, round int) {
	c.t.Helper()
	ca := naming.Names{Cluster: c.name}.CA(fmt.Sprintf("round-%d", round))
	want := []string{
		"certificate.cert-manager.io/" + ca, "certificate.cert-manager.io/" + c.name + "-probe-tls",
		"issuer.cert-manager.io/" + ca, "issuer.cert-manager.io/" + c.name + "-selfsigned",
		"secret/" + ca, "secret/" + c.name + "-probe-tls", "secret/" + c.name + "-cookie",
	}
	for ordinal := range members {
		pod := c.pod(ordinal)
		want = append(want, "certificate.cert-manager.io/"+pod+"-tls", "secret/"+pod+"-tls", "pod/"+pod, "persistentvolumeclaim/data-"+pod)
	}
	slices.Sort(want)
	eventually(c.t, 90*time.Second, "nothing is orphaned, and nothing is missing", func() error {
		var got []string
		for _, name := range strings.Fields(must(c.t, "get", "certificates,issuers,secrets,pods,persistentvolumeclaims", "-n", c.namespace, "-o", "name")) {
			if !strings.HasPrefix(name, "pod/"+c.name+"-probe-") {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("(-want +got):\n%s", diff)
		}
		return nil
	})
}
