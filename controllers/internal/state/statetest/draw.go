package statetest

import (
	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// Draw makes a cluster in any situation, sensible or not.
func Draw(t *rapid.T) state.State {
	return drawSituation(t).Seen(drawCluster(t))
}

func drawCluster(t *rapid.T) *v1alpha1.ErlangCluster {
	cluster := MustCluster(`
metadata: {name: chat, namespace: shop}
spec:
  template:
    spec:
      containers:
      - {name: chat, image: "example.com/chat:1"}
      - {name: proxy, image: "example.com/proxy:3"}
`)
	spec := &cluster.Spec
	replicas := rapid.Int32Range(0, 4).Draw(t, "replicas")
	spec.Replicas = &replicas
	spec.Container = rapid.SampledFrom([]string{"", "chat", "proxy"}).Draw(t, "container")
	spec.NetworkPolicy.Mode = rapid.SampledFrom([]v1alpha1.NetworkPolicyMode{
		v1alpha1.NetworkPolicyManaged, v1alpha1.NetworkPolicyDistributionOnly, v1alpha1.NetworkPolicyUnmanaged}).Draw(t, "networkPolicy")
	spec.PodDisruptionBudget.Mode = rapid.SampledFrom([]v1alpha1.Management{
		v1alpha1.Managed, v1alpha1.Unmanaged}).Draw(t, "podDisruptionBudget")
	spec.Distribution.Discovery = rapid.SampledFrom([]v1alpha1.Discovery{
		v1alpha1.DiscoveryEPMD, v1alpha1.DiscoveryFixedPort}).Draw(t, "discovery")
	if rapid.Bool().Draw(t, "rotation asked for") {
		spec.Cookie.RotationID = "2"
	}
	if rapid.Bool().Draw(t, "own cookie") {
		spec.Cookie.SecretKeyRef = &v1alpha1.SecretKeyReference{Name: "legacy", Key: "cookie"}
	}
	spec.TLS.CA.RotationID = rapid.SampledFrom([]string{"", "2026-11", "2027-01"}).Draw(t, "rotation of the CA")
	if rapid.Bool().Draw(t, "issuerRef") {
		spec.TLS.CA.RotationID = ""
		spec.TLS.IssuerRef = &v1alpha1.IssuerReference{Name: "corp", Kind: "ClusterIssuer", Group: "cert-manager.io"}
	}
	spec.TLS.Delivery = rapid.SampledFrom(deliveries).Draw(t, "delivery")
	if rapid.Bool().Draw(t, "conflict") {
		spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "ERL_FLAGS", Value: "-sname chat"}}
	}
	return cluster
}

var deliveries = []v1alpha1.CertificateDelivery{v1alpha1.DeliverySecret, v1alpha1.DeliveryPodCertificate}

// rotated is the name of the CA of the rotation "2026-11".
const rotated = "chat-ca-05e01bd6"

