//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/probe/command"
)

// identity is what it takes to pass as a member.
type identity struct {
	cookie      string
	certificate string // with its key
	trust       string
}

// identity is what the first member has by now.
func (c cluster) identity() identity {
	c.t.Helper()
	var key corev1.Secret
	if err := get(c.t, &key, "secret", c.pod(0)+"-tls", "-n", c.namespace); err != nil {
		c.t.Fatal(err)
	}
	return identity{
		cookie:      c.cookie(),
		certificate: string(key.Data[naming.CombinedKey]),
		trust:       must(c.t, "get", "configmap", c.name+"-distribution", "-n", c.namespace, "-o", `jsonpath={.data.trust\.pem}`),
	}
}

// checkAdmits demands that each member takes somebody with that identity for one of
// them, or turns him away for that reason. He comes from a pod of his own, with
// `erlang-operator verify`.
func (c cluster) checkAdmits(members int, who string, as identity, reason string) {
	c.t.Helper()
	nodes := make([]string, members)
	for ordinal := range members {
		nodes[ordinal] = c.node(ordinal)
	}
	arguments, err := json.Marshal(append([]string{"verify", "--output=json", "--cookie-file=/as/cookie",
		"--cacert=/as/trust", "--cert=/as/certificate", "--key=/as/certificate"}, nodes...))
	if err != nil {
		c.t.Fatal(err)
	}
	image := must(c.t, "get", "deployment", c.name+"-probe", "-n", c.namespace, "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	if err := apply(c.t, fmt.Sprintf(`apiVersion: v1
kind: Secret
metadata: {name: %[1]s, namespace: %[2]s}
stringData: {cookie: %[3]q, certificate: %[4]q, trust: %[5]q}
---
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  restartPolicy: Never
  containers: [{name: verify, image: %[6]q, args: %[7]s, volumeMounts: [{name: as, mountPath: /as}]}]
  volumes: [{name: as, secret: {secretName: %[1]s}}]
`, who, c.namespace, as.cookie, as.certificate, as.trust, image, arguments)); err != nil {
		c.t.Fatal(err)
	}
	eventually(c.t, time.Minute, who+" has tried every member", func() error {
		phase := must(c.t, "get", "pod", who, "-n", c.namespace, "-o", "jsonpath={.status.phase}")
		if phase != string(corev1.PodSucceeded) && phase != string(corev1.PodFailed) {
			return fmt.Errorf("its pod is %s", phase)
		}
		return nil
	})
	log := must(c.t, "logs", who, "-n", c.namespace)
	var report command.Report
	if err := json.Unmarshal([]byte(log), &report); err != nil {
		c.t.Fatalf("%s: %v: %s", who, err, log)
	}
	if len(report.Nodes) != members {
		c.t.Errorf("%s has tried %d members, want %d", who, len(report.Nodes), members)
	}
	for _, verdict := range report.Nodes {
		// A machine that is busy is slow, and no less right for that.
		if verdict.Reason == v1alpha1.ReasonSlowHandshake {
			verdict.Reason = v1alpha1.ReasonVerified
		}
		if verdict.Reason != reason {
			c.t.Errorf("%s at %s: %s: %s, want %s", who, verdict.Node, verdict.Reason, verdict.Message, reason)
		}
	}
	must(c.t, "delete", "pod,secret", who, "-n", c.namespace)
}
