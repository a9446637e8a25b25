//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// faults are what a person does to an object that the cluster owns, by object: kubectl
// commands, with % for the object, or a merge patch. The documentation has the outcome of
// each, in the table of docs/architecture.md.
var faults = []struct{ object, fault string }{
	{"configmap/chat-distribution", "delete %"},
	{"configmap/chat-distribution", `{"data": {"trust.pem": "", "inet_tls.conf": "[]."}}`},
	{"configmap/chat-distribution", `{"metadata": {"labels": null}}`},
	{"configmap/chat-distribution", `{"metadata": {"ownerReferences": null}}`},
	{"secret/chat-0-tls", "delete %"},
	{"secret/chat-0-tls", `{"data": {"tls.crt": "bm9uZQ==", "tls-combined.pem": "bm9uZQ=="}}`},
	{"secret/chat-probe-tls", "delete %"},
	{"secret/chat-probe-tls", `{"data": {"tls.crt": "bm9uZQ==", "tls-combined.pem": "bm9uZQ=="}}`},
	{"certificate/chat-0-tls", "delete %"},
	{"certificate/chat-0-tls", `{"spec": {"dnsNames": ["elsewhere.example.com"]}}`},
	{"certificate/chat-probe-tls", "delete %"},
	{"certificate/chat-probe-tls", `{"spec": {"dnsNames": ["elsewhere.example.com"]}}`},
	{"certificate/chat-ca", "delete %"},
	{"certificate/chat-ca", `{"spec": {"isCA": false}}`},
	{"issuer/chat-selfsigned", "delete %"},
	{"issuer/chat-selfsigned", `{"spec": {"selfSigned": null, "ca": {"secretName": "elsewhere"}}}`},
	{"issuer/chat-ca", "delete %"},
	{"issuer/chat-ca", `{"spec": {"ca": {"secretName": "elsewhere"}}}`},
	{"secret/chat-ca", `{"data": {"tls.crt": "bm9uZQ=="}}`},
	{"service/chat-nodes", "delete %"},
	{"service/chat-nodes", `{"spec": {"publishNotReadyAddresses": false, "selector": {"app": "elsewhere"}}}`},
	{"networkpolicy/chat-distribution", "delete %"},
	{"networkpolicy/chat-distribution", `{"spec": {"ingress": [], "egress": [], "policyTypes": ["Ingress", "Egress"]}}`},
	{"poddisruptionbudget/chat", "delete %"},
	{"poddisruptionbudget/chat", `{"spec": {"maxUnavailable": 3}}`},
	{"deployment/chat-probe", "delete %"},
	{"deployment/chat-probe", `{"spec": {"replicas": 0}}`},
	{"deployment/chat-probe", `{"spec": {"paused": true}}`},
	{"serviceaccount/chat-probe", "delete %"},
	{"serviceaccount/chat-probe", `{"automountServiceAccountToken": false}`},
	{"role/chat-probe", "delete %"},
	{"role/chat-probe", `{"rules": []}`},
	{"rolebinding/chat-probe", "delete %"},
	{"rolebinding/chat-probe", `{"subjects": []}`},
	{"statefulset/chat", `{"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}}}`},
	{"statefulset/chat", `{"spec": {"minReadySeconds": 600}}`},
	{"statefulset/chat", `{"spec": {"replicas": 5}}`},
	{"statefulset/chat", "delete % --cascade=orphan"},
	{"secret/chat-cookie", `{"metadata": {"labels": null}}`},
	{"secret/chat-cookie", `{"metadata": {"ownerReferences": null}}`},
	{"secret/chat-cookie", `{"stringData": {"cookie": "EditedByHandEditedByHandEdited00"}}`},
	{"secret/chat-ca", "delete %"}, // Its successor replaces it then.
}

// disruptions are faults after which Kubernetes deletes pods before anybody can restore the
// object.
var disruptions = []struct{ object, fault string }{
	{"statefulset/chat", `{"spec": {"template": {"spec": {"nodeSelector": {"elsewhere": "true"}}}}}`},
	{"statefulset/chat", `{"spec": {"replicas": 2}}`},
	{"statefulset/chat", "delete %"},
}

