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
	envPod         = "ERLANG_OPERATOR_POD"
	envPodUID      = naming.PodUIDVariable
	envNode        = "ERLANG_NODE"
	envSharedFlags = "ERLANG_OPERATOR_SHARED_FLAGS"
	envBuffer      = naming.SocketBufferVariable
	envNodeFlags   = "ERLANG_OPERATOR_NODE_FLAGS"
	// envFlags is the variable that OTP appends to the command line last (erl(1)).
	// Images set ERL_FLAGS and ERL_AFLAGS themselves.
	envFlags = "ERL_ZFLAGS"
)

// ourVariables are those that the user cannot set.
var ourVariables = []string{envPod, envPodUID, envNode, envSharedFlags, envNodeFlags, envBuffer}

// environment puts our variables before the user's, since $(VAR) is expanded from
// earlier ones only, and joins the user's ERL_ZFLAGS to ours.
func environment(container *corev1.Container, spec v1alpha1.ErlangClusterSpec, names naming.Names) []corev1.EnvVar {
	ours := []corev1.EnvVar{
		{Name: envPod, ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
		{Name: envPodUID, ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.uid"}}},
		{Name: envNode, Value: names.Node(expanded(envPod))},
		{Name: envSharedFlags, Value: Flags(spec.Distribution)},
	}
	if buffer := spec.Distribution.Socket.Buffer; buffer != nil {
		ours = append(ours, corev1.EnvVar{Name: envBuffer, Value: strconv.FormatInt(buffer.Value(), 10)})
	}
	var flags []string
	if isErl(spec) {
		ours = append(ours, corev1.EnvVar{Name: envNodeFlags, Value: "-name " + expanded(envNode)})
		if len(container.Command) == 0 {
			flags = append(flags, expanded(envNodeFlags))
		}
	}
	flags = append(flags, expanded(envSharedFlags))
	theirs := slices.Clone(container.Env)
	if at := indexOf(theirs, envFlags); at >= 0 {
		flags = append(flags, theirs[at].Value)
		theirs = slices.Delete(theirs, at, at+1)
	}
	ours = append(ours, corev1.EnvVar{Name: envFlags, Value: strings.Join(flags, " ")})
	return slices.Concat(ours, theirs, defaults(spec.Runtime, theirs))
}

func indexOf(variables []corev1.EnvVar, name string) int {
	return slices.IndexFunc(variables, func(v corev1.EnvVar) bool { return v.Name == name })
}

// expanded is how a later variable of a container refers to an earlier one.
func expanded(variable string) string { return "$(" + variable + ")" }

// Flags are the flags of erl that every BEAM in the container of a node may have: all but
// the name of the node. The form of -setcookie that names the node wins over every other
// source of a cookie, and needs no HOME: it is the own cookie of the node, and that for
// the node of every other BEAM. Its last argument is the content of the args file, which
// each BEAM reads when it starts. The program visitor reads the ports at the end.
func Flags(distribution v1alpha1.DistributionSpec) string {
	flags := []string{
		"-proto_dist " + distribution.ProtoDist(),
		"-ssl_dist_optfile " + naming.OptionsFile,
		"-nocookie -setcookie " + expanded(envNode) + " -args_file " + naming.CookieFile,
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
			if found := ports.FindStringSubmatch(variable.Value); variable.Name == envSharedFlags && found != nil {
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

// IsNode reports whether a container of a pod runs its node. It is not always that which the
// latest template names.
func IsNode(pod corev1.PodSpec, container string) bool {
	return slices.ContainsFunc(pod.Containers, func(c corev1.Container) bool { return c.Name == container && indexOf(c.Env, envSharedFlags) >= 0 })
}

// KeepFlags drops of a pod's containers what ListenPorts and IsNode do not read.
func KeepFlags(pod *corev1.PodSpec) {
	var containers []corev1.Container
	for _, container := range pod.Containers {
		if at := indexOf(container.Env, envSharedFlags); at >= 0 {
			value := ports.FindString(container.Env[at].Value)
			containers = append(containers, corev1.Container{Name: container.Name, Env: []corev1.EnvVar{{Name: envSharedFlags, Value: strings.Clone(value)}}})
		}
	}
	pod.Containers = containers
}
