package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// What the cache has added to the annotations of the cookie is not written to the API server.
func TestReplacedCookieHasNoAnnotationOfTheCache(t *testing.T) {
	for name, cookie := range map[string]v1alpha1.CookieSpec{
		"another Secret":   {SecretKeyRef: &v1alpha1.SecretKeyReference{Name: "legacy", Key: "cookie"}},
		"another rotation": {RotationID: "2"},
	} {
		s := running(v1alpha1.TLSSpec{}, cookie, func(s *statetest.Situation) {
			s.UserCookie = &statetest.UserCookie{Value: ptr.To("AnotherCookie")}
		})
		for _, last := range []string{"", "1"} {
			annotations := map[string]string{v1alpha1.Group + "/mark": "x"}
			if last != "" {
				annotations[naming.RotationAnnotation] = last
			}
			s.Secrets[s.Names.CookieSecret()].Annotations = annotations
			replace := plan.Make(s, operator, freshCookie).Replace
			if len(replace) != 1 {
				t.Fatalf("%s: %d Secrets are replaced", name, len(replace))
			}
			for key := range replace[0].Annotations {
				if key != naming.RotationAnnotation {
					t.Errorf("%s: it is written with %s", name, key)
				}
			}
			if diff := cmp.Diff(last, replace[0].Annotations[naming.RotationAnnotation]); diff != "" && cookie.RotationID == "" {
				t.Errorf("%s: the last rotation (-want +got):\n%s", name, diff)
			}
		}
	}
}