func drawSituation(t *rapid.T) Situation {
	authority := rapid.SampledFrom([]string{"blue", "green"})
	pod := rapid.SampledFrom([]string{"chat-0", "chat-1", "chat-2", "chat-3", "chat-7"})
	situation := Situation{
		PodIdentity:            rapid.SampledFrom([]state.PodIdentity{state.ByPolicy, state.ByWebhook}).Draw(t, "pod identity"),
		AdmissionLacks:         rapid.SampledFrom([]state.Lack{"", state.NotInstalled}).Draw(t, "admission lacks"),
		PodCertificatesMissing: rapid.Bool().Draw(t, "PodCertificateRequests missing"),
		CA:                     rapid.SampledFrom([]string{"", "blue", "green"}).Draw(t, "CA"),
		Trust:                  rapid.SliceOfDistinct(authority, rapid.ID).Draw(t, "trust"),
		PreviousCookie:         rapid.SampledFrom([]string{"", "TheCookieBefore"}).Draw(t, "previous cookie"),
		RotationID:             rapid.SampledFrom([]string{"", "1"}).Draw(t, "rotation of the cookie"),
		Cookie:                 rapid.SampledFrom([]string{"", "TheCookieOfTheCluster"}).Draw(t, "cookie"),
		Unowned:                rapid.Bool().Draw(t, "unowned"),
		Others: rapid.SliceOfDistinct(rapid.SampledFrom([]string{"NetworkPolicy/chat-distribution", "PodDisruptionBudget/chat",
			"Issuer/chat-ca", "Secret/chat-9-tls", "Deployment/chat-probe", "Service/chat-nodes"}), rapid.ID).Draw(t, "others"),
	}
	issuer := rapid.SampledFrom([]string{"chat-ca", rotated, "corp"})
	for _, to := range rapid.SliceOfDistinct(rapid.OneOf(pod, rapid.SampledFrom([]string{"chat-probe", "chat-probe-canary"})), rapid.ID).Draw(t, "issued") {
		situation.Issued = append(situation.Issued, Issued{
			To: to, By: authority.Draw(t, "by"), Forged: rapid.SampledFrom([]string{"", "", "", "mallory"}).Draw(t, "forged"), WithCA: rapid.Bool().Draw(t, "with its CA"),
			Through: rapid.SampledFrom([]string{"", "", "low"}).Draw(t, "through"),
			Issuer:  issuer.Draw(t, "issuer"), AskedOf: rapid.OneOf(rapid.Just(""), issuer).Draw(t, "asked of")})
	}
	if rapid.Bool().Draw(t, "a rotated CA") {
		situation.CAs = map[string]string{rotated: authority.Draw(t, "its name")}
	}
	for _, pod := range rapid.SliceOfDistinct(pod, rapid.ID).Draw(t, "observed") {
		observed := Observed{Pod: pod, Serves: rapid.SampledFrom([]string{"", "blue", "green"}).Draw(t, "serves")}
		if rapid.Bool().Draw(t, "accepts") {
			observed.Accepts = authority.Draw(t, "canary")
		} else if rapid.Bool().Draw(t, "refuses") {
			observed.Refuses = authority.Draw(t, "canary")
		}
		situation.Observed = append(situation.Observed, observed)
	}
	if situation.Cookie != "" {
		situation.Verified = rapid.SliceOfDistinct(pod, rapid.ID).Draw(t, "verified")
	}
	if rapid.Bool().Draw(t, "an intermediate CA") {
		situation.Intermediate = &Intermediate{By: authority.Draw(t, "above it"), NoCA: rapid.Bool().Draw(t, "it is none")}
	}
	if rapid.Bool().Draw(t, "a StatefulSet") {
		situation.StatefulSet = &StatefulSet{Replicas: rapid.Int32Range(0, 4).Draw(t, "its replicas"),
			Delivery: rapid.SampledFrom(deliveries).Draw(t, "its delivery")}
	}
	for _, name := range rapid.SliceOfDistinct(pod, rapid.ID).Draw(t, "pods") {
		situation.Pods = append(situation.Pods, Pod{Name: name,
			Delivery: rapid.SampledFrom(deliveries).Draw(t, "delivery"), Leaving: rapid.Bool().Draw(t, "leaving"), WithoutIdentity: rapid.Bool().Draw(t, "without identity"), Former: rapid.IntRange(0, 4).Draw(t, "former") == 0})
	}
	if rapid.Bool().Draw(t, "the user's cookie is there") {
		value := rapid.SampledFrom([]string{"TheCookieOfTheUser", "TheCookieOfTheCluster", "bad\n"}).Draw(t, "the user's cookie")
		situation.UserCookie = &UserCookie{Value: &value}
	}
	if rapid.Bool().Draw(t, "the issuer is there") {
		situation.Issuer = &Issuer{Refuses: rapid.SampledFrom([]string{"", "no"}).Draw(t, "it refuses")}
	}
	return situation
}
