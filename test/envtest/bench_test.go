package envtest

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/test/await"
)

var benchClusters = flag.Int("clusters", 0, "run the benchmark of the manager with so many clusters of three nodes")

// The budgets of each cluster of three nodes whose pods do not run.
const (
	budgetRequests = 34.0
	budgetCPU      = 30 * time.Millisecond
	budgetDelay    = 1.2 // of the time that cert-manager alone needs
	budgetStart    = 15 * time.Second
)

// What the manager costs for a number of clusters, until all their objects are there and at
// rest, beside what cert-manager alone needs for the same Certificates. The StatefulSet
// controller creates pods, and there are no machines for them.
func TestBenchmarkManager(t *testing.T) {
	if *benchClusters == 0 {
		t.Skip("it takes minutes: make bench-manager")
	}
	startControllerManager(t)
	floor := measureCertManager(t, *benchClusters)
	m := startManager(t)
	settle(t)
	idle, used, log := m.memory(t), m.cpu(t), requestsOf(t, managerAccount)
	began := time.Now()
	for i := range *benchClusters {
		namespace := newNamespace(t)
		cluster := object(t, namespace, minimal)
		cluster.SetName(fmt.Sprintf("chat-%d", i))
		create(t, cluster)
	}
	awaitObjects(t, *benchClusters)
	took := time.Since(began)
	settle(t)
	cpu, requests := m.cpu(t)-used, must(log.next())(t)
	time.Sleep(time.Minute) // This is what is measured: a minute at rest.
	// No probe runs, and the Lease of one that is silent is read before that is reported.
	atRest := slices.DeleteFunc(must(log.next())(t), func(r request) bool { return r.ObjectRef.Resource == "leases" })
	held := m.memory(t)
	start, written := measureStart(t, m)

	perCluster := float64(len(requests)) / float64(*benchClusters)
	cpuPerCluster := cpu / time.Duration(*benchClusters)
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	line := func(what, value, budget string, within bool) {
		verdict := map[bool]string{true: "PASS", false: "FAIL"}[within]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", what, value, budget, verdict)
	}
	line("requests per cluster", fmt.Sprintf("%.1f (%s)", perCluster, verbs(requests)), fmt.Sprint(budgetRequests), perCluster <= budgetRequests)
	line("CPU per cluster", cpuPerCluster.String(), budgetCPU.String(), cpuPerCluster <= budgetCPU)
	line("requests in a minute at rest", strconv.Itoa(len(atRest)), "0", len(atRest) == 0)
	line("until all objects are there", took.Round(time.Millisecond).String(), (time.Duration(budgetDelay * float64(floor))).Round(time.Millisecond).String(), took <= time.Duration(budgetDelay*float64(floor)))
	line("a start, until all were looked at", start.Round(time.Millisecond).String(), budgetStart.String(), start <= budgetStart)
	line("writes of a start", strconv.Itoa(len(written)), "0", len(written) == 0)
	_ = w.Flush()
	t.Logf("%d clusters of three nodes; memory %s, before %s; cert-manager alone needs %s:\n%s",
		*benchClusters, held, idle, floor.Round(time.Millisecond), table.String())
	if perCluster > budgetRequests || len(atRest)+len(written) > 0 {
		t.Error("more requests than the budget") // The others depend on the machine.
	}
}

// startControllerManager runs Kubernetes' own controllers of StatefulSets and Deployments. By default
// each makes 20 requests a second, which for a hundred clusters takes longer than all else.
func startControllerManager(t *testing.T) {
	t.Helper()
	kubeconfig := must(kubeconfigOf("controller-manager", "system:masters"))(t)
	program := filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kube-controller-manager")
	command := exec.Command(program, "--kubeconfig="+kubeconfig, "--leader-elect=false", "--secure-port=0", "--kube-api-qps=1000", "--kube-api-burst=1000",
		"--controllers=statefulset-controller,deployment-controller,replicaset-controller,disruption-controller")
	command.Stdout, command.Stderr = io.Discard, io.Discard
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	check(t, command.Start())
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
}

// measureCertManager is how long cert-manager needs for the issuers and Certificates of that
// many clusters when they are applied by hand.
func measureCertManager(t *testing.T, clusters int) time.Duration {
	t.Helper()
	manifests := must(os.ReadFile("testdata/certificates.yaml"))(t)
	began := time.Now()
	var last []string
	for range clusters {
		namespace := newNamespace(t)
		for _, o := range must(decoded("testdata/certificates.yaml", bytes.NewReader(manifests)))(t) {
			o.SetNamespace(namespace)
			check(t, admin.Create(t.Context(), o))
		}
		last = append(last, namespace)
	}
	await.Until(t, 10*time.Minute, "cert-manager issues all", func(ctx context.Context) error {
		var list certmanager.CertificateList
		if err := admin.List(ctx, &list); err != nil {
			return err
		}
		return readyCertificates(list.Items, 5*len(last))
	})
	return time.Since(began)
}

