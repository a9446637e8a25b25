package prometheus

import (
	"log/slog"
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"go.yaml.in/yaml/v3"
)

const (
	// interval is that of scrapes and evaluations.
	interval = 15 * time.Second
	// evaluations take two and a half hours, for which each series below has samples.
	evaluations = 600
)

// For each alert series in the notation of promtool, and when each alert fires first. Those
// that never fire differ from one that does by what the expression is about: a label, a
// threshold, the time, another replica of the manager.
var alerts = map[string]struct {
	series string
	fires  map[string]time.Duration
}{
	"ErlangOperatorDown": {
		series: `
			controller_runtime_max_concurrent_reconciles{controller="erlangcluster", instance="a"} 4x40 stale
			controller_runtime_max_concurrent_reconciles{controller="erlangcluster", instance="b"} 4x80 stale
			controller_runtime_max_concurrent_reconciles{controller="signer", instance="a"}        1x600`,
		fires: map[string]time.Duration{`{controller="erlangcluster"}`: 81*interval + 5*time.Minute},
	},
	"ErlangClusterNotReady": {
		series: `
			erlang_operator_cluster_condition{type="Ready", namespace="shop", cluster="down", instance="a"} 0x600
			erlang_operator_cluster_condition{type="Ready", namespace="shop", cluster="down", instance="b"} 0x600
			erlang_operator_cluster_condition{type="Ready", namespace="test", cluster="down"}               1x600
			erlang_operator_cluster_condition{type="Ready", namespace="shop", cluster="soon"}               0x39 1x560
			erlang_operator_cluster_condition{type="Ready", namespace="shop", cluster="seen", instance="a"} 0x600
			erlang_operator_cluster_condition{type="Ready", namespace="shop", cluster="seen", instance="b"} 1x600
			erlang_operator_cluster_condition{type="Paused", namespace="shop", cluster="other"}             0x600`,
		fires: map[string]time.Duration{`{cluster="down", namespace="shop"}`: 10 * time.Minute},
	},
	"ErlangClusterProbeSilent": {
		series: `
			erlang_operator_cluster_probe_heartbeat_timestamp_seconds{namespace="shop", cluster="silent", instance="a"} 0x600
			erlang_operator_cluster_probe_heartbeat_timestamp_seconds{namespace="shop", cluster="silent", instance="b"} 0x600
			erlang_operator_cluster_probe_heartbeat_timestamp_seconds{namespace="test", cluster="silent"}               0+15x600
			erlang_operator_cluster_probe_heartbeat_timestamp_seconds{namespace="shop", cluster="slow"}                 -60+15x600
			erlang_operator_cluster_probe_heartbeat_timestamp_seconds{namespace="shop", cluster="slower", instance="a"} -75+15x600
			erlang_operator_cluster_probe_heartbeat_timestamp_seconds{namespace="shop", cluster="slower", instance="b"} -75+15x600
			erlang_operator_cluster_probe_heartbeat_timestamp_seconds{namespace="shop", cluster="back"}                 0x24 375+15x575
			erlang_operator_cluster_probe_heartbeat_timestamp_seconds{namespace="shop", cluster="seen", instance="a"}   0x600
			erlang_operator_cluster_probe_heartbeat_timestamp_seconds{namespace="shop", cluster="seen", instance="b"}   0+15x600`,
		fires: map[string]time.Duration{
			`{cluster="silent", namespace="shop"}`: 6*time.Minute + interval,
			`{cluster="slower", namespace="shop"}`: 5 * time.Minute,
		},
	},
	"ErlangCertificateExpiring": {
		series: `
			erlang_operator_cluster_condition{type="CertificateExpiring", namespace="shop", cluster="old", instance="a"} 1x600
			erlang_operator_cluster_condition{type="CertificateExpiring", namespace="shop", cluster="old", instance="b"} 1x600
			erlang_operator_cluster_condition{type="CertificateExpiring", namespace="shop", cluster="old", instance="c"} 0x600
			erlang_operator_cluster_condition{type="CertificateExpiring", namespace="test", cluster="old"}               0x600
			erlang_operator_cluster_condition{type="CertificateExpiring", namespace="shop", cluster="soon"}              1x59 0x540
			erlang_operator_cluster_condition{type="Ready", namespace="shop", cluster="other"}                           1x600`,
		fires: map[string]time.Duration{`{cluster="old", namespace="shop"}`: 15 * time.Minute},
	},
	"ErlangCertificateExpired": {
		series: `
			erlang_operator_node_certificate_expiration_timestamp_seconds{namespace="shop", cluster="chat", pod="chat-0", instance="a"} 600x600
			erlang_operator_node_certificate_expiration_timestamp_seconds{namespace="shop", cluster="chat", pod="chat-0", instance="b"} 600x600
			erlang_operator_node_certificate_expiration_timestamp_seconds{namespace="test", cluster="chat", pod="chat-0"}               9999x600
			erlang_operator_node_certificate_expiration_timestamp_seconds{namespace="shop", cluster="chat", pod="chat-1"}               600x40 9999x559
			erlang_operator_node_certificate_expiration_timestamp_seconds{namespace="shop", cluster="chat", pod="chat-2", instance="a"} 600x600
			erlang_operator_node_certificate_expiration_timestamp_seconds{namespace="shop", cluster="chat", pod="chat-2", instance="b"} 9999x600`,
		fires: map[string]time.Duration{`{cluster="chat", namespace="shop", pod="chat-0"}`: 10*time.Minute + interval},
	},
	"ErlangRotationTakesLong": {
		series: `
			erlang_operator_cluster_rotation_in_progress{credential="CA", namespace="shop", cluster="slow", instance="a"} 1x600
			erlang_operator_cluster_rotation_in_progress{credential="CA", namespace="shop", cluster="slow", instance="b"} 1x600
			erlang_operator_cluster_rotation_in_progress{credential="CA", namespace="shop", cluster="slow", instance="c"} 0x600
			erlang_operator_cluster_rotation_in_progress{credential="CA", namespace="test", cluster="slow"}               0x600
			erlang_operator_cluster_rotation_in_progress{credential="Cookie", namespace="shop", cluster="slow"}           0x600
			erlang_operator_cluster_rotation_in_progress{credential="Cookie", namespace="shop", cluster="soon"}           1x479 0x120`,
		fires: map[string]time.Duration{`{cluster="slow", credential="CA", namespace="shop"}`: 2 * time.Hour},
	},
}

