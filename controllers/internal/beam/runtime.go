package beam

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

const (
	releaseDistribution = "RELEASE_DISTRIBUTION"
	releaseNode         = "RELEASE_NODE"
)

// isErl reports whether the node has its name in ERL_ZFLAGS. With another runtime these
// flags are the same for every BEAM of the container.
func isErl(spec v1alpha1.ErlangClusterSpec) bool { return spec.Runtime == v1alpha1.RuntimeErl }

// defaultsOf are variables that are set unless the user sets them.
var defaultsOf = map[v1alpha1.Runtime][]corev1.EnvVar{
	// By default the start script of an Elixir release gives -sname, which beats -name.
	v1alpha1.RuntimeErl: {{Name: releaseDistribution, Value: "none"}},
	v1alpha1.RuntimeMix: {
		{Name: releaseDistribution, Value: "name"},
		{Name: releaseNode, Value: expanded(envNode)},
		{Name: "RELEASE_REMOTE_VM_ARGS", Value: naming.RemoteArgsFile},
	},
	v1alpha1.RuntimeRelx: {
		// erl_call, which the start script uses otherwise, has no TLS.
		{Name: "USE_NODETOOL", Value: "true"},
		// Without any, the start script complains. The one of the args file counts.
		{Name: "RELX_COOKIE", Value: "unused"},
	},
}

// defaults are the variables that the runtime needs beside the user's.
func defaults(runtime v1alpha1.Runtime, users []corev1.EnvVar) []corev1.EnvVar {
	return slices.DeleteFunc(slices.Clone(defaultsOf[runtime]), func(variable corev1.EnvVar) bool {
		return indexOf(users, variable.Name) >= 0
	})
}