// While a cluster runs, every object that it owns is deleted and edited by hand: soon
// it is as before, no member restarts, no link and no call is lost, the cookie stays.
func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	var tested *faultTested
	for _, row := range faults {
		if tested == nil {
			tested = startFaultTested(t)
		}
		if !t.Run(strings.ReplaceAll(row.object+" "+row.fault, "/", " "), func(t *testing.T) {
			tested.restores(t, row.object, row.fault)
		}) {
			tested = nil // The next fault is caused in another cluster.
		}
	}
}

// After a fault that has Kubernetes delete pods, the object is soon as before, and
// the cluster is Ready again with the same cookie.
func TestDisruptions(t *testing.T) {
	t.Parallel()
	c := startFaultTested(t)
	for _, row := range disruptions {
		t.Run(strings.ReplaceAll(row.object+" "+row.fault, "/", " "), func(t *testing.T) {
			c.awaitRestored(t, row.object, row.fault)
			c.AwaitReady(t, faultMembers)
			c.checkCookie(t)
		})
	}
}

// A cookie that is deleted while nodes run cannot be restored from anything that the manager
// reads. It is reported, the links stay, and the cookie is adopted when it is applied again.
func TestCookieDeleted(t *testing.T) {
	t.Parallel()
	c := startFaultTested(t)
	var backup unstructured.Unstructured
	if err := kubectl.Get(t.Context(), &backup, "secret/chat-cookie", "-n", c.Namespace); err != nil {
		t.Fatal(err)
	}
	backup.Object["metadata"] = map[string]any{"name": backup.GetName(), "namespace": c.Namespace, "labels": backup.GetLabels()}
	kubectl.Must(t, "delete", "secret/chat-cookie", "-n", c.Namespace)
	c.AwaitCondition(t, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonCookieLost)
	kubectl.MustApply(t, string(harness.Must(backup.MarshalJSON())(t)))
	c.AwaitReady(t, faultMembers)
	c.checkNothingLost(t)
}

// A cookie's Secret that is replaced as a whole, without what shows whose it is, splits
// nothing: the probe takes the nodes over to the cookie in it, and the Secret is adopted.
func TestCookieReplaced(t *testing.T) {
	t.Parallel()
	c := startFaultTested(t)
	c.cookie = "ReplacedByHandReplacedByHand0000"
	kubectl.Must(t, "patch", "secret/chat-cookie", "-n", c.Namespace, "--type=json", "-p", fmt.Sprintf(`[
		{"op": "remove", "path": "/metadata/labels"}, {"op": "remove", "path": "/metadata/ownerReferences"},
		{"op": "replace", "path": "/data", "value": {"cookie": %q}}]`, base64.StdEncoding.EncodeToString([]byte(c.cookie))))
	await.Until(t, 4*time.Minute, "the Secret is adopted", func(ctx context.Context) error {
		now, err := described(ctx, c.Namespace, "secret/chat-cookie")
		if err == nil && now["owners"] == nil {
			err = fmt.Errorf("it is %v", now["labels"])
		}
		return err
	})
	c.AwaitReady(t, faultMembers)
	c.checkNothingLost(t)
}

// A cluster that was deleted without what it owns, and is created again, adopts all of that:
// the nodes do not notice.
func TestOrphansAreAdopted(t *testing.T) {
	t.Parallel()
	c := startFaultTested(t)
	kubectl.Must(t, "delete", "erlangcluster/chat", "-n", c.Namespace, "--cascade=orphan")
	kubectl.MustApply(t, harness.Manifest(c.Namespace, c.Name, faultMembers, "27"))
	c.AwaitReady(t, faultMembers)
	c.checkNothingLost(t)
	const kinds = "secret,certificate,issuer,configmap,service,statefulset,deployment,networkpolicy,poddisruptionbudget,serviceaccount,role,rolebinding"
	await.Until(t, 3*time.Minute, "everything has its owner", func(ctx context.Context) error {
		owners, err := kubectl.Run(ctx, "get", kinds, "-n", c.Namespace, "-l", v1alpha1.Group+"/cluster=chat",
			`-o=jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.ownerReferences[?(@.controller==true)].kind}{"\n"}{end}`)
		for _, line := range strings.Split(strings.TrimSpace(owners), "\n") {
			if err == nil && !strings.HasSuffix(line, " ErlangCluster") {
				err = fmt.Errorf("not adopted: %s", line)
			}
		}
		return err
	})
}

