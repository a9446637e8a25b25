package v1alpha1

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
		t.Fatal(err)
	}
	return object
}

func TestDecode(t *testing.T) {
	cluster, err := Decode(object(t, "metadata: {name: chat, generation: 3}\nspec: {replicas: 2, template: {spec: {containers: [{name: chat}]}}}"))
	if err != nil || cluster.Name != "chat" || *cluster.Spec.Replicas != 2 || cluster.Spec.Template.Spec.Containers[0].Name != "chat" {
		t.Errorf("decoded %+v, %v", cluster, err)
	}
}

// One object that cannot be decoded names its field, and keeps its metadata and status.
func TestDecodeErrorNamesTheField(t *testing.T) {
	for spec, want := range map[string]string{
		"template: {spec: {containers: [{name: a}, {livenessProbe: {httpGet: {port: 99999999999}}}]}}": "spec.template.spec.containers[1].livenessProbe.httpGet.port",
		`template: {spec: {containers: [{resources: {limits: {cpu: "1e1.5"}}}]}}`:                      "spec.template.spec.containers[0].resources.limits.cpu",
		`volumeClaimTemplates: [{status: {conditions: [{lastProbeTime: yesterday}]}}]`:                 "spec.volumeClaimTemplates[0].status.conditions[0].lastProbeTime",
		"replicas: many": "spec.replicas",
	} {
		cluster, err := Decode(object(t, "metadata: {name: chat, generation: 3}\nstatus: {nodes: 1/1}\nspec: {"+spec+"}"))
		var undecodable *DecodeError
		if !errors.As(err, &undecodable) || undecodable.Field != want || undecodable.Err == nil {
			t.Errorf("error %v, want one of field %s", err, want)
		}
		want := &ErlangCluster{}
		want.Name, want.Generation, want.Status.Nodes = "chat", 3, "1/1"
		if diff := cmp.Diff(want, cluster); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	cluster, err := Decode(object(t, "metadata: {name: chat}\nspec: {}\nstatus: {replicas: many}"))
	if err == nil || err.Error()[:16] != "status.replicas:" || cluster.Name != "chat" {
		t.Errorf("decoded %+v, %v", cluster, err)
	}
}
