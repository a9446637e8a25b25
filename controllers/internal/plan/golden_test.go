package plan_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	applyapps "k8s.io/client-go/applyconfigurations/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

var update = flag.Bool("update", false, "write the golden files anew")

var operator = plan.Operator{
	Image:           "example.com/erlang-operator:v1",
	ImagePullPolicy: corev1.PullIfNotPresent,
	Domain:          naming.DefaultDomain,
}

const freshCookie = "FreshlyDrawnByTheManager0123456789abcdef"

// Each directory of testdata is a case: what the user wrote, what is there, and
// the plan that comes of it.
func TestPlanIsAsWritten(t *testing.T) {
	forEachCase(t, func(t *testing.T, dir string, s state.State) {
		compare(t, filepath.Join(dir, "plan.golden.yaml"), written(t, plan.Make(s, operator, freshCookie)))
	})
}

// An upgrade of the operator must roll no pod: these templates are what running
// clusters have, and a difference here restarts every node of every one of them.
// Only a change of the user's may change a template. If this test fails, find
// another way; write these files anew only for a case that no release has had.
func TestPodTemplateIsAsReleased(t *testing.T) {
	forEachCase(t, func(t *testing.T, dir string, s state.State) {
		golden := filepath.Join(dir, "podtemplate.golden.yaml")
		for _, configuration := range plan.Make(s, operator, freshCookie).Apply {
			if set, ok := configuration.(*applyapps.StatefulSetApplyConfiguration); ok {
				compare(t, golden, toYAML(t, set.Spec.Template))
				return
			}
		}
		if _, err := os.Stat(golden); err == nil {
			t.Errorf("there is %s, but the plan has no StatefulSet", golden)
		}
	})
}

// forEachCase runs a subtest for each directory of testdata.
func forEachCase(t *testing.T, run func(t *testing.T, dir string, s state.State)) {
	t.Helper()
	clusters, err := filepath.Glob("testdata/*/cluster.yaml")
	if err != nil || len(clusters) == 0 {
		t.Fatalf("no cases in testdata: %v", err)
	}
	for _, file := range clusters {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) { run(t, dir, load(t, dir)) })
	}
}

func load(t *testing.T, dir string) state.State {
	t.Helper()
	cluster, err := statetest.Cluster(read(t, filepath.Join(dir, "cluster.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	return situationOf(t, dir).Seen(cluster)
}

func situationOf(t *testing.T, dir string) statetest.Situation {
	t.Helper()
	var situation statetest.Situation
	if err := yaml.UnmarshalStrict(read(t, filepath.Join(dir, "observed.yaml")), &situation); err != nil {
		t.Fatal(err)
	}
	return situation
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func compare(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatalf("%v (go test -update writes it; then read it)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", golden, diff)
	}
}

// written is a plan for people: problems and holds first, then what is deleted,
// then the objects, each a YAML document of its own.
func written(t *testing.T, p plan.Plan) string {
	t.Helper()
	intent := struct {
		Problems []plan.Problem
		Holds    []plan.Hold
		Delete   []string
		Refresh  []string
	}{p.Problems, p.Holds, nil, nil}
	for _, pod := range p.Refresh {
		intent.Refresh = append(intent.Refresh, *pod.GetName())
	}
	for _, object := range p.Delete {
		kind := object.GetObjectKind().GroupVersionKind().Kind
		intent.Delete = append(intent.Delete, strings.TrimPrefix(kind+"/"+object.GetName(), "/"))
	}
	documents := []string{toYAML(t, intent)}
	for _, secret := range p.Create {
		documents = append(documents, "# created once\n"+toYAML(t, secret))
	}
	for _, secret := range p.Replace {
		documents = append(documents, "# replaced\n"+toYAML(t, secret))
	}
	for _, configuration := range p.Apply {
		documents = append(documents, toYAML(t, configuration))
	}
	return strings.Join(documents, "---\n")
}

func toYAML(t failer, object any) string {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatalf("%v", err)
	}
	readable, err := yaml.JSONToYAML(text)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return string(readable)
}

// failer is what *testing.T and *rapid.T have in common.
type failer interface {
	Helper()
	Fatalf(string, ...any)
}
