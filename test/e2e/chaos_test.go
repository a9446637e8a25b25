//go:build e2e

package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/certs"
)

var seed = flag.Uint64("seed", 0, "of TestChaos; another each time, unless it is given")

// TestChaos renews and rotates everything while manager and probe are killed again
// and again, a member restarts in every phase, and one is added in the midst of it.
// The members that nobody touches lose nothing, and in the end all is as if nothing
// had happened.
func TestChaos(t *testing.T) {
	t.Parallel()
	const (
		steady  = 3 // the first so many are left alone
		members = 5
		grown   = 6
		kills   = 10 // of each
	)
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("to have the same moments again: -seed=%d", *seed)
	random := rand.New(rand.NewPCG(*seed, 1))

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

	killed := c.killOften(rand.New(rand.NewPCG(*seed, 2)), kills)
	met := map[phase]bool{}
	round := 0
	for ended := false; !ended; {
		round++
		c.renewInChaos(restartOne)
		c.rotateCAInChaos(round, met, restartOne, grow)
		c.rotateCookieInChaos(round, restartOne)
		select {
		case <-killed:
			// A phase that went by too quickly to be met is met in another round.
			ended = len(met) == len(phases) || round == 5
		default:
		}
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

// killOften kills the manager and the probe so many times each, in some order, at some
// moment after each has come back, and says when it is done.
func (c cluster) killOften(random *rand.Rand, times int) (done <-chan struct{}) {
	type victim struct{ namespace, selector string }
	manager := victim{"erlang-operator-system", "app.kubernetes.io/component=manager"}
	probe := victim{c.namespace, "erlang-operator.dev/cluster=" + c.name + ",erlang-operator.dev/component=probe"}
	victims := append(slices.Repeat([]victim{manager}, times), slices.Repeat([]victim{probe}, times)...)
	random.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })

	ended := make(chan struct{})
	c.t.Cleanup(func() { <-ended })
	go func() {
		defer close(ended)
		dead := map[string]bool{}
		for _, victim := range victims {
			var pod string
			for pod = ""; pod == "" || dead[pod]; {
				time.Sleep(200 * time.Millisecond) // between two looks for one that runs
				running, err := kubectl(c.t.Context(), "", "get", "pods", "-n", victim.namespace, "-l", victim.selector,
					"--field-selector=status.phase=Running", "-o", `jsonpath={.items[0].metadata.name}`)
				if c.t.Context().Err() != nil {
					return
				}
				if err == nil {
					pod = running
				}
			}
			time.Sleep(time.Duration(random.Int64N(int64(6 * time.Second)))) // the moments of death are spread over its life
			_, err := kubectl(c.t.Context(), "", "delete", "pod", pod, "-n", victim.namespace, "--grace-period=0", "--force")
			if c.t.Context().Err() != nil {
				return
			}
			if err != nil {
				c.t.Errorf("kill %s: %v", pod, err)
				return
			}
			dead[pod] = true
			c.t.Logf("killed %s", pod)
		}
	}()
	return ended
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
	wide := strings.Count(trust.Data[certs.TrustKey], "BEGIN CERTIFICATE") > 1
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
	names := certs.Names{Cluster: c.name}
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
	ca := certs.Names{Cluster: c.name}.CA(fmt.Sprintf("round-%d", round))
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
