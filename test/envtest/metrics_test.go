package envtest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// Only the role erlang-operator-metrics-reader may read the metrics, which have series of
// each cluster until it is deleted.
func TestMetrics(t *testing.T) {
	check(t, applyFile(t.Context(), "config/metrics/authorization.yaml"))
	namespace := newNamespace(t)
	address := freeAddress(t)
	directory, roots := metricsCertificate(t)
	startManagerWith(t, managerKubeconfig(t), "--metrics-bind-address="+address, "--metrics-cert-dir="+directory)
	outsider, reader := tokenOf(t, namespace, "outsider"), tokenOf(t, namespace, "prometheus")
	create(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: named("", "prometheus-of-"+namespace),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "erlang-operator-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "prometheus"}},
	})
	create(t, object(t, namespace, minimal))

	expected := fmt.Sprintf(`erlang_operator_cluster_nodes_expected{cluster="chat",namespace=%q} 3`, namespace)
	ready := fmt.Sprintf(`erlang_operator_cluster_condition{cluster="chat",namespace=%q,type="Ready"} 0`, namespace)
	ca := fmt.Sprintf(`,cluster="chat",namespace=%q}`, namespace)
	eventually(t, "the series of the cluster", func(ctx context.Context) error {
		status, text, err := scrape(ctx, roots, address, reader)
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("the status is %d", status)
		}
		for _, line := range []string{expected, ready, "erlang_operator_cluster_ca_expiration_timestamp_seconds{", ca, "controller_runtime_reconcile_total",
			`erlang_operator_build_info{commit="`} {
			if !strings.Contains(text, line) {
				return fmt.Errorf("no %s in:\n%s", line, text)
			}
		}
		return nil
	})
	for who, token := range map[string]string{"an outsider": outsider, "an anonymous client": ""} {
		if status, _, err := scrape(t.Context(), roots, address, token); err != nil || status == http.StatusOK {
			t.Errorf("%s is answered with %d, %v", who, status, err)
		}
	}

	check(t, admin.Delete(t.Context(), clusterIn(namespace)))
	eventually(t, "the end of the series", func(ctx context.Context) error {
		_, text, err := scrape(ctx, roots, address, reader)
		if err == nil && strings.Contains(text, expected) {
			err = fmt.Errorf("still there: %s", expected)
		}
		return err
	})
}

// freeAddress is an address with a free port.
func freeAddress(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", must(freePort())(t))
}

// tokenOf makes a ServiceAccount, and a token of it.
func tokenOf(t *testing.T, namespace, name string) string {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: named(namespace, name)}
	create(t, account)
	token := &authenticationv1.TokenRequest{}
	check(t, admin.SubResource("token").Create(t.Context(), account, token))
	return token.Status.Token
}

// metricsCertificate is the directory of the certificate that cert-manager issues for
// config/metrics, and what Prometheus verifies it with.
func metricsCertificate(t *testing.T) (directory string, roots *x509.CertPool) {
	t.Helper()
	check(t, applyFile(t.Context(), "config/metrics/certificate.yaml"))
	secret := &corev1.Secret{ObjectMeta: named("erlang-operator-system", "erlang-operator-metrics-tls")}
	eventually(t, "the certificate of the metrics", func(ctx context.Context) error {
		if err := retryRefused(ctx, certificate("erlang-operator-system", "erlang-operator-metrics-ca")); err != nil {
			return err
		}
		_, err := read(ctx, secret)
		return err
	})
	directory, roots = t.TempDir(), x509.NewCertPool()
	for _, key := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey} {
		check(t, os.WriteFile(filepath.Join(directory, key), secret.Data[key], 0o600))
	}
	if !roots.AppendCertsFromPEM(secret.Data["ca.crt"]) {
		t.Fatal("the Secret has no CA")
	}
	return directory, roots
}

// scrape asks for the metrics as Prometheus does with config/prometheus.
func scrape(ctx context.Context, roots *x509.CertPool, address, token string) (status int, text string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/metrics", nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "erlang-operator-metrics.erlang-operator-system.svc"}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}
