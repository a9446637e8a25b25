package plan

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// What is added to the pod template. All of it is a function of the spec alone, so
// an upgrade of the operator rolls no pod.
const (
	distributionVolume = "erlang-operator-distribution"

	// placeholderSecret stands in the template for the pod's own Secret, which the
	// MutatingAdmissionPolicy puts in its place. It never exists: a pod that the
	// policy missed does not start, and the kubelet's event names the cause.
	placeholderSecret = "erlang-operator-admission-policy-missing"

	envPod    = "ERLANG_OPERATOR_POD"
	envNode   = "ERLANG_NODE"
	envCookie = "ERLANG_COOKIE"
	// envFlags is the variable that OTP appends to the command line last (erl(1)).
	// Images set ERL_FLAGS and ERL_AFLAGS themselves.
	envFlags = "ERL_ZFLAGS"
	// envRelease tells the start script of an Elixir release to leave distribution to
	// ERL_ZFLAGS: by itself it gives -sname, which beats -name.
	envRelease = "RELEASE_DISTRIBUTION"
)

// inject adds to a pod template what distribution over TLS needs.
func inject(template *corev1.PodTemplateSpec, s state.State) {
	if template.Labels == nil {
		template.Labels = map[string]string{}
	}
	for key, value := range Selector(s.Names.Cluster, ComponentNode) {
		template.Labels[key] = value
	}
	pod := &template.Spec
	pod.ReadinessGates = append(pod.ReadinessGates, corev1.PodReadinessGate{ConditionType: v1alpha1.ReadinessGate})
	pod.Volumes = append(pod.Volumes,
		corev1.Volume{Name: naming.TLSVolume, VolumeSource: tlsSource(delivery(s))},
		corev1.Volume{Name: distributionVolume, VolumeSource: corev1.VolumeSource{
			ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: s.Names.Distribution()},
			}}})

	container := beamContainer(pod, s.Cluster.Spec.Container)
	container.VolumeMounts = append(container.VolumeMounts,
		corev1.VolumeMount{Name: naming.TLSVolume, MountPath: naming.TLSDir, ReadOnly: true},
		corev1.VolumeMount{Name: distributionVolume, MountPath: naming.DistributionDir, ReadOnly: true})
	container.Env = environment(container.Env, s)
}

// beamContainer is the container that runs the BEAM.
func beamContainer(pod *corev1.PodSpec, name string) *corev1.Container {
	for i := range pod.Containers {
		if name == "" || pod.Containers[i].Name == name {
			return &pod.Containers[i]
		}
	}
	return nil
}

// environment puts our variables before the user's, since $(VAR) is expanded from
// earlier ones only, and joins his ERL_ZFLAGS to ours.
func environment(users []corev1.EnvVar, s state.State) []corev1.EnvVar {
	flags := Flags(s.Cluster.Spec.Distribution)
	theirs := slices.Clone(users)
	if at := slices.IndexFunc(theirs, func(v corev1.EnvVar) bool { return v.Name == envFlags }); at >= 0 {
		flags += " " + theirs[at].Value
		theirs = slices.Delete(theirs, at, at+1)
	}
	if !slices.ContainsFunc(theirs, func(v corev1.EnvVar) bool { return v.Name == envRelease }) {
		theirs = append(theirs, corev1.EnvVar{Name: envRelease, Value: "none"})
	}
	return append([]corev1.EnvVar{
		{Name: envPod, ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
		{Name: envNode, Value: s.Names.Node("$(" + envPod + ")")},
		{Name: envCookie, ValueFrom: &corev1.EnvVarSource{
			SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: s.Names.CookieSecret()},
				Key:                  naming.CookieKey}}},
		{Name: envFlags, Value: flags},
	}, theirs...)
}

// Flags are the flags of erl that a node runs with. The form of -setcookie that
// names the node wins over every other source of a cookie, and needs no HOME.
func Flags(distribution v1alpha1.DistributionSpec) string {
	flags := []string{
		"-name $(" + envNode + ")",
		"-proto_dist inet_tls",
		"-ssl_dist_optfile " + naming.OptionsFile,
		"-nocookie -setcookie $(" + envNode + ") $(" + envCookie + ")",
	}
	ports := distribution.ListenPorts()
	if distribution.Discovery == v1alpha1.DiscoveryFixedPort {
		flags = append(flags, fmt.Sprintf("-start_epmd false -erl_epmd_port %d", ports.Min))
	} else {
		flags = append(flags, fmt.Sprintf("-kernel inet_dist_listen_min %d inet_dist_listen_max %d", ports.Min, ports.Max))
	}
	return strings.Join(flags, " ")
}
