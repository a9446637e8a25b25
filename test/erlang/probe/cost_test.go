//go:build erlang

package probe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/erlang/beam"
)

// The goals for the probe of a cluster that is settled.
const (
	mostWall     = time.Second            // of a sweep
	mostCPU      = 700 * time.Millisecond // of the probe, for a sweep
	mostPerNode  = 5 * time.Millisecond   // of CPU each minute, at either side
	mostMemory10 = 24 << 20               // of the probe of up to ten nodes
	mostMemory   = 48 << 20               // of one of up to a hundred
)

// TestBenchmarkProbe runs the program beside a mesh at rest, and prints what it costs, and what it
// costs the nodes: the difference to a minute without it.
func TestBenchmarkProbe(t *testing.T) {
	if !*beam.Soak {
		t.Skip("takes minutes, and 7 GB of memory: run `make bench-probe`")
	}
	for _, count := range []int{3, 10, 100} {
		t.Run(fmt.Sprint(count), func(t *testing.T) { benchmarkProbe(t, count) })
	}
}

func benchmarkProbe(t *testing.T, count int) {
	logf.SetLogger(zap.New(zap.WriteTo(io.Discard)))
	c := newCluster(t)
	k := newKubernetes(t, c)
	names := k.createOf(int32(count))
	k.store(c, names, cookie)
	nodes := c.startNamed(names, count)
	k.publish(names.Service(), nodes)
	p := startProgram(t, c, k)
	await.Until(t, time.Minute+time.Duration(count)*5*time.Second, "a proven mesh", func(ctx context.Context) error {
		mesh, err := k.mesh(ctx)
		if err == nil && (mesh == nil || mesh.Links != int32(count*(count-1)/2) || !proven(mesh)) {
			err = fmt.Errorf("it is not:\n%s", p.log.String())
		}
		return err
	})
	time.Sleep(20 * time.Second) // what the nodes do when they have just been linked

	const rest = time.Minute
	begun, sweeps, probe, members := p.reconciled(t), 0, p.cpu(t), cpuOf(nodes)
	time.Sleep(rest)
	probe, members = p.cpu(t)-probe, cpuOf(nodes)-members
	ended := p.reconciled(t) // not before: to serve the metrics takes CPU, too
	sweeps = int(ended.count - begun.count)
	memory := p.memory(t)
	p.stop()
	without := cpuOf(nodes)
	time.Sleep(rest)
	without = cpuOf(nodes) - without

	wall := time.Duration((ended.seconds - begun.seconds) / float64(sweeps) * float64(time.Second))
	each := time.Duration(count)
	fmt.Printf("%d nodes at rest, %d sweeps in a minute; without the probe a node takes %s of CPU each minute\n", count, sweeps, (without / each).Round(10*time.Microsecond))
	judge("wall time of a sweep", wall, mostWall)
	judge("CPU of the probe for a sweep", probe/time.Duration(sweeps), mostCPU)
	judge("CPU of the probe for each node and minute", probe/each, mostPerNode)
	judge("CPU of a node for the probe each minute", (members-without)/each, mostPerNode)
	most := mostMemory
	if count <= 10 {
		most = mostMemory10
	}
	fmt.Printf("%s memory of the probe, as Kubernetes counts it: %.1f MiB (goal: %d MiB)\n", verdict(memory <= most), float64(memory)/(1<<20), most>>20)
}

func judge(what string, took, most time.Duration) {
	fmt.Printf("%s %s: %s (goal: %s)\n", verdict(took <= most), what, took.Round(10*time.Microsecond), most)
}

func verdict(pass bool) string {
	if pass {
		return "PASS"
	}
	return "FAIL"
}

func cpuOf(nodes []*beam.Node) (total time.Duration) {
	for _, node := range nodes {
		total += node.CPU()
	}
	return total
}

// startNamed starts the nodes of an ErlangCluster, a few at a time.
func (c *cluster) startNamed(names naming.Names, count int) []*beam.Node {
	var nodes []*beam.Node
	for ordinal := range count {
		host := c.Host(strings.TrimSuffix(names.Host(names.Pod(int32(ordinal))), "."+beam.Domain))
		host.EPMD("27")
		nodes = append(nodes, host.Launch(beam.Options{OTP: "27", Cookie: cookie, TLS: c.tls(host)}))
		if ordinal%4 == 3 {
			nodes[ordinal].AwaitUp()
		}
	}
	for _, node := range nodes {
		node.AwaitUp()
	}
	return nodes
}

// program is the probe as a process of its own.
type program struct {
	cluster *cluster
	cmd     *exec.Cmd
	log     log
}

// metricsAddress is that of the probe's metrics, on the bridge.
const metricsAddress = "127.0.0.1:8080"

func startProgram(t *testing.T, c *cluster, k *kubernetes) *program {
	dir := t.TempDir()
	path := filepath.Join(dir, "erlang-operator")
	build := exec.Command("go", "build", "-C", filepath.Join("..", "..", ".."), "-ldflags=-s -w", "-o", path, "./cmd/erlang-operator")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the probe: %v\n%s", err, out)
	}
	c.Forward(k.address())
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := clientcmd.WriteToFile(k.kubeconfig(), kubeconfig); err != nil {
		t.Fatal(err)
	}
	p := &program{cluster: c}
	p.cmd = c.Command(path, "probe", "--namespace=default", "--cluster=chat", "--cluster-domain="+beam.Domain,
		"--metrics-bind-address="+metricsAddress)
	p.cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	return p
}

// address is that of the API server.
func (k *kubernetes) address() string {
	return strings.Trim(strings.TrimPrefix(k.config.Host, "https:"), "/")
}

// kubeconfig is for the probe, with its rights.
func (k *kubernetes) kubeconfig() clientcmdapi.Config {
	return clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"": {Server: "https://" + k.address(), CertificateAuthorityData: k.config.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"": {
			ClientCertificateData: k.config.CertData, ClientKeyData: k.config.KeyData, Impersonate: "probe",
		}},
		Contexts: map[string]*clientcmdapi.Context{"": {}},
	}
}

func (p *program) stop() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Signal(os.Interrupt)
		_ = p.cmd.Wait()
	}
}

func (p *program) cpu(t *testing.T) time.Duration { return beam.CPU(t, p.cmd.Process.Pid) }

// memory is what the process has in RAM, without its program, which the machine counts once for
// all probes: what a container is charged with.
func (p *program) memory(t *testing.T) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, field, _ := strings.Cut(string(status), "RssAnon:")
	var kilobytes int
	if _, err := fmt.Sscan(field, &kilobytes); err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

// reconciliations are how many passes there were, and how long they took together.
type reconciliations struct{ count, seconds float64 }

func (p *program) reconciled(t *testing.T) (r reconciliations) {
	client := http.Client{Transport: &http.Transport{DialContext: p.cluster.DialContext, DisableKeepAlives: true}}
	response, err := client.Get("http://" + metricsAddress + "/metrics")
	if err != nil {
		t.Fatalf("read the metrics of the probe: %v\n%s", err, p.log.String())
	}
	defer func() { _ = response.Body.Close() }()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		for metric, value := range map[string]*float64{"_count": &r.count, "_sum": &r.seconds} {
			if text, ok := strings.CutPrefix(lines.Text(), `controller_runtime_reconcile_time_seconds`+metric+`{controller="probe"} `); ok {
				if *value, err = strconv.ParseFloat(text, 64); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return r
}
