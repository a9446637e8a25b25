package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/probe/command"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// Credentials are what it takes to connect to a member.
type Credentials struct {
	cookie      string
	certificate string // with its key
	trust       string
}

// Credentials are those of the first member, as they are stored now.
func (c Cluster) Credentials(ctx context.Context) (Credentials, error) {
	certificate, err := c.secret(ctx, c.Pod(0)+"-tls")
	if err != nil {
		return Credentials{}, err
	}
	cookie, err := c.Cookie(ctx)
	if err != nil {
		return Credentials{}, err
	}
	trust, err := c.trustBundle(ctx)
	return Credentials{cookie, string(certificate.Data[naming.CombinedKey]), trust}, err
}

// CheckVerdicts connects to each member with these credentials, by `erlang-operator
// verify` in a pod of the given name, and requires that reason in each verdict.
func (c Cluster) CheckVerdicts(t testing.TB, members int, pod string, with Credentials, reason string) {
	t.Helper()
	nodes := make([]string, members)
	for ordinal := range members {
		nodes[ordinal] = c.Node(ordinal)
	}
	arguments := Must(json.Marshal(append([]string{"verify", "--output=json", "--cookie-file=/as/cookie",
		"--cacert=/as/trust", "--cert=/as/certificate", "--key=/as/certificate"}, nodes...)))(t)
	image := kubectl.Must(t, "get", "deployment", c.Name+"-probe", "-n", c.Namespace, "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	kubectl.MustApply(t, fmt.Sprintf(`apiVersion: v1
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
`, pod, c.Namespace, with.cookie, with.certificate, with.trust, image, arguments))
	await.Until(t, 3*time.Minute, pod+" has tried every member", func(ctx context.Context) error {
		phase, err := kubectl.Run(ctx, "get", "pod", pod, "-n", c.Namespace, "-o", "jsonpath={.status.phase}")
		if err == nil && phase != string(corev1.PodSucceeded) && phase != string(corev1.PodFailed) {
			err = fmt.Errorf("its pod is %s", phase)
		}
		return err
	})
	log := kubectl.Must(t, "logs", pod, "-n", c.Namespace)
	var report command.Report
	if err := json.Unmarshal([]byte(log), &report); err != nil {
		t.Fatalf("%s: %v: %s", pod, err, log)
	}
	if len(report.Nodes) != members {
		t.Errorf("%s has tried %d members, want %d", pod, len(report.Nodes), members)
	}
	for _, verdict := range report.Nodes {
		if verdict.Reason == v1alpha1.ReasonSlowHandshake { // on a busy machine
			verdict.Reason = v1alpha1.ReasonVerified
		}
		if verdict.Reason != reason {
			t.Errorf("%s at %s: %s: %s, want %s", pod, verdict.Node, verdict.Reason, verdict.Message, reason)
		}
	}
	kubectl.Must(t, "delete", "pod,secret", pod, "-n", c.Namespace)
}

// CheckFormerCredentials requires that every member refuses the former certificate, and
// the former cookie, though all else is right, and accepts what is stored now.
func (c Cluster) CheckFormerCredentials(t testing.TB, members int, former Credentials) {
	t.Helper()
	now := Must(c.Credentials(t.Context()))(t)
	c.CheckVerdicts(t, members, "now", now, v1alpha1.ReasonVerified)
	with := now
	with.certificate = former.certificate
	c.CheckVerdicts(t, members, "former-certificate", with, v1alpha1.ReasonClientCertificateRejected)
	with = now
	with.cookie = former.cookie
	c.CheckVerdicts(t, members, "former-cookie", with, v1alpha1.ReasonCookieMismatch)
}