// faultTested is a running cluster, and what no fault may change.
type faultTested struct {
	harness.Cluster
	pods, cookie string
}

const faultMembers = 3

func startFaultTested(t *testing.T) *faultTested {
	t.Helper()
	c := harness.Start(t, harness.Namespace(t), "chat", faultMembers, "27")
	c.StartTraffic(t, faultMembers)
	return &faultTested{c, harness.Must(c.Restarts(t.Context(), faultMembers))(t), harness.Must(c.Cookie(t.Context()))(t)}
}

// restores causes a fault, and requires that its object is restored and nothing is lost.
func (c *faultTested) restores(t *testing.T, object, fault string) {
	t.Helper()
	c.awaitRestored(t, object, fault)
	c.AwaitReady(t, faultMembers)
	c.checkNothingLost(t)
}

// restoredWithin is for a slow machine that runs other tests, too: it takes seconds otherwise.
const restoredWithin = 2 * time.Minute

// awaitRestored causes a fault, and waits until its object is as before.
func (c *faultTested) awaitRestored(t *testing.T, object, fault string) {
	t.Helper()
	before, begun := harness.Must(described(t.Context(), c.Namespace, object))(t), time.Now()
	causeFault(t, c.Namespace, object, fault)
	await.Until(t, restoredWithin, object+" is as before", func(ctx context.Context) error {
		now, err := described(ctx, c.Namespace, object)
		if diff := cmp.Diff(before, now); err == nil && diff != "" {
			err = fmt.Errorf("(-before +now):\n%s", diff)
		}
		return err
	})
	t.Logf("as before after %s", time.Since(begun).Round(100*time.Millisecond))
}

func (c *faultTested) checkNothingLost(t *testing.T) {
	t.Helper()
	c.checkCookie(t)
	c.CheckRestarts(t, faultMembers, c.pods)
	for ordinal := range faultMembers {
		var counted harness.Traffic
		await.Until(t, time.Minute, "what "+c.Pod(ordinal)+" has counted", func(ctx context.Context) (err error) {
			counted, err = c.Traffic(ctx, ordinal)
			return err
		})
		if counted.Lost > 0 || counted.Down > 0 {
			t.Errorf("%s has lost %d calls and %d links", c.Pod(ordinal), counted.Lost, counted.Down)
		}
	}
}

func (c *faultTested) checkCookie(t *testing.T) {
	t.Helper()
	if now := harness.Must(c.Cookie(t.Context()))(t); now != c.cookie {
		t.Error("the cookie has changed")
	}
}

func causeFault(t *testing.T, namespace, object, fault string) {
	t.Helper()
	if strings.HasPrefix(fault, "{") {
		kubectl.Must(t, "patch", object, "-n", namespace, "--type=merge", "-p", fault)
		return
	}
	kubectl.Must(t, append(strings.Fields(strings.ReplaceAll(fault, "%", object)), "-n", namespace)...)
}

// described is an object as it is wanted, without what the API server, controllers or
// cert-manager fill in. Of a Secret with a certificate, it has the keys only, because
// another certificate is as good.
func described(ctx context.Context, namespace, name string) (map[string]any, error) {
	var object unstructured.Unstructured
	if err := kubectl.Get(ctx, &object, name, "-n", namespace); err != nil {
		return nil, err
	}
	owners := object.GetOwnerReferences()
	for i := range owners {
		if owners[i].Kind != "ErlangCluster" {
			owners[i].UID = ""
		}
	}
	described := map[string]any{"labels": object.GetLabels(), "owners": owners}
	for key, value := range object.Object {
		switch key {
		case "metadata", "status":
		case "data":
			data := value.(map[string]any)
			// A cookie that was put there by hand is kept beside the restored one until no
			// node can have it any more.
			delete(data, naming.PreviousCookieKey)
			described[key] = data
			if name != "secret/chat-cookie" && strings.HasPrefix(name, "secret/") {
				described[key] = slices.Sorted(maps.Keys(data))
			}
		case "spec":
			spec := value.(map[string]any)
			for _, assigned := range []string{"clusterIP", "clusterIPs"} {
				delete(spec, assigned)
			}
			described[key] = spec
		default:
			described[key] = value
		}
	}
	text, err := json.Marshal(described)
	clear(described)
	if err == nil {
		err = json.Unmarshal(text, &described)
	}
	return described, err
}
