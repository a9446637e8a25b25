package envtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// undecodable are specs that Go cannot decode, with the fields at fault. The schema rejects
// them; an object that is older than the schema may have them.
var undecodable = map[string]string{
	`spec: {template: {spec: {containers: [{name: chat, livenessProbe: {httpGet: {port: 99999999999}}}]}}}`:       "spec.template.spec.containers[0].livenessProbe.httpGet.port",
	`spec: {template: {spec: {containers: [{name: chat, resources: {limits: {cpu: "1e1.5"}}}]}}}`:                 "spec.template.spec.containers[0].resources.limits.cpu",
	`spec: {template: {spec: {containers: [{name: chat, resources: {limits: {cpu: "1e9999999999999999999"}}}]}}}`: "spec.template.spec.containers[0].resources.limits.cpu",
}

// A cluster that cannot be decoded is Stalled by itself. All others go on: with a manager
// that starts, and with one that runs.
func TestUndecodableClusterStopsNoOther(t *testing.T) {
	c, kubeconfig := startAPIServer(t)
	looseSchema(t, c)
	poison := func(phase string) {
		number := 0
		for spec := range undecodable {
			number++
			namespace := fmt.Sprintf("%s-%d", phase, number)
			makeCluster(t, c, namespace, spec)
		}
	}
	poison("before")
	const clusters = 50
	for i := range clusters {
		makeCluster(t, c, fmt.Sprintf("good-%d", i), `{}`)
	}
	startManagerWith(t, kubeconfig)
	follow(t, c, clusters, 9109)
	expectStalled(t, c, "before")

	poison("later")
	expectStalled(t, c, "later")
	for i := range clusters {
		cluster := clusterIn(fmt.Sprintf("good-%d", i))
		if err := c.Patch(t.Context(), cluster, client.RawPatch("application/merge-patch+json",
			[]byte(`{"spec":{"distribution":{"ports":{"min":9200,"max":9205}}}}`))); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	follow(t, c, clusters, 9205)
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the clusters followed the change of their specs after %s", took)
	}
}

func makeCluster(t *testing.T, c client.Client, namespace, patch string) {
	t.Helper()
	check(t, c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	check(t, c.Create(t.Context(), merged(t, object(t, namespace, minimal), patch)))
}

// looseSchema makes the API server accept what an older schema did.
func looseSchema(t *testing.T, c client.Client) {
	t.Helper()
	crd := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: "erlangclusters.erlang-operator.dev"}}
	check(t, c.Get(t.Context(), client.ObjectKeyFromObject(crd), crd))
	spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	spec.XValidations = nil
	spec.Properties["template"] = apiextensionsv1.JSONSchemaProps{
		Type: "object", Description: "template is anything.", XPreserveUnknownFields: ptr.To(true)}
	crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"] = spec
	check(t, c.Update(t.Context(), crd))
	var trials []*unstructured.Unstructured
	for patch := range undecodable {
		trials = append(trials, merged(t, object(t, "default", minimal), patch))
	}
	eventually(t, "the loose schema is in force", func(ctx context.Context) error {
		for _, trial := range trials {
			if err := c.Create(ctx, trial.DeepCopy(), client.DryRunAll); err != nil {
				return err
			}
		}
		return nil
	})
}

// follow waits until the NetworkPolicy of each cluster ends at that port.
func follow(t *testing.T, c client.Client, clusters int, port int32) {
	t.Helper()
	eventually(t, fmt.Sprintf("ports to %d", port), func(ctx context.Context) error {
		var policies networkingv1.NetworkPolicyList
		if err := c.List(ctx, &policies); err != nil {
			return err
		}
		count := 0
		for _, policy := range policies.Items {
			for _, rule := range policy.Spec.Ingress {
				for _, allowed := range rule.Ports {
					if strings.HasPrefix(policy.Namespace, "good-") && ptr.Deref(allowed.EndPort, 0) == port {
						count++
					}
				}
			}
		}
		if count < clusters {
			return fmt.Errorf("only %d of %d", count, clusters)
		}
		return nil
	})
}

// expectStalled waits until each undecodable cluster is Stalled with the field at fault.
func expectStalled(t *testing.T, c client.Client, phase string) {
	t.Helper()
	for number := range len(undecodable) {
		eventually(t, "the undecodable clusters are Stalled", func(ctx context.Context) error {
			object := v1alpha1.NewUnstructured()
			if err := c.Get(ctx, client.ObjectKey{Namespace: fmt.Sprintf("%s-%d", phase, number+1), Name: "chat"}, object); err != nil {
				return err
			}
			cluster, err := v1alpha1.Decode(object)
			if err == nil {
				return fmt.Errorf("%s can be decoded", object.GetNamespace())
			}
			stalled := meta.FindStatusCondition(cluster.Status.Conditions, v1alpha1.ConditionStalled)
			if stalled == nil || stalled.ObservedGeneration != cluster.Generation || !strings.Contains(stalled.Message, err.Error()) {
				return fmt.Errorf("%s: there are %s; want Stalled with %w", object.GetNamespace(), summary(cluster), err)
			}
			return nil
		})
	}
}
