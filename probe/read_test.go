package probe

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// objects are a cache by the names of its objects; an error if it has none.
type objects struct {
	client.Reader
	secrets    map[string]map[string][]byte
	configMaps map[string]map[string]string
	err        error
}

func (o objects) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if o.err != nil {
		return o.err
	}
	into.SetName(key.Name)
	into.SetResourceVersion("1")
	switch into := into.(type) {
	case *corev1.Secret:
		into.Data = o.secrets[key.Name]
	case *corev1.ConfigMap:
		into.Data = o.configMaps[key.Name]
	}
	return nil
}

// TestUnreadableCanary: the nodes are verified though the canary cannot be read, and the cause is
// told, in each pass; a canary that can be read again is tried again.
func TestUnreadableCanary(t *testing.T) {
	names := naming.Of(chat, naming.DefaultDomain)
	ca := certstest.NewAuthority("ca")
	certificate, key := ca.IssueKey("probe", certstest.ValidNow)
	combined := slices.Concat(key, certstest.PEM(certificate))
	good := objects{
		secrets: map[string]map[string][]byte{
			names.CookieSecret():              {naming.CookieKey: []byte("N0tTheRealCookie")},
			names.Certificate(names.Probe()):  {naming.CombinedKey: combined},
			names.Certificate(names.Canary()): {naming.CombinedKey: combined, corev1.TLSCertKey: certstest.PEM(certificate)},
		},
		configMaps: map[string]map[string]string{names.Distribution(): {naming.TrustKey: string(certstest.PEM(ca.Certificate))}},
	}
	r := reader{domain: naming.DefaultDomain, cookie: good, certificate: good, canary: good, distribution: good}
	for _, failure := range []error{nil, errors.New("the cache is broken"), errors.New("the cache is broken"), nil} {
		r.canary = objects{secrets: good.secrets, err: failure}
		desired, err := r.read(t.Context(), chat, nil)
		if err != nil || desired.credentials.Cookie.IsZero() {
			t.Fatalf("nothing is verified: %v", err)
		}
		told := desired.canaryError != nil && strings.Contains(desired.canaryError.Error(), "the cache is broken")
		if told != (failure != nil) || (desired.credentials.Canary == nil) != (failure != nil) {
			t.Errorf("the cache says %v: canary %v, %v", failure, desired.credentials.Canary != nil, desired.canaryError)
		}
	}
}
