package helm

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"
)

const repository = "../.."

// The chart renders what kustomize builds, object by object.
func TestChartRendersConfig(t *testing.T) {
	packed := load(t)
	for name, test := range map[string]struct {
		directory string
		// components that are added to it.
		components []string
		values     string
	}{
		"default":        {directory: "config/default"},
		"two replicas":   {directory: "config/ha", values: "replicas: 2"},
		"webhook":        {directory: "config/webhook", values: "podIdentity: Webhook"},
		"a namespace":    {directory: "config/namespaced", values: "namespaces: [default]"},
		"ServiceMonitor": {directory: "config/default", components: []string{"prometheus"}, values: "metrics: {monitor: ServiceMonitor, rules: true}"},
		"PodMonitor":     {directory: "config/default", components: []string{"prometheus", "prometheus/pods"}, values: "metrics: {monitor: PodMonitor, rules: true}"},
	} {
		t.Run(name, func(t *testing.T) {
			want := objects(t, build(t, test.directory, test.components))
			maps.DeleteFunc(want, func(id string, _ map[string]any) bool { return strings.HasPrefix(id, "Namespace ") })
			got := objects(t, render(t, packed, "erlang-operator", "erlang-operator-system", test.values+"\nimage: {tag: dev}\n"))
			for id := range got {
				if want[id] == nil {
					t.Errorf("only the chart has %s", id)
				}
			}
			for id := range want {
				if diff := gocmp.Diff(want[id], got[id]); diff != "" {
					t.Errorf("%s (-kustomize +helm):\n%s", id, diff)
				}
			}
		})
	}
}

// Two releases share no object, except those that only one of them may have.
func TestReleasesAreApart(t *testing.T) {
	packed := load(t)
	const values = "podIdentity: Webhook\nmetrics: {serve: Always, monitor: ServiceMonitor, rules: true}\n"
	first := objects(t, render(t, packed, "erlang-operator", "operators", "namespaces: [a]\n"+values))
	second := objects(t, render(t, packed, "other", "operators", "namespaces: [b, c]\nsharedObjects: false\n"+values))
	for id := range second {
		if _, both := first[id]; both {
			t.Errorf("both have %s", id)
		}
	}
	text := render(t, packed, "other", "operators", "namespaces: [b, c]\n"+values)
	for _, want := range []string{
		"--watch-namespaces=b,c", "--leader-elect-resource-name=other-erlang-operator.erlang-operator.dev",
		"app.kubernetes.io/instance: other", "namespace: operators",
		"other-erlang-operator-metrics.operators.svc", "operators/other-erlang-operator-webhook",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, "erlang-operator-system") {
		t.Error("an object names the namespace of config/")
	}
}

// A namespace that has the name of an object of config/ is no such name.
func TestNamespaceIsKept(t *testing.T) {
	text := render(t, load(t), "other", "erlang-operator-metrics", "")
	for _, want := range []string{"namespace: erlang-operator-metrics\n", "other-erlang-operator-metrics.erlang-operator-metrics.svc"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, "namespace: other") {
		t.Error("an object is in another namespace than the release")
	}
}

// A release of the chart runs its own image by the digest, and any other that is named.
func TestImageOfAReleasedChart(t *testing.T) {
	own, other := "sha256:"+strings.Repeat("a", 64), "sha256:"+strings.Repeat("b", 64)
	packed, err := loader.LoadFile(packageOf(t, "-digest", own))
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{
		"":                                    "image: ghcr.io/erlang-operator/erlang-operator@" + own,
		"repository: registry.example.com/eo": "image: registry.example.com/eo@" + own,
		"tag: v9":                             "image: ghcr.io/erlang-operator/erlang-operator:v9",
		"tag: v9, digest: '" + other + "'":    "image: ghcr.io/erlang-operator/erlang-operator@" + other,
	} {
		if text := render(t, packed, "erlang-operator", "erlang-operator-system", "image: {"+value+"}"); !strings.Contains(text, want+"\n") {
			t.Errorf("with %s there is no %s", value, want)
		}
	}
}