func readyCertificates(all []certmanager.Certificate, want int) error {
	ready := 0
	for _, certificate := range all {
		if slices.ContainsFunc(certificate.Status.Conditions, func(c certmanager.CertificateCondition) bool {
			return c.Type == certmanager.CertificateConditionReady && string(c.Status) == string(metav1.ConditionTrue)
		}) {
			ready++
		}
	}
	if ready < want {
		return fmt.Errorf("%d of %d Certificates are Ready", ready, want)
	}
	return nil
}

// awaitObjects waits until nothing is left to create for any cluster: its last objects are
// the StatefulSet, of three pods, and the probe's Deployment.
func awaitObjects(t *testing.T, clusters int) {
	t.Helper()
	await.Until(t, 10*time.Minute, "all objects are there", func(ctx context.Context) error {
		var pods corev1.PodList
		if err := admin.List(ctx, &pods, client.HasLabels{"erlang-operator.dev/cluster"}); err != nil {
			return err
		}
		if want := 4 * clusters; len(pods.Items) < want {
			return fmt.Errorf("%d of %d pods are there", len(pods.Items), want)
		}
		return nil
	})
}

func verbs(requests []request) string {
	count := map[string]int{}
	for _, r := range requests {
		count[r.Verb]++
	}
	var parts []string
	for _, verb := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%s %d", verb, count[verb]))
	}
	return strings.Join(parts, ", ")
}

// measureStart is how long a manager that starts needs until it has looked at every cluster: of
// each one object is missing, and made again. All else that it writes is returned.
func measureStart(t *testing.T, former *manager) (took time.Duration, written []request) {
	t.Helper()
	former.stop(t)
	var budgets policyv1.PodDisruptionBudgetList
	check(t, admin.List(t.Context(), &budgets))
	for i := range budgets.Items {
		check(t, admin.Delete(t.Context(), &budgets.Items[i]))
	}
	log, began := requestsOf(t, managerAccount), time.Now()
	startManager(t)
	await.Until(t, 10*time.Minute, "what was missing is there", func(ctx context.Context) error {
		var now policyv1.PodDisruptionBudgetList
		if err := admin.List(ctx, &now); err != nil {
			return err
		}
		if len(now.Items) < len(budgets.Items) {
			return fmt.Errorf("%d of %d", len(now.Items), len(budgets.Items))
		}
		return nil
	})
	took = time.Since(began)
	settle(t)
	return took, slices.DeleteFunc(must(log.next())(t), func(r request) bool {
		return slices.Contains([]string{"get", "list"}, r.Verb) || slices.Contains([]string{"poddisruptionbudgets", "selfsubjectaccessreviews"}, r.ObjectRef.Resource)
	})
}

// memory is what a process holds: pages of its own, and pages of its program, which the kernel
// drops when it needs them.
type memory struct{ own, program int }

func (m memory) String() string { return fmt.Sprintf("%d+%d MiB", m.own>>20, m.program>>20) }

// memory is what the manager's process holds now, in bytes.
func (m *manager) memory(t *testing.T) memory {
	t.Helper()
	fields := strings.Fields(string(must(os.ReadFile(fmt.Sprintf("/proc/%d/statm", m.command.Process.Pid)))(t)))
	resident, program := must(strconv.Atoi(fields[1]))(t)*os.Getpagesize(), must(strconv.Atoi(fields[2]))(t)*os.Getpagesize()
	return memory{own: resident - program, program: program}
}

// cpu is the time that the manager's process has used.
func (m *manager) cpu(t *testing.T) time.Duration {
	t.Helper()
	const ticksPerSecond = 100 // USER_HZ of Linux
	text := string(must(os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.command.Process.Pid)))(t))
	_, rest, found := strings.Cut(text, ") ") // the name of the program may have spaces
	if !found {
		t.Fatal(errors.New("no stat"))
	}
	fields := strings.Fields(rest)
	return time.Duration(must(strconv.Atoi(fields[11]))(t)+must(strconv.Atoi(fields[12]))(t)) * time.Second / ticksPerSecond
}
