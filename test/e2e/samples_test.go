//go:build e2e

package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// Some of the samples, as they are but for their namespace, become Ready. That the API server
// accepts all of them is tested in envtest.
func TestSamplesBecomeReady(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"own-cookie", "own-issuer", "fixed-port", "restricted-namespace"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := harness.Namespace(t)
			manifest := string(harness.Must(os.ReadFile("../../config/samples/" + name + ".yaml"))(t))
			manifest = strings.NewReplacer("name: restricted-namespace", "name: "+namespace, "namespace: restricted-namespace", "namespace: "+namespace).Replace(manifest)
			if err := kubectl.Apply(t.Context(), manifest, "-n", namespace); err != nil {
				t.Fatal(err)
			}
			if name == "own-issuer" {
				harness.AwaitIssued(t, namespace, "erlang-ca")
			}
			harness.Cluster{Namespace: namespace, Name: strings.TrimSuffix(name, "-namespace")}.AwaitReady(t, 3)
		})
	}
}
