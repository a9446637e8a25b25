//go:build e2e

package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

var seed = flag.Uint64("seed", 0, "of TestChaos; random by default")

// TestChaos renews and rotates everything while manager and probe are killed again and
// again, a member restarts in every phase, and one is added. The members that are left
// alone lose nothing, and in the end the cluster has what it needs and nothing else. Not
// parallel: it kills the manager of all tests.
func TestChaos(t *testing.T) {
	const (
		steady  = 3 // the first members, which are left alone
		members = 5
		grown   = 6
	)
	seed := *seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to repeat: -seed=%d", seed)

	ns := harness.MixedNamespace(t)
	harness.PersistentVolumes(t, ns, "chat", grown)
	x := &chaos{t: t, met: map[phase]bool{}, random: rand.New(rand.NewPCG(seed, 1)), restartable: []int{steady, members}, grown: grown}
	x.Cluster = harness.Start(t, ns, "chat", members, "27",
		append(harness.Claims(ns, "chat"), "persistentVolumeClaimRetentionPolicy: {whenScaled: Delete}")...)
	pods, first := harness.Must(x.Restarts(t.Context(), steady))(t), harness.Must(x.Credentials(t.Context()))(t)
	x.StartTraffic(t, steady)

	killers := []*harness.Killer{
		harness.ManagerKiller(rand.New(rand.NewPCG(seed, 2))),
		x.ProbeKiller(rand.New(rand.NewPCG(seed, 3))),
	}
	for x.round == 0 || len(x.met) < len(phases) && x.round < 5 { // A phase that passes too quickly is met in another round.
		x.round++
		harness.WhileKilling(t, killers, 3, x.renew)
		harness.WhileKilling(t, killers, 4, x.rotateCA)
		harness.WhileKilling(t, killers, 3, x.rotateCookie)
	}
	t.Logf("everything was renewed and rotated %d times", x.round)
	for _, phase := range phases {
		if !x.met[phase] {
			t.Errorf("no member was restarted while the rotation of the CA was %s", phase)
		}
	}

	x.AwaitReady(t, grown)
	x.CheckTraffic(t, steady)
	x.CheckRestarts(t, steady, pods)
	x.CheckFormerCredentials(t, grown, first)
	x.awaitExactly(grown)

	x.Scale(t, steady)
	x.AwaitReady(t, steady)
	x.awaitExactly(steady)
	x.CheckTraffic(t, steady)
}

// chaos is one run of TestChaos.
type chaos struct {
	harness.Cluster
	t           *testing.T
	random      *rand.Rand
	restartable []int // from this ordinal, to before that one
	grown       int
	round       int
	met         map[phase]bool // phases in which a member was restarted
}

func (x *chaos) restartOne() {
	pod := x.Pod(x.restartable[0] + x.random.IntN(x.restartable[1]-x.restartable[0]))
	x.t.Logf("restart %s", pod)
	kubectl.Must(x.t, "delete", "pod", pod, "-n", x.Namespace, "--wait=false")
}

// renew deletes the certificate of every member, so that another is issued, and restarts
// a member meanwhile.
func (x *chaos) renew() {
	before := harness.Must(x.Serials(x.t.Context()))(x.t)
	args := []string{"delete", "-n", x.Namespace, "secret"}
	for pod := range before {
		args = append(args, pod+"-tls")
	}
	kubectl.Must(x.t, args...)
	x.restartOne()
	x.AwaitRenewed(x.t, before)
}

// phase of a rotation of the CA, as its objects show it.
type phase string

const (
	widening  phase = "widening trust"
	reissuing phase = "reissuing"
	shrinking phase = "shrinking trust"
)

var phases = []phase{widening, reissuing, shrinking}

// phasesBegun is how many phases of the rotation from one CA to another have started.
func (x *chaos) phasesBegun(ctx context.Context, from, to string) (int, error) {
	trusted, err := x.TrustedCAs(ctx)
	if err != nil {
		return 0, err
	}
	issuer, err := kubectl.Run(ctx, "get", "certificate", x.Pod(0)+"-tls", "-n", x.Namespace, "-o", "jsonpath={.spec.issuerRef.name}")
	if err != nil {
		return 0, err
	}
	switch {
	case issuer == from && trusted == 1:
		return 0, fmt.Errorf("it has not started")
	case issuer == from:
		return 1, nil
	case issuer != to:
		return 0, fmt.Errorf("certificates are issued by %s, neither %s nor %s", issuer, from, to)
	case trusted > 1:
		return 2, nil
	}
	if _, err := kubectl.Run(ctx, "get", "secret", from, "-n", x.Namespace); err == nil {
		return 3, nil
	}
	return 4, nil
}

