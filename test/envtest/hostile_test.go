package envtest

import (
	"context"
	"encoding/asn1"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	proberun "github.com/erlang-operator/erlang-operator/probe"
	"github.com/erlang-operator/erlang-operator/probe/probetest"
)

// TestHostileNodes: whatever nodes say of themselves, the API server takes the probe's
// report, and nothing is reported of a certificate that no trusted CA signed. One node has
// the credentials of a member, and says what it likes; another has a certificate of its own
// making.
func TestHostileNodes(t *testing.T) {
	namespace := newNamespace(t)
	create(t, merged(t, object(t, namespace, minimal), `spec: {replicas: 2, distribution: {discovery: FixedPort}}`))
	names := naming.Of(clusterIn(namespace), naming.DefaultDomain)

	network := probetest.NewNetwork(t, 2)
	for ordinal, peer := range network.Peers {
		peer.Name = names.Node(names.Pod(int32(ordinal)))
		peer.Certificate = network.Issue(names.Host(names.Pod(int32(ordinal))))
		peer.Listen()
	}
	storeCredentials(t, names, network)
	runProbe(t, names, network)

	random := rand.New(rand.NewPCG(1, 2)) // The same in each run.
	released := []string{"27", strings.Repeat("7", 60_000), strings.Repeat("é😀", 40), "\xff\xfe" + strings.Repeat("\xff", 300), "\x00\x1b[2J\u0085\u009b", `"},{"`}
	for example := range uint32(30) {
		release := released[int(example)%len(released)]
		if int(example) >= len(released) {
			release = noise(random, random.IntN(2000))
		}
		network.Peers[0].Set(func(p *probetest.Peer) { p.Incarnation, p.Release = 5000+example, release })
		network.Peers[1].Set(func(p *probetest.Peer) {
			p.Certificate.Certificate = [][]byte{withSerial(t, p.Certificate.Certificate[0], 1+random.IntN(400))}
		})
		eventually(t, fmt.Sprintf("a report of a node of release %.40q", release), func(ctx context.Context) error {
			cluster, err := read(ctx, clusterIn(namespace))
			if err != nil {
				return err
			}
			mesh := cluster.Status.Mesh
			if mesh == nil || mesh.Nodes[0].Incarnation != int64(5000+example) {
				return fmt.Errorf("the last report is %+v", mesh)
			}
			if node := mesh.Nodes[1]; node.Reason != v1alpha1.ReasonCertificateUntrusted || node.CertificateSerial != "" || node.CertificateAuthority != "" {
				return fmt.Errorf("of a certificate of nobody's: %+v", node)
			}
			return nil
		})
	}
}

func noise(random *rand.Rand, length int) string {
	text := make([]byte, length)
	for i := range text {
		text[i] = byte(random.IntN(256))
	}
	return string(text)
}

// withSerial gives a certificate another serial number, of so many bytes, and so no
// signature that is worth anything.
func withSerial(t *testing.T, der []byte, length int) []byte {
	var certificate struct {
		TBS                  []asn1.RawValue
		Algorithm, Signature asn1.RawValue
	}
	if _, err := asn1.Unmarshal(der, &certificate); err != nil {
		t.Fatal(err)
	}
	serial := must(asn1.Marshal(new(big.Int).Lsh(big.NewInt(1), uint(8*length-2))))(t)
	certificate.TBS[1] = asn1.RawValue{FullBytes: serial} // after the version
	return must(asn1.Marshal(certificate))(t)
}

func storeCredentials(t *testing.T, names naming.Names, network *probetest.Network) {
	certificate, key := network.CA.IssueKey(names.ProbeHost(), certstest.ValidNow)
	in := func(name string) metav1.ObjectMeta { return named(names.Namespace, name) }
	create(t, &corev1.Secret{ObjectMeta: in(names.CookieSecret()), Data: map[string][]byte{naming.CookieKey: []byte(probetest.Cookie)}})
	create(t, &corev1.Secret{ObjectMeta: in(names.Certificate(names.Probe())), Data: map[string][]byte{
		naming.CombinedKey: slices.Concat(key, certstest.PEM(certificate)),
	}})
	create(t, &corev1.ConfigMap{ObjectMeta: in(names.Distribution()), Data: map[string]string{
		naming.TrustKey: string(certstest.PEM(network.CA.Certificate)),
	}})
}

// runProbe runs the probe's program until the test ends, on a network on which the peers
// have the addresses 10.0.0.0 and 10.0.0.1.
func runProbe(t *testing.T, names naming.Names, network *probetest.Network) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- proberun.Run(ctx, environment.Config, proberun.Options{
			Namespace: names.Namespace, Cluster: names.Cluster, MetricsAddr: "0", HealthAddr: "0",
			Intervals: proberun.Intervals{Settled: 50 * time.Millisecond, Unsettled: 50 * time.Millisecond, Persistent: 50 * time.Millisecond},
			Resolve: func(_ context.Context, host string) ([]string, error) {
				return []string{"10.0.0." + strings.TrimPrefix(strings.Split(host, ".")[0], names.Cluster+"-")}, nil
			},
			DialContext: func(ctx context.Context, network_, address string) (net.Conn, error) {
				var ordinal, port int
				if _, err := fmt.Sscanf(address, "10.0.0.%d:%d", &ordinal, &port); err != nil {
					return nil, err
				}
				return new(net.Dialer).DialContext(ctx, network_, fmt.Sprintf("127.0.0.1:%d", network.Peers[ordinal].Listen()))
			},
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the probe ended: %v", err)
		}
	})
}
