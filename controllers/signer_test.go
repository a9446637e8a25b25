package controllers_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/client-go/rest"

	"github.com/erlang-operator/erlang-operator/controllers"
)

// A Kubernetes without PodCertificateRequests must not keep the manager from starting.
func TestServesPodCertificates(t *testing.T) {
	const csr = `{"name":"certificatesigningrequests","namespaced":false,"kind":"CertificateSigningRequest","verbs":["get"]}`
	const pcr = `{"name":"podcertificaterequests","namespaced":true,"kind":"PodCertificateRequest","verbs":["get"]}`
	for name, test := range map[string]struct {
		status    int
		resources string
		served    bool
		fails     bool
	}{
		"Kubernetes 1.37":       {200, csr + "," + pcr, true, false},
		"Kubernetes 1.36":       {200, csr, false, false},
		"no such group":         {404, "", false, false},
		"an API server in pain": {500, "", false, true},
		"not for us to look at": {403, "", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/apis/certificates.k8s.io/v1" {
					t.Errorf("asked for %s", r.URL.Path)
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(`{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"certificates.k8s.io/v1","resources":[` + test.resources + `]}`))
			}))
			defer server.Close()
			served, err := controllers.ServesPodCertificates(&rest.Config{Host: server.URL})
			if served != test.served || (err != nil) != test.fails {
				t.Errorf("served: %t, %v; want %t, and an error: %t", served, err, test.served, test.fails)
			}
		})
	}
}

// The caches of an older Kubernetes must not know a kind that it does not serve: they
// would not start.
func TestCachesKnowRequestsWhereThereAreAny(t *testing.T) {
	for _, served := range []bool{true, false} {
		options, err := controllers.CacheOptions(served)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for object, by := range options.ByObject {
			if _, ok := object.(*certificatesv1.PodCertificateRequest); ok {
				found = true
				if by.Field == nil || by.Field.String() != "spec.signerName=erlang-operator.dev/member" {
					t.Errorf("requests to all signers are cached: %v", by.Field)
				}
			}
		}
		if found != served {
			t.Errorf("PodCertificateRequests served: %t, cached: %t", served, found)
		}
	}
}