// rotateCA rotates the CA, restarts a member in each phase that it meets, and adds one
// while certificates are reissued.
func (x *chaos) rotateCA() {
	names := naming.Names{Cluster: x.Name}
	id := func(round int) string { return strings.TrimSuffix(fmt.Sprintf("round-%d", round), "round-0") }
	var before string
	await.Until(x.t, 3*time.Minute, "one CA is served", func(ctx context.Context) (err error) {
		before, err = x.ServedCA(ctx)
		return err
	})
	from, to := names.CA(id(x.round-1)), names.CA(id(x.round))
	x.Patch(x.t, `{"tls":{"ca":{"rotationID":%q}}}`, id(x.round))
	for i, phase := range phases {
		begun := 0
		await.Until(x.t, 3*time.Minute, "the rotation of the CA is "+string(phase), func(ctx context.Context) (err error) {
			if begun, err = x.phasesBegun(ctx, from, to); err == nil && begun <= i {
				err = fmt.Errorf("it is %s", phases[begun-1])
			}
			return err
		})
		if begun > i+1 {
			x.t.Logf("it passed too quickly: %s", phase)
			continue
		}
		x.t.Logf("the CA changes: %s", phase)
		x.met[phase] = true
		x.restartOne()
		if phase == reissuing {
			x.Scale(x.t, x.grown)
		}
	}
	x.AwaitCA(x.t, 5*time.Minute, before, to)
}

// rotateCookie rotates the cookie, and restarts a member when some nodes have the new
// one and some have not: the probe, which changes the nodes, is killed first.
func (x *chaos) rotateCookie() {
	before := harness.Must(x.Cookie(x.t.Context()))(x.t)
	kubectl.Must(x.t, "delete", "pods", "-n", x.Namespace, "-l", "erlang-operator.dev/component=probe", "--grace-period=0", "--force")
	x.Patch(x.t, `{"cookie":{"rotationID":"round-%d"}}`, x.round)
	await.Until(x.t, 3*time.Minute, "there is another cookie", func(ctx context.Context) error {
		now, err := x.Cookie(ctx)
		if err == nil && now == before {
			err = fmt.Errorf("it is still the same")
		}
		return err
	})
	x.restartOne()
	x.AwaitCookie(x.t, 3*time.Minute, before)
}

// awaitExactly waits until there are the objects that so many members need, and no
// others.
func (x *chaos) awaitExactly(members int) {
	x.t.Helper()
	ca := naming.Names{Cluster: x.Name}.CA(fmt.Sprintf("round-%d", x.round))
	want := []string{
		"certificate.cert-manager.io/" + ca, "certificate.cert-manager.io/" + x.Name + "-probe-tls",
		"issuer.cert-manager.io/" + ca, "issuer.cert-manager.io/" + x.Name + "-selfsigned",
		"secret/" + ca, "secret/" + x.Name + "-probe-tls", "secret/" + x.Name + "-cookie",
	}
	for ordinal := range members {
		pod := x.Pod(ordinal)
		want = append(want, "certificate.cert-manager.io/"+pod+"-tls", "secret/"+pod+"-tls", "pod/"+pod, "persistentvolumeclaim/data-"+pod)
	}
	slices.Sort(want)
	await.Until(x.t, 90*time.Second, "no object is left over, and none is missing", func(ctx context.Context) error {
		out, err := kubectl.Run(ctx, "get", "certificates,issuers,secrets,pods,persistentvolumeclaims", "-n", x.Namespace, "-o", "name")
		got := slices.DeleteFunc(strings.Fields(out), func(name string) bool { return strings.HasPrefix(name, "pod/"+x.Name+"-probe-") })
		slices.Sort(got)
		if diff := cmp.Diff(want, got); err == nil && diff != "" {
			err = fmt.Errorf("(-want +got):\n%s", diff)
		}
		return err
	})
}