// Each value changes what it is for.
func TestValues(t *testing.T) {
	packed := load(t)
	for value, want := range map[string]string{
		`image: {repository: registry.example.com/eo, tag: v9}`:     "image: registry.example.com/eo:v9",
		`image: {digest: "sha256:` + strings.Repeat("a", 64) + `"}`: "image: ghcr.io/erlang-operator/erlang-operator@sha256:aaaa",
		`image: {pullPolicy: Always}`:                               "imagePullPolicy: Always",
		`imagePullSecrets: [{name: registry}]`:                      "imagePullSecrets:\n      - name: registry",
		`replicas: 3`:                                               "replicas: 3",
		`replicas: 2`:                                               "hard: {pods: 1G}",
		`priorityClassName: mine`:                                   "priorityClassName: mine",
		`resources: {limits: {memory: 1Gi}}`:                        "limits:\n            memory: 1Gi",
		`affinity: {nodeAffinity: {mark: here}}`:                    "nodeAffinity:\n          mark: here",
		`nodeSelector: {disk: fast}`:                                "nodeSelector:\n        disk: fast",
		`tolerations: [{key: dedicated, operator: Exists}]`:         "tolerations:\n      - key: dedicated",
		`tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists, tolerationSeconds: 99}]`: "tolerations:\n      - key: node.kubernetes.io/unreachable\n        operator: Exists\n        tolerationSeconds: 99\n      - effect: NoExecute\n        key: node.kubernetes.io/not-ready\n        operator: Exists\n        tolerationSeconds: 5\n      topology",
		`tolerations: [{key: node.kubernetes.io/unreachable, effect: NoSchedule}]`:                      "key: node.kubernetes.io/unreachable\n        operator: Exists\n        tolerationSeconds: 0\n",
		`podAnnotations: {a: b}`:                        "annotations:\n        a: b",
		`podLabels: {team: red}`:                        "team: red",
		`serviceAccountAnnotations: {a: b}`:             "annotations:\n    a: b",
		`clusterDomain: example.local`:                  "--cluster-domain=example.local",
		`workers: 9`:                                    "--workers=9",
		`probe: {imagePullSecrets: [{name: registry}]}`: `--probe-defaults={"imagePullSecrets":[{"name":"registry"}]}`,
		`probe: {resources: {limits: {cpu: 1, memory: 64Mi}}, topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {a: b}}}]}`: `"memory":"64Mi"`,
		`fullnameOverride: mine`:                                           "name: mine-manager",
		`{namespaces: [a], metrics: {serve: Always}}`:                      "--metrics-cert-dir",
		`metrics: {serve: Never}`:                                          "--metrics-bind-address=0",
		`{podIdentity: Webhook, networkPolicy: false, namespaces: [a, b]}`: "key: kubernetes.io/metadata.name\n      operator: In\n      values:\n      - a\n      - b",
	} {
		if text := render(t, packed, "erlang-operator", "erlang-operator-system", value); !strings.Contains(text, want) {
			t.Errorf("with %s there is no %q", value, want)
		}
	}
	for value, absent := range map[string]string{
		`networkPolicy: false`:                        "kind: NetworkPolicy",
		`sharedObjects: false`:                        "kind: CustomResourceDefinition",
		`metrics: {serve: Never}`:                     "kind: Certificate",
		`namespaces: [a]`:                             "kind: ClusterRoleBinding",
		`{replicas: 2, priorityClassName: ""}`:        "kind: ResourceQuota",
		`{podIdentity: Webhook, sharedObjects: true}`: "kind: MutatingAdmissionPolicy",
	} {
		if text := render(t, packed, "erlang-operator", "erlang-operator-system", value); strings.Contains(text, absent) {
			t.Errorf("with %s there is %q", value, absent)
		}
	}
}

// Every value has a default, and what is not a value is refused by name, at each level.
func TestTyposAreRefused(t *testing.T) {
	packed := load(t)
	for _, value := range []string{
		"replica: 2", "image: {tags: v1}", "metrics: {enabled: true}", "imagePullSecrets: [registry]", "tolerations: [{keys: x}]",
		"replicas: 0", "podIdentity: Hook", "namespaces: [No]", "resources: {limit: {}}", "affinity: {node: {}}", "priorityClassName: 1",
		"fullnameOverride: Mine", `fullnameOverride: "a: b"`,
		"probe: {toleration: []}", "probe: {tolerations: [{keys: x}]}", "probe: {affinity: {nodeAffinity: {required: {}}}}",
		"probe: {resources: {limits: {cpu: [1]}}}", "probe: {resources: {limits: {cpu: much}}}", "probe: {labels: {a: 1}}",
	} {
		if _, err := rendered(packed, "x", "y", value); err == nil {
			t.Errorf("%s is accepted", value)
		}
	}
	if _, err := rendered(packed, "x", "y", "metrics: {serve: Never, monitor: ServiceMonitor}"); err == nil {
		t.Error("a monitor without metrics is accepted")
	}
}

