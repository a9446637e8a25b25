package controllers

import (
	"encoding/json"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// The webhook changes the name of one Secret and no byte besides, also in a pod with fields
// that this version does not know.
func TestIdentityWebhookChangesOneString(t *testing.T) {
	const member = `"labels":{"erlang-operator.dev/cluster":"chat","erlang-operator.dev/component":"node"}`
	const volumes = `{"name":"data","emptyDir":{}},{"name":"erlang-operator-tls","secret":{"secretName":"SECRET","items":[{"key":"a","path":"a"}],"ofTheFuture":1}}`
	pod := func(metadata, secret string) string {
		return `{"apiVersion":"v1","kind":"Pod","metadata":{` + metadata + `},"spec":{"ofTheFuture":{"x":[1]},"volumes":[` + strings.Replace(volumes, "SECRET", secret, 1) + `]}}`
	}
	for name, test := range map[string]struct{ pod, want, refused string }{
		"a member":                      {pod: pod(`"name":"chat-1",`+member, "erlang-operator-admission-policy-missing"), want: pod(`"name":"chat-1",`+member, "chat-1-tls")},
		"a member that has its Secret":  {pod: pod(`"name":"chat-1",`+member, "chat-1-tls"), want: pod(`"name":"chat-1",`+member, "chat-1-tls")},
		"a pod of somebody else's":      {pod: pod(`"name":"chat-1"`, "erlang-operator-admission-policy-missing"), want: pod(`"name":"chat-1"`, "erlang-operator-admission-policy-missing")},
		"a member without a name":       {pod: pod(`"generateName":"chat-",`+member, "erlang-operator-admission-policy-missing"), refused: "generateName"},
		"what is no pod, or unreadable": {pod: `{"spec":[]}`, refused: "read the pod"},
	} {
		t.Run(name, func(t *testing.T) {
			webhook := admission.Webhook{Handler: identityWebhook{admission.NewDecoder(testScheme)}}
			response := webhook.Handle(t.Context(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{UID: "1", Object: runtime.RawExtension{Raw: []byte(test.pod)}}})
			if test.refused != "" {
				if response.Allowed || !strings.Contains(response.Result.Message, test.refused) {
					t.Errorf("allowed: %t, %v; want a refusal that names %s", response.Allowed, response.Result, test.refused)
				}
				return
			}
			if !response.Allowed {
				t.Fatalf("refused: %v", response.Result)
			}
			if got := patched(t, test.pod, response.Patch); !jsonpatch.Equal(got, []byte(test.want)) {
				t.Errorf("the pod is now\n%s, want\n%s", got, test.want)
			}
		})
	}
}

func patched(t *testing.T, object string, operations []byte) []byte {
	t.Helper()
	if len(operations) == 0 {
		return []byte(object)
	}
	patch, err := jsonpatch.DecodePatch(operations)
	if err != nil {
		t.Fatal(err)
	}
	result, err := patch.Apply([]byte(object))
	if err != nil || !json.Valid(result) {
		t.Fatalf("apply %s: %v", operations, err)
	}
	return result
}
