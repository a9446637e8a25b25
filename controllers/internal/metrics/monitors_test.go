package metrics_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// podMonitor has the fields that a PodMonitor may have, of those that are set: unlike a
// ServiceMonitor it has no bearerTokenFile.
type podMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector            metav1.LabelSelector `json:"selector"`
		PodMetricsEndpoints []struct {
			Port          string `json:"port"`
			Scheme        string `json:"scheme"`
			HonorLabels   bool   `json:"honorLabels"`
			Authorization struct {
				Credentials corev1.SecretKeySelector `json:"credentials"`
			} `json:"authorization"`
			TLSConfig struct {
				ServerName string `json:"serverName"`
				CA         struct {
					Secret corev1.SecretKeySelector `json:"secret"`
				} `json:"ca"`
			} `json:"tlsConfig"`
		} `json:"podMetricsEndpoints"`
	} `json:"spec"`
}

// The PodMonitor has a token, which is in a Secret of a ServiceAccount that comes with it.
func TestPodMonitorHasAToken(t *testing.T) {
	const pods = "../../../config/prometheus/pods/"
	var monitor podMonitor
	if err := yaml.UnmarshalStrict([]byte(read(t, pods+"monitor.yaml")), &monitor); err != nil {
		t.Fatal(err)
	}
	for _, endpoint := range monitor.Spec.PodMetricsEndpoints {
		for document := range strings.SplitSeq(read(t, pods+"reader.yaml"), "\n---\n") {
			var secret corev1.Secret
			if err := yaml.Unmarshal([]byte(document), &secret); err != nil {
				t.Fatal(err)
			}
			if secret.Kind == "Secret" && secret.Type == corev1.SecretTypeServiceAccountToken && secret.Namespace == monitor.Namespace &&
				secret.Name == endpoint.Authorization.Credentials.Name && endpoint.Authorization.Credentials.Key == corev1.ServiceAccountTokenKey {
				return
			}
		}
	}
	t.Error("no endpoint of the PodMonitor has a token of reader.yaml")
}
