package beam

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

const (
	envPod    = "ERLANG_OPERATOR_POD"
	envPodUID = naming.PodUIDVariable
	envNode   = "ERLANG_NODE"
	envCookie = "ERLANG_COOKIE"
	// envFlags is the variable that OTP appends to the command line last (erl(1)).
	// Images set ERL_FLAGS and ERL_AFLAGS themselves.
	envFlags = "ERL_ZFLAGS"
)

// environment puts our variables before the user's, since $(VAR) is expanded from
// earlier ones only, and joins the user's ERL_ZFLAGS to ours.
func environment(users []corev1.EnvVar, distribution v1alpha1.DistributionSpec, names naming.Names) []corev1.EnvVar {
	flags := Flags(distribution)
	theirs := slices.Clone(users)
	if at := indexOf(theirs, envFlags); at >= 0 {
		flags += " " + theirs[at].Value
		theirs = slices.Delete(theirs, at, at+1)
	}
	for _, variable := range defaults() {
		if indexOf(theirs, variable.Name) < 0 {
			theirs = append(theirs, variable)
		}
	}
	return append([]corev1.EnvVar{
		{Name: envPod, ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
		{Name: envPodUID, ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.uid"}}},
		{Name: envNode, Value: names.Node(expanded(envPod))},
		{Name: envCookie, ValueFrom: &corev1.EnvVarSource{
			SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: names.CookieSecret()},
				Key:                  naming.CookieKey}}},
		{Name: envFlags, Value: flags},
	}, theirs...)
}

func indexOf(variables []corev1.EnvVar, name string) int {
	return slices.IndexFunc(variables, func(v corev1.EnvVar) bool { return v.Name == name })
}

// expanded is how a later variable of a container refers to an earlier one.
func expanded(variable string) string { return "$(" + variable + ")" }

// Flags are the flags of erl that a node runs with. The form of -setcookie that
// names the node wins over every other source of a cookie, and needs no HOME.
func Flags(distribution v1alpha1.DistributionSpec) string {
	flags := []string{
		"-name " + expanded(envNode),
		"-proto_dist " + distribution.ProtoDist(),
		"-ssl_dist_optfile " + naming.OptionsFile,
		"-nocookie -setcookie " + expanded(envNode) + " " + expanded(envCookie),
	}
	listen := distribution.ListenPorts()
	if distribution.Discovery == v1alpha1.DiscoveryFixedPort {
		flags = append(flags, fmt.Sprintf("-start_epmd false -erl_epmd_port %d", listen.Min))
	} else {
		flags = append(flags, fmt.Sprintf("-kernel inet_dist_listen_min %d inet_dist_listen_max %d", listen.Min, listen.Max))
	}
	return strings.Join(flags, " ")
}

// ports finds in Flags the ports that a node listens on.
var ports = regexp.MustCompile(`-erl_epmd_port (\d+)|-kernel inet_dist_listen_min (\d+) inet_dist_listen_max (\d+)`)

// ListenPorts are the ports that the node of a pod listens on, as its template said when
// it was made.
func ListenPorts(pod corev1.PodSpec) []v1alpha1.PortRange {
	var ranges []v1alpha1.PortRange
	for _, container := range pod.Containers {
		for _, variable := range container.Env {
			// Ours come first, the user's behind them.
			if found := ports.FindStringSubmatch(variable.Value); variable.Name == envFlags && found != nil {
				low, high := found[1]+found[2], found[1]+found[3]
				ranges = append(ranges, v1alpha1.PortRange{Min: parsePort(low), Max: parsePort(high)})
			}
		}
	}
	return ranges
}

func parsePort(digits string) int32 {
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return 65535
	}
	return int32(port)
}

// KeepFlags drops of a pod's containers what ListenPorts does not read.
func KeepFlags(pod *corev1.PodSpec) {
	var containers []corev1.Container
	for _, container := range pod.Containers {
		if at := indexOf(container.Env, envFlags); at >= 0 {
			value := ports.FindString(container.Env[at].Value)
			containers = append(containers, corev1.Container{Name: container.Name, Env: []corev1.EnvVar{{Name: envFlags, Value: strings.Clone(value)}}})
		}
	}
	pod.Containers = containers
}
