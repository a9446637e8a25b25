package plan_test

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/beam"
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

// Each file of testdata is a situation, in three documents: what the user wrote, what is
// there, and what the plan does that it does not do in the situation "converged". Where
// the whole plan is worth reading, that is in a file of its own instead.
func TestPlanIsAsWritten(t *testing.T) {
	converged := plan.Make(load(t, "converged"), operator, freshCookie)
	forEachCase(t, func(t *testing.T, name string, s state.State) {
		p := plan.Make(s, operator, freshCookie)
		if golden := filepath.Join("testdata", name+".golden.yaml"); exists(golden) {
			compare(t, golden, written(t, p))
			return
		}
		file := filepath.Join("testdata", name+".yaml")
		given := documents(t, name)[:2]
		compare(t, file, strings.Join(append(given, difference(t, converged, p)), "\n---\n"))
	})
}

// An upgrade of the operator must roll no pod: these templates are what running
// clusters have, and a difference here restarts every node of every one of them.
// Only a change of the user's may change a template. If this test fails, find
// another way, as AnnotationTemplateDefaults; write these files anew only for a case that no
// release has had, or where the API server sets by itself what is new.
func TestPodTemplateIsAsReleased(t *testing.T) {
	compared := 0
	forEachCase(t, func(t *testing.T, name string, s state.State) {
		if s.StatefulSet == nil {
			s.StatefulSet = &appsv1.StatefulSet{} // of a release without defaults
		}
		set := statefulSet(plan.Make(s, operator, freshCookie))
		if set == nil {
			return
		}
		compared++
		golden := filepath.Join("testdata/podtemplates", name+".golden.yaml")
		if !exists(golden) {
			golden = map[v1alpha1.CertificateDelivery]string{
				v1alpha1.DeliverySecret:         "testdata/podtemplates/secret.golden.yaml",
				v1alpha1.DeliveryPodCertificate: "testdata/podtemplates/pod-certificate.golden.yaml",
			}[s.Cluster.Spec.TLS.Delivery]
		}
		compare(t, golden, toYAML(t, set.Spec.Template))
	})
	if compared < 20 {
		t.Errorf("only %d situations have a StatefulSet", compared)
	}
}

// As TestPodTemplateIsAsReleased, of what each version of the defaults adds to the templates of
// clusters that are created with it.
func TestDefaultsOfPodTemplatesAreAsReleased(t *testing.T) {
	forEachCase(t, func(t *testing.T, _ string, s state.State) {
		template := func(version string) (template any) {
			metav1.SetMetaDataAnnotation(&s.Cluster.Spec.Template.ObjectMeta, plan.AnnotationTemplateDefaults, version)
			if set := statefulSet(plan.Make(s, operator, freshCookie)); set != nil {
				convert(t, set.Spec.Template, &template)
			}
			return template
		}
		spreads := len(s.Cluster.Spec.Template.Spec.TopologySpreadConstraints) > 0
		if former := template("0"); former != nil && !spreads {
			compare(t, "testdata/podtemplates/defaults-1.golden.yaml", toYAML(t, changedFields(former, template("1"))))
		}
	})
}

// forEachCase runs a subtest for each situation of testdata.
func forEachCase(t *testing.T, run func(t *testing.T, name string, s state.State)) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no situations in testdata: %v", err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".yaml"); !strings.HasSuffix(name, ".golden") {
			t.Run(name, func(t *testing.T) { run(t, name, load(t, name)) })
		}
	}
}

func load(t *testing.T, name string) state.State {
	t.Helper()
	return situationOf(t, name).Seen(clusterOf(t, name))
}

func clusterOf(t *testing.T, name string) *v1alpha1.ErlangCluster {
	t.Helper()
	cluster, err := statetest.Cluster([]byte(documents(t, name)[0]))
	if err != nil {
		t.Fatal(err)
	}
	cluster.Name, cluster.Namespace = "chat", "shop"
	return cluster
}

func situationOf(t *testing.T, name string) statetest.Situation {
	t.Helper()
	var situation statetest.Situation
	if err := yaml.UnmarshalStrict([]byte(documents(t, name)[1]), &situation); err != nil {
		t.Fatal(err)
	}
	return situation
}

