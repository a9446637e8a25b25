package envtest

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/yaml"
)

// One status of each kind. Whatever is in progress is Progressing, although Ready.
func TestHealthCheckOfArgoCD(t *testing.T) {
	const ready = "{type: Ready, status: 'True', reason: MeshVerified, message: m}"
	const suspended = "{type: Suspended, status: 'True', reason: Suspended, message: m}"
	for name, test := range map[string]struct {
		metadata, status string
		want             kstatus.Status
	}{
		"new":            {"{generation: 1}", "{observedGeneration: -1}", kstatus.InProgressStatus},
		"changed":        {"{generation: 2}", "{observedGeneration: 1, conditions: [" + ready + "]}", kstatus.InProgressStatus},
		"progressing":    {"{generation: 1}", "{observedGeneration: 1, conditions: [" + notReady("PodsPending") + ", " + reconciling("PodsPending") + "]}", kstatus.InProgressStatus},
		"ready":          {"{generation: 1}", "{observedGeneration: 1, conditions: [" + ready + "]}", kstatus.CurrentStatus},
		"with a warning": {"{generation: 1}", "{observedGeneration: 1, conditions: [{type: SharedIssuer, status: 'True', reason: IssuerRefSet, message: m}, " + ready + "]}", kstatus.CurrentStatus},
		"rolling out":    {"{generation: 2}", "{observedGeneration: 2, conditions: [" + ready + ", " + reconciling("RollingOut") + "]}", kstatus.InProgressStatus},
		"rotating":       {"{generation: 2}", "{observedGeneration: 2, conditions: [" + ready + ", " + reconciling("RotatingCA") + "]}", kstatus.InProgressStatus},
		"stalled":        {"{generation: 1}", "{observedGeneration: 1, conditions: [" + notReady("IssuerNotFound") + ", {type: Stalled, status: 'True', reason: IssuerNotFound, message: m}]}", kstatus.FailedStatus},
		"not ready":      {"{generation: 1}", "{observedGeneration: 1, conditions: [" + notReady("CookieMismatch") + "]}", kstatus.InProgressStatus},
		"suspended":      {"{generation: 2}", "{observedGeneration: 2, conditions: [" + suspended + ", " + ready + "]}", kstatus.CurrentStatus},
		"suspended, and stalled": {"{generation: 2}", "{observedGeneration: 2, conditions: [" + notReady("IssuerNotFound") + ", " + suspended +
			", {type: Stalled, status: 'True', reason: IssuerNotFound, message: m}]}", kstatus.FailedStatus},
		"to be suspended": {"{generation: 2}", "{observedGeneration: 1, conditions: [" + ready + "]}", kstatus.InProgressStatus},
		"deleted":         {"{generation: 2, deletionTimestamp: '2026-01-01T00:00:00Z'}", "{observedGeneration: 2, conditions: [" + ready + "]}", kstatus.TerminatingStatus},
	} {
		t.Run(name, func(t *testing.T) {
			text := fmt.Sprintf("{apiVersion: erlang-operator.dev/v1alpha1, kind: ErlangCluster, metadata: %s, status: %s}", test.metadata, test.status)
			object := must(yaml.YAMLToJSON([]byte(text)))(t)
			cluster := &unstructured.Unstructured{}
			check(t, cluster.UnmarshalJSON(object))
			result, err := kstatus.Compute(cluster)
			if err != nil || result.Status != test.want {
				t.Errorf("kstatus reads %v, %v, want %s", result, err, test.want)
			}
			if err := checkArgoCD(cluster, test.want); err != nil {
				t.Error(err)
			}
		})
	}
}

func notReady(reason string) string {
	return "{type: Ready, status: 'False', reason: " + reason + ", message: m}"
}

func reconciling(reason string) string {
	return "{type: Reconciling, status: 'True', reason: " + reason + ", message: m}"
}
