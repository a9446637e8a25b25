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

	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

var readyRuns = flag.Int("ready-runs", 0, "how often TestBenchmarkReady creates each cluster; it is skipped without")

// How many times as long an ErlangCluster may take to be Ready as the same by hand: in the median,
// and in any run.
const (
	mostReadyMedian = 1.5
	mostReadyWorst  = 2.5
)

// TestBenchmarkReady prints how long an ErlangCluster takes to be Ready, beside what the same takes
// by hand: a CA, a certificate for each pod, then a StatefulSet that mounts them, until all of its
// pods are Ready, which proves nothing about the nodes. When they are up, which takes the same start
// of a BEAM with TLS, is printed too. They take turns, so that whatever else the machine does
// concerns both.
func TestBenchmarkReady(t *testing.T) {
	if *readyRuns == 0 {
		t.Skip("takes a quarter of an hour: run `make bench-ready`, or give -ready-runs=3")
	}
	table := "| members | by hand: median | worst | nodes up | ErlangCluster: median | worst | ratio of medians | worst to the median by hand |\n|---|---|---|---|---|---|---|---|\n"
	steps := "| step | 3 members | 10 members |\n|---|---|---|\n"
	medians := map[int]map[string]time.Duration{}
	for _, members := range []int{3, 10} {
		var byHand, up, cluster []time.Duration
		reached := map[string][]time.Duration{}
		for range *readyRuns {
			ready, started := readyByHand(t, members)
			byHand, up = append(byHand, ready), append(up, started)
			// A kubelet lists its containers once a second, and the end of the former run depends on that. This one
			// is not to begin always at the same moment between two lists.
			time.Sleep(rand.N(time.Second))
			ready, creation := readyCluster(t, members)
			cluster = append(cluster, ready)
			for _, step := range harness.Steps {
				reached[step] = append(reached[step], creation.Last(step))
			}
		}
		t.Logf("%d members: by hand %v, their nodes up %v, ErlangCluster %v", members, byHand, up, cluster)
		worstByHand, worst := slices.Max(byHand), slices.Max(cluster)
		ratio, worstRatio := median(cluster).Seconds()/median(byHand).Seconds(), worst.Seconds()/median(byHand).Seconds()
		table += fmt.Sprintf("| %d | %.1f s | %.1f s | %.1f s | %.1f s | %.1f s | %.2f, %s | %.2f, %s |\n", members,
			median(byHand).Seconds(), worstByHand.Seconds(), median(up).Seconds(), median(cluster).Seconds(), worst.Seconds(),
			ratio, withinMost(ratio, mostReadyMedian), worstRatio, withinMost(worstRatio, mostReadyWorst))
		medians[members] = map[string]time.Duration{}
		for step, times := range reached {
			medians[members][step] = median(times)
		}
	}
	for _, step := range harness.Steps {
		steps += fmt.Sprintf("| %s | %.2f s | %.2f s |\n", step, medians[3][step].Seconds(), medians[10][step].Seconds())
	}
	t.Logf("%d runs each:\n%s\nMedians of when the last reached each step:\n%s", *readyRuns, table, steps)
}

func withinMost(ratio, most float64) string {
	if ratio > most {
		return fmt.Sprintf("FAIL (at most %.1f)", most)
	}
	return "PASS"
}

// readyCluster is how long an ErlangCluster takes to be Ready, and what happened meanwhile.
func readyCluster(t *testing.T, members int) (time.Duration, *harness.Creation) {
	c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
	defer endNow(t, c.Namespace, "erlangcluster/chat")
	manifest := strings.Replace(harness.Manifest(c.Namespace, c.Name, members, "27"), "[erl, -noinput]", fmt.Sprintf("[erl, -noinput, -eval, %q]", harness.PrintBoot), 1)
	creation, begun := harness.FollowCreation(t, c.Namespace), time.Now()
	kubectl.MustApply(t, manifest)
	kubectl.Must(t, "wait", "erlangcluster/chat", "-n", c.Namespace, "--for=condition=Ready", "--timeout=5m")
	ready := time.Since(begun)
	creation.AwaitBoots(t, members)
	return ready, creation
}

// readyByHand is how long certificates and a StatefulSet of the same pods take until these are
// Ready, and until the last node is up.
func readyByHand(t *testing.T, members int) (ready, up time.Duration) {
	namespace := harness.Namespace(t)
	defer endNow(t, namespace, "statefulset/chat")
	certificates := harness.Issuer(namespace, "chat")
	var names, mounts, volumes strings.Builder
	for ordinal := range members {
		pod := fmt.Sprintf("chat-%d", ordinal)
		certificates += fmt.Sprintf(`---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  secretName: %[1]s
  dnsNames: [%[1]s.chat.%[2]s.svc.cluster.local]
  usages: [server auth, client auth]
  privateKey: {algorithm: ECDSA, size: 256}
  issuerRef: {name: chat, kind: Issuer, group: cert-manager.io}
`, pod, namespace)
		fmt.Fprintf(&names, "certificate/%s ", pod)
		fmt.Fprintf(&mounts, "        - {name: %[1]s, mountPath: /tls/%[1]s}\n", pod)
		fmt.Fprintf(&volumes, "      - {name: %[1]s, secret: {secretName: %[1]s}}\n", pod)
	}
	creation, begun := harness.FollowCreation(t, namespace), time.Now()
	kubectl.MustApply(t, certificates)
	kubectl.Must(t, append(append([]string{"wait"}, strings.Fields(names.String())...), "-n", namespace, "--for=condition=Ready", "--timeout=5m")...)
	kubectl.MustApply(t, fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: chat, namespace: %[1]s}
spec: {clusterIP: None, publishNotReadyAddresses: true, selector: {app: chat}, ports: [{name: epmd, port: 4369}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: options, namespace: %[1]s}
data:
  inet_tls.conf: |
    (fun() ->
      Directory = "/tls/" ++ os:getenv("POD"),
      Options = [{certfile, Directory ++ "/tls.crt"}, {keyfile, Directory ++ "/tls.key"}, {cacertfile, Directory ++ "/ca.crt"},
                 {verify, verify_peer}, {versions, ['tlsv1.3']}],
      [{server, [{fail_if_no_peer_cert, true} | Options]}, {client, Options}]
    end)().
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: chat, namespace: %[1]s}
spec:
  replicas: %[2]d
  serviceName: chat
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: chat}}
  template:
    metadata: {labels: {app: chat}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: node
        image: erlang:27
        command: [erl, -noinput, -eval, %[5]q]
        env:
        - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        - name: ERL_FLAGS
          value: -proto_dist inet_tls -ssl_dist_optfile /options/inet_tls.conf -setcookie byhand -name chat@$(POD).chat.%[1]s.svc.cluster.local
        volumeMounts:
        - {name: options, mountPath: /options}
%[3]s      volumes:
      - {name: options, configMap: {name: options}}
%[4]s`, namespace, members, mounts.String(), volumes.String(), harness.PrintBoot))
	kubectl.Must(t, "wait", "statefulset/chat", "-n", namespace, fmt.Sprintf("--for=jsonpath={.status.readyReplicas}=%d", members), "--timeout=5m")
	ready = time.Since(begun)
	creation.AwaitBoots(t, members)
	return ready, creation.Last("nodes up")
}

// endNow deletes what was created, and its pods, before the next one is created.
func endNow(t *testing.T, namespace, object string) {
	kubectl.Must(t, "delete", object, "-n", namespace, "--cascade=foreground", "--timeout=3m")
}