func documents(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n---\n")
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
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

// written is a plan for people: what is not an object first, then the objects, each a
// YAML document of its own.
func written(t *testing.T, p plan.Plan) string {
	t.Helper()
	documents := []string{toYAML(t, intentOf(p))}
	for _, secret := range p.Create {
		documents = append(documents, "# created once\n"+toYAML(t, secret))
	}
	for _, secret := range p.Replace {
		documents = append(documents, "# replaced\n"+toYAML(t, secret))
	}
	for _, configuration := range p.Apply {
		var object unstructured.Unstructured
		convert(t, configuration, &object.Object)
		if object.GetKind() != "Service" { // Once is enough: another test has them for all.
			object.SetLabels(nil)
			object.SetOwnerReferences(nil)
		}
		if object.GetKind() == "ConfigMap" {
			withoutPrograms(object.Object)
		}
		documents = append(documents, toYAML(t, object.Object))
	}
	return strings.Join(documents, "---\n")
}

// intent is what a plan does besides creating and applying objects.
type intent struct {
	Problems []plan.Problem `json:"Problems,omitempty"`
	Holds    []plan.Hold    `json:"Holds,omitempty"`
	Delete   []string       `json:"Delete,omitempty"`
	Refresh  []string       `json:"Refresh,omitempty"`
}

func intentOf(p plan.Plan) intent {
	intent := intent{Problems: p.Problems, Holds: p.Holds}
	for _, pod := range p.Refresh {
		intent.Refresh = append(intent.Refresh, *pod.GetName())
	}
	for _, object := range p.Delete {
		kind := object.GetObjectKind().GroupVersionKind().Kind
		intent.Delete = append(intent.Delete, strings.TrimPrefix(kind+"/"+object.GetName(), "/"))
	}
	return intent
}

// difference is what a plan does otherwise than another one: what it creates, and of what
// it applies, the fields that differ. Labels, owners and pod templates are left to other
// tests.
func difference(t *testing.T, from, to plan.Plan) string {
	t.Helper()
	before, after := applied(t, from), applied(t, to)
	var without []string
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if after[name] == nil {
			without = append(without, name)
		}
	}
	with := map[string]any{}
	for name, object := range after {
		was := before[name]
		if was == nil && strings.HasPrefix(name, "Certificate/") {
			was = before["Certificate/chat-0-tls"] // What all have in common is known.
		}
		if changed := changedFields(was, object); changed != nil {
			with[name] = changed
		}
	}
	return toYAML(t, struct {
		intent  `json:",inline"`
		Create  map[string]map[string]string `json:"Create,omitempty"`
		Replace map[string]map[string]string `json:"Replace,omitempty"`
		Without []string                     `json:"Without,omitempty"`
		With    map[string]any               `json:"With,omitempty"`
	}{intentOf(to), data(to.Create), data(to.Replace), without, with})
}

func data(secrets []*corev1.Secret) map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, secret := range secrets {
		all[secret.Name] = map[string]string{}
		for key, value := range secret.Data {
			all[secret.Name][key] = string(value)
		}
	}
	return all
}

// applied are the objects that a plan applies, by kind and name, as far as they are
// compared.
func applied(t *testing.T, p plan.Plan) map[string]any {
	t.Helper()
	objects := map[string]any{}
	for _, configuration := range p.Apply {
		kind := *configuration.GetKind()
		var object map[string]any
		convert(t, configuration, &object)
		delete(object, "apiVersion")
		delete(object, "kind")
		delete(object, "metadata")
		switch spec, _ := object["spec"].(map[string]any); kind {
		case "StatefulSet":
			delete(spec, "template")
		case "Certificate":
			delete(spec, "secretTemplate")
		case "ConfigMap":
			withoutPrograms(object)
			data := object["data"].(map[string]any)
			data[naming.TrustKey] = subjects(t, data[naming.TrustKey].(string))
		}
		objects[kind+"/"+*configuration.GetName()] = object
	}
	return objects
}

// withoutPrograms drops the programs of a ConfigMap, which are files in the package beam,
// and the TLS options, which the package certs has.
func withoutPrograms(object map[string]any) {
	delete(object["data"].(map[string]any), naming.OptionsKey)
	for name := range beam.Programs() {
		delete(object["data"].(map[string]any), name)
	}
}

// subjects are the CAs of a trust bundle.
func subjects(t *testing.T, bundle string) []any {
	t.Helper()
	trust, err := certs.ParseTrust([]byte(bundle))
	if err != nil {
		t.Fatal(err)
	}
	var names []any
	for _, ca := range trust.CAs() {
		names = append(names, ca.Subject.CommonName)
	}
	return names
}

// changedFields is a JSON merge patch; nil when nothing differs.
func changedFields(before, after any) any {
	was, ok := before.(map[string]any)
	is, same := after.(map[string]any)
	if !ok || !same {
		if reflect.DeepEqual(before, after) {
			return nil
		}
		return after
	}
	patch := map[string]any{}
	for field, value := range is {
		if changed := changedFields(was[field], value); changed != nil {
			patch[field] = changed
		}
	}
	for field := range was {
		if _, there := is[field]; !there {
			patch[field] = "(unset)"
		}
	}
	if len(patch) == 0 {
		return nil
	}
	return patch
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