// `helm lint --strict` has nothing to say.
func TestLint(t *testing.T) {
	directory := t.TempDir()
	if output, err := exec.Command("tar", "-xzf", packageOf(t), "-C", directory).CombinedOutput(); err != nil {
		t.Fatalf("unpack: %v\n%s", err, output)
	}
	for _, message := range lint.RunAll(filepath.Join(directory, "erlang-operator"), nil, "erlang-operator-system").Messages {
		if message.Severity >= support.WarningSev {
			t.Error(message)
		}
	}
}

func packageOf(t *testing.T, flags ...string) string {
	t.Helper()
	command := exec.Command("go", append([]string{"run", "./chart", "-version", "v0.1.0", "-output", t.TempDir()}, flags...)...)
	command.Dir, command.Stderr = filepath.Join(repository, "hack"), os.Stderr
	file, err := command.Output()
	if err != nil {
		t.Fatalf("package the chart: %v", err)
	}
	return strings.TrimSpace(string(file))
}

func load(t *testing.T) *chart.Chart {
	t.Helper()
	packed, err := loader.LoadFile(packageOf(t))
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

func render(t *testing.T, packed *chart.Chart, release, namespace, values string) string {
	t.Helper()
	text, err := rendered(packed, release, namespace, values)
	if err != nil {
		t.Fatalf("render with %s: %v", values, err)
	}
	return text
}

// rendered is `helm template`.
func rendered(packed *chart.Chart, release, namespace, values string) (string, error) {
	given := map[string]any{}
	if err := yaml.Unmarshal([]byte(values), &given); err != nil {
		return "", err
	}
	all, err := util.ToRenderValues(packed, given, common.ReleaseOptions{Name: release, Namespace: namespace, IsInstall: true}, common.DefaultCapabilities)
	if err != nil {
		return "", err
	}
	files, err := engine.Render(packed, all)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".yaml") {
			fmt.Fprintf(&text, "\n---\n%s", files[name])
		}
	}
	return text.String(), nil
}

// build is `kustomize build` of a directory and components.
func build(t *testing.T, directory string, components []string) string {
	t.Helper()
	if components != nil {
		overlay, err := os.MkdirTemp(filepath.Join(repository, "config"), "test-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(overlay) })
		text := fmt.Sprintf("{resources: [../../%s], components: [../%s]}", directory, strings.Join(components, ", ../"))
		if err := os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		directory = "config/" + filepath.Base(overlay)
	}
	command := exec.Command("go", "tool", "-modfile=hack/tools/go.mod", "kustomize", "build", directory)
	command.Dir, command.Stderr = repository, os.Stderr
	text, err := command.Output()
	if err != nil {
		t.Fatalf("kustomize build %s: %v", directory, err)
	}
	return string(text)
}

// objects are those of a stream, by kind, namespace and name, without what Helm adds.
func objects(t *testing.T, text string) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	for _, document := range bytes.Split([]byte("\n"+text), []byte("\n---\n")) {
		var object map[string]any
		if err := yaml.Unmarshal(document, &object); err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		if object == nil {
			continue
		}
		metadata := object["metadata"].(map[string]any)
		id := fmt.Sprintf("%s %v/%v", object["kind"], cmp.Or(metadata["namespace"], any("")), metadata["name"])
		if all[id] != nil {
			t.Errorf("%s is there twice", id)
		}
		if labels, ok := metadata["labels"].(map[string]any); !ok || labels["app.kubernetes.io/part-of"] == nil || labels["app.kubernetes.io/component"] == nil {
			if object["kind"] != "Namespace" {
				t.Errorf("%s lacks recommended labels: %v", id, labels)
			}
		}
		all[id] = normal(object).(map[string]any)
	}
	return all
}

// helms are the keys that the chart adds, or that tell who manages an object.
var helms = []string{"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart", "helm.sh/resource-policy"}

// normal is a value without these keys, and with what has names in their order.
func normal(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			if value[key] = normal(inner); slices.Contains(helms, key) {
				delete(value, key)
			}
		}
	case []any:
		for i := range value {
			value[i] = normal(value[i])
		}
		slices.SortStableFunc(value, func(a, b any) int { return cmp.Compare(nameOf(a), nameOf(b)) })
	}
	return value
}

func nameOf(value any) string {
	if object, ok := value.(map[string]any); ok {
		name, _ := object["name"].(string)
		return name
	}
	return ""
}
