package status_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/certstest"
	"github.com/erlang-operator/erlang-operator/controllers/internal/plan"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state/statetest"
)

// asking is a cluster of three in which all is well and the kubelets ask for the
// certificates, so that no node has a stored one.
func asking(intermediate *statetest.Intermediate) *scene {
	s := whole(3)
	status := s.Cluster.Status
	s.Cluster.Spec.TLS.Delivery = v1alpha1.DeliveryPodCertificate
	situation := statetest.Situation{
		CA: "blue", Trust: []string{"blue"}, Cookie: "TheCookieOfTheCluster", Intermediate: intermediate,
		Issued:      []statetest.Issued{{To: "chat-probe", By: "blue"}},
		StatefulSet: &statetest.StatefulSet{Replicas: 3, Delivery: v1alpha1.DeliveryPodCertificate},
	}
	for ordinal := range 3 {
		situation.Pods = append(situation.Pods, statetest.Pod{Name: fmt.Sprintf("chat-%d", ordinal), Delivery: v1alpha1.DeliveryPodCertificate})
	}
	s = &scene{State: situation.Seen(s.Cluster)}
	s.Cluster.Status = status
	return s
}

func TestCredentialsThatKubeletsAskFor(t *testing.T) {
	blue := &statetest.Intermediate{By: "blue"}
	for name, test := range map[string]struct {
		intermediate *statetest.Intermediate
		edit         func(*scene)
		want         string
		says         string
	}{
		"all is well":                 {blue, nil, "True CertificatesIssued", "as far as they are served"},
		"no intermediate yet":         {nil, nil, "False CertificatesPending", "chat-intermediate"},
		"an intermediate not trusted": {&statetest.Intermediate{By: "green"}, nil, "False CertificateUntrusted", "chat-intermediate"},
		"no CA":                       {&statetest.Intermediate{By: "blue", NoCA: true}, nil, "False IssuerGivesNoCA", "kubectl describe certificate chat-intermediate"},
		"a node serves what has expired": {blue, func(s *scene) {
			s.node(1).CertificateNotAfter = ptr.To(metav1.NewTime(statetest.Now.Add(-time.Minute)))
		}, "False CertificateExpired", "pod chat-1 serves"},
		"the probe's certificate is bad": {blue, func(s *scene) { s.Now = certstest.End.Add(time.Minute) }, "False CertificateExpired", "chat-probe-tls"},
	} {
		t.Run(name, func(t *testing.T) {
			s := asking(test.intermediate)
			if test.edit != nil {
				test.edit(s)
			}
			condition := meta.FindStatusCondition(s.describe(t).Status.Conditions, v1alpha1.ConditionCredentialsReady)
			if got := fmt.Sprintf("%s %s", condition.Status, condition.Reason); got != test.want || !strings.Contains(condition.Message, test.says) {
				t.Errorf("it is %s: %s; want %s, and that it says %q", got, condition.Message, test.want, test.says)
			}
		})
	}
}

// The time left is known where a certificate is served, and nowhere else.
func TestExpiryIsAsServed(t *testing.T) {
	s := asking(&statetest.Intermediate{By: "blue"})
	s.node(2).CertificateNotAfter = ptr.To(metav1.NewTime(statetest.Now.Add(5*time.Hour + time.Minute)))
	if got := s.describe(t).Status.CertificatesExpire; got != "5h" {
		t.Errorf("certificates expire in %q, want 5h", got)
	}
	for ordinal := range 3 {
		s.node(ordinal).CertificateNotAfter = nil
	}
	if got := s.describe(t).Status.CertificatesExpire; got != "" {
		t.Errorf("certificates expire in %q, and none has been seen", got)
	}
}

func TestStalledWithoutTheAPI(t *testing.T) {
	s := asking(&statetest.Intermediate{By: "blue"})
	s.PodCertificatesServed = false
	s.plan = plan.Make(s.State, plan.Operator{}, "")
	condition := meta.FindStatusCondition(s.describe(t).Status.Conditions, v1alpha1.ConditionStalled)
	if condition == nil || condition.Reason != v1alpha1.ReasonPodCertificatesMissing ||
		!strings.Contains(condition.Message, "tls.delivery") || !strings.Contains(condition.Message, "1.37") {
		t.Errorf("Stalled is %+v, want it to name the field and the remedy", condition)
	}
}
