//go:build e2e

package e2e

import (
	"flag"
	"fmt"
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
// pods are Ready, which proves nothing about the nodes. They take turns, so that whatever else the
// machine does concerns both.
func TestBenchmarkReady(t *testing.T) {
	if *readyRuns == 0 {
		t.Skip("takes a quarter of an hour: run `make bench-ready`, or give -ready-runs=3")
	}
	table := "| members | by hand: median | worst | ErlangCluster: median | worst | ratio of medians | worst to the median by hand |\n|---|---|---|---|---|---|---|\n"
	for _, members := range []int{3, 10} {
		var byHand, cluster []time.Duration
		for range *readyRuns {
			byHand = append(byHand, readyByHand(t, members))
			cluster = append(cluster, readyCluster(t, members))
		}
		t.Logf("%d members: by hand %v, ErlangCluster %v", members, byHand, cluster)
		slices.Sort(byHand)
		slices.Sort(cluster)
		half, last := *readyRuns/2, *readyRuns-1
		median, worst := cluster[half].Seconds()/byHand[half].Seconds(), cluster[last].Seconds()/byHand[half].Seconds()
		table += fmt.Sprintf("| %d | %.1f s | %.1f s | %.1f s | %.1f s | %.2f, %s | %.2f, %s |\n", members,
			byHand[half].Seconds(), byHand[last].Seconds(), cluster[half].Seconds(), cluster[last].Seconds(),
			median, withinMost(median, mostReadyMedian), worst, withinMost(worst, mostReadyWorst))
	}
	t.Logf("%d runs each:\n%s", *readyRuns, table)
}

func withinMost(ratio, most float64) string {
	if ratio > most {
		return fmt.Sprintf("FAIL (at most %.1f)", most)
	}
	return "PASS"
}

// readyCluster is how long an ErlangCluster takes to be Ready.
func readyCluster(t *testing.T, members int) time.Duration {
	c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
	defer endNow(t, c.Namespace, "erlangcluster/chat")
	begun := time.Now()
	kubectl.MustApply(t, harness.Manifest(c.Namespace, c.Name, members, "27"))
	kubectl.Must(t, "wait", "erlangcluster/chat", "-n", c.Namespace, "--for=condition=Ready", "--timeout=5m")
	return time.Since(begun)
}

// readyByHand is how long certificates and a StatefulSet of the same pods take.
func readyByHand(t *testing.T, members int) time.Duration {
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
	begun := time.Now()
	kubectl.MustApply(t, certificates)
	kubectl.Must(t, append(append([]string{"wait"}, strings.Fields(names.String())...), "-n", namespace, "--for=condition=Ready", "--timeout=5m")...)
	kubectl.MustApply(t, fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: chat, namespace: %[1]s}
spec: {clusterIP: None, publishNotReadyAddresses: true, selector: {app: chat}, ports: [{name: epmd, port: 4369}]}
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
        command: [erl, -noinput]
        volumeMounts:
%[3]s      volumes:
%[4]s`, namespace, members, mounts.String(), volumes.String()))
	kubectl.Must(t, "wait", "statefulset/chat", "-n", namespace, fmt.Sprintf("--for=jsonpath={.status.readyReplicas}=%d", members), "--timeout=5m")
	return time.Since(begun)
}

// endNow deletes what was created, and its pods, before the next one is created.
func endNow(t *testing.T, namespace, object string) {
	kubectl.Must(t, "delete", object, "-n", namespace, "--cascade=foreground", "--timeout=3m")
}
