package controllers_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/client-go/rest"

	"github.com/erlang-operator/erlang-operator/controllers"
)

// A Kubernetes without PodCertificateRequests or MutatingAdmissionPolicies must not keep the
// manager from starting; one that cannot answer must.
func TestDiscover(t *testing.T) {
	const (
		admission    = "/apis/admissionregistration.k8s.io/v1"
		certificates = "/apis/certificates.k8s.io/v1"
	)
	for name, test := range map[string]struct {
		admission, certificates []string
		fails                   map[string]int
		served                  controllers.Served
		fail                    bool
	}{
		"Kubernetes 1.37": {admission: []string{"mutatingwebhookconfigurations", "mutatingadmissionpolicies"}, certificates: []string{"podcertificaterequests"},
			served: controllers.Served{AdmissionPolicies: true, PodCertificates: true}},
		"Kubernetes 1.36": {admission: []string{"mutatingwebhookconfigurations", "mutatingadmissionpolicies"}, certificates: []string{"certificatesigningrequests"},
			served: controllers.Served{AdmissionPolicies: true}},
		"Kubernetes 1.34":       {admission: []string{"mutatingwebhookconfigurations"}, certificates: []string{"certificatesigningrequests"}},
		"no such groups":        {fails: map[string]int{admission: 404, certificates: 404}},
		"an API server in pain": {fails: map[string]int{admission: 500}, fail: true},
		"not for us to look at": {fails: map[string]int{certificates: 403}, fail: true},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				resources := test.admission
				if r.URL.Path == certificates {
					resources = test.certificates
				} else if r.URL.Path != admission {
					t.Errorf("asked for %s", r.URL.Path)
				}
				w.Header().Set("Content-Type", "application/json")
				if status := test.fails[r.URL.Path]; status != 0 {
					w.WriteHeader(status)
				}
				_, _ = w.Write([]byte(`{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"v1","resources":[`))
				for i, resource := range resources {
					_, _ = fmt.Fprintf(w, `%s{"name":%q,"kind":"X","verbs":["get"]}`, []string{"", ","}[min(i, 1)], resource)
				}
				_, _ = w.Write([]byte(`]}`))
			}))
			defer server.Close()
			served, err := controllers.Discover(&rest.Config{Host: server.URL})
			if (err != nil) != test.fail || err == nil && served != test.served {
				t.Errorf("served: %+v, %v; want %+v, and an error: %t", served, err, test.served, test.fail)
			}
		})
	}
}

// The caches of an older Kubernetes must not know a kind that it does not serve: they
// would not start. Of what is not ours they know no more than is needed.
func TestCachesKnowWhatIsServed(t *testing.T) {
	const named = "metadata.name=erlang-operator-member-identity"
	for name, test := range map[string]struct {
		by     controllers.PodIdentity
		served controllers.Served
		want   []string
	}{
		"Kubernetes 1.37": {controllers.ByPolicy, controllers.Served{AdmissionPolicies: true, PodCertificates: true}, []string{
			"*v1.MutatingAdmissionPolicy " + named, "*v1.MutatingAdmissionPolicyBinding " + named,
			"*v1.PodCertificateRequest spec.signerName=erlang-operator.dev/member"}},
		"Kubernetes 1.37, webhook": {controllers.ByWebhook, controllers.Served{AdmissionPolicies: true, PodCertificates: true}, []string{
			"*v1.MutatingWebhookConfiguration " + named, "*v1.PodCertificateRequest spec.signerName=erlang-operator.dev/member"}},
		"Kubernetes 1.36":          {controllers.ByPolicy, controllers.Served{AdmissionPolicies: true}, []string{"*v1.MutatingAdmissionPolicy " + named, "*v1.MutatingAdmissionPolicyBinding " + named}},
		"Kubernetes 1.34, webhook": {controllers.ByWebhook, controllers.Served{}, []string{"*v1.MutatingWebhookConfiguration " + named}},
		"Kubernetes 1.34":          {controllers.ByPolicy, controllers.Served{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			options, err := controllers.CacheOptions(test.by, controllers.Scope{Served: test.served, MaySign: true})
			if err != nil {
				t.Fatal(err)
			}
			var selected []string
			for object, by := range options.ByObject {
				if by.Field != nil {
					selected = append(selected, fmt.Sprintf("%T %s", object, by.Field))
				}
				if _, ok := object.(*certificatesv1.PodCertificateRequest); ok && by.Field == nil {
					t.Error("requests to all signers are cached")
				}
			}
			slices.Sort(selected)
			if !slices.Equal(selected, test.want) {
				t.Errorf("cached by a field: %q, want %q", selected, test.want)
			}
		})
	}
}