// Every alert fires when it should, and not beside that.
func TestAlerts(t *testing.T) {
	tested := maps.Clone(alerts)
	for _, rule := range alertingRules(t) {
		test := tested[rule.Alert]
		delete(tested, rule.Alert)
		t.Run(rule.Alert, func(t *testing.T) {
			fired := evaluate(t, rule, test.series)
			if diff := cmp.Diff(test.fires, fired); diff != "" {
				t.Errorf("%s fires (-want +got):\n%s", rule.Expr, diff)
			}
		})
	}
	for alert := range tested {
		t.Errorf("config/prometheus/rules.yaml has no alert %s", alert)
	}
}

// A label that an alert does not have would be empty in its annotations.
func TestAnnotationsNameLabelsOfTheAlert(t *testing.T) {
	label := regexp.MustCompile(`\$labels\.(\w+)`)
	for _, rule := range alertingRules(t) {
		for fired := range alerts[rule.Alert].fires {
			of, err := parser.NewParser(parser.Options{}).ParseMetric(fired)
			if err != nil {
				t.Fatal(err)
			}
			for name, annotation := range rule.Annotations {
				for _, used := range label.FindAllStringSubmatch(annotation, -1) {
					if !of.Has(used[1]) {
						t.Errorf("%s of %s names the label %s, which is not one of %s", name, rule.Alert, used[1], fired)
					}
				}
			}
		}
	}
}

// alertingRules are parsed as Prometheus parses a file of rules, where an unknown field is an error.
func alertingRules(t *testing.T) (all []rulefmt.Rule) {
	t.Helper()
	text, err := os.ReadFile("../../config/prometheus/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var object struct{ Spec yaml.Node }
	if err := yaml.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	file, err := yaml.Marshal(&object.Spec)
	if err != nil {
		t.Fatal(err)
	}
	parsed, errs := rulefmt.Parse(file, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.Default())
	for _, err := range errs {
		t.Errorf("config/prometheus/rules.yaml: %v", err)
	}
	if t.Failed() {
		t.FailNow()
	}
	for _, group := range parsed.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

// evaluate returns when each alert of the rule fires first.
func evaluate(t *testing.T, rule rulefmt.Rule, series string) map[string]time.Duration {
	t.Helper()
	expression, err := parser.NewParser(parser.Options{}).ParseExpr(rule.Expr)
	if err != nil {
		t.Fatal(err)
	}
	alerting := rules.NewAlertingRule(rule.Alert, expression, time.Duration(rule.For), time.Duration(rule.KeepFiringFor),
		labels.FromMap(rule.Labels), labels.FromMap(rule.Annotations), labels.EmptyLabels(), "", true, slog.Default())
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	query := rules.EngineQueryFunc(engine, promqltest.LoadedStorage(t, "load "+interval.String()+series))

	fired := map[string]time.Duration{}
	for since := time.Duration(0); since <= evaluations*interval; since += interval {
		if _, err := alerting.Eval(t.Context(), 0, time.Unix(0, 0).Add(since), query, nil, 0); err != nil {
			t.Fatal(err)
		}
		for _, alert := range alerting.ActiveAlerts() {
			name := labels.NewBuilder(alert.Labels).Del(slices.Collect(maps.Keys(rule.Labels))...).Del(labels.AlertName).Labels().String()
			if _, before := fired[name]; alert.State == rules.StateFiring && !before {
				fired[name] = since
			}
		}
	}
	return fired
}
