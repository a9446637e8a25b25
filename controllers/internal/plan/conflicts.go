package plan

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// Conflicts finds in a spec what would fight with what is injected, as far as it
// can be seen: an image may hide more.
func Conflicts(spec v1alpha1.ErlangClusterSpec) []Problem {
	var problems []Problem
	reject := func(field, format string, args ...any) {
		problems = append(problems, Problem{v1alpha1.ReasonRejected, "template.spec." + field + " " + fmt.Sprintf(format, args...)})
	}
	for _, volume := range spec.Template.Spec.Volumes {
		if volume.Name == naming.TLSVolume || volume.Name == distributionVolume {
			reject("volumes", "has a volume %q, which the operator adds itself. Rename it", volume.Name)
		}
	}
	container := beamContainer(&spec.Template.Spec, spec.Container)
	if container == nil {
		return append(problems, Problem{v1alpha1.ReasonRejected, fmt.Sprintf(
			"container: there is no container %q in template.spec.containers. Name the one that runs the BEAM", spec.Container)})
	}
	field := "containers[" + container.Name + "]"
	for _, mount := range container.VolumeMounts {
		if within(mount.MountPath, naming.TLSDir) || within(mount.MountPath, naming.DistributionDir) {
			reject(field+".volumeMounts", "mounts %q at %s, where the operator mounts the node's identity. Mount it elsewhere", mount.Name, mount.MountPath)
		}
	}
	for _, variable := range container.Env {
		conflictsOf(variable, container.Env, func(format string, args ...any) {
			reject(field+".env["+variable.Name+"]", format, args...)
		})
	}
	for _, flag := range flagsOfCommand(container.Command, container.Args) {
		where := field + ".command"
		if strings.Contains(strings.Join(container.Args, " "), flag) {
			where = field + ".args"
		}
		reject(where, fightsWithOurs, flag)
	}
	return problems
}

const fightsWithOurs = "has the flag %s, which fights with the flags that the operator gives in ERL_ZFLAGS. Remove it"

// conflictsOf finds what is wrong with a variable of the container, given all of them.
func conflictsOf(variable corev1.EnvVar, all []corev1.EnvVar, reject func(format string, args ...any)) {
	switch name, value := variable.Name, variable.Value; {
	case name == envPod || name == envNode || name == envCookie:
		reject("is set by the operator. Remove it, or choose another name")
	case name == envFlags && variable.ValueFrom != nil:
		reject("must have a plain value: the operator adds its own flags to it. Use ERL_FLAGS instead")
	case holdsFlags(name):
		for _, flag := range flagsOfErl(strings.Fields(value)) {
			reject(fightsWithOurs, flag)
		}
	case name == envRelease && (value == "sname" || value == "name" && !slices.Contains(all, corev1.EnvVar{Name: "RELEASE_NODE", Value: expanded(envNode)})):
		reject("is %q, so that the start script gives a name of its own, which fights with the one that the operator gives in ERL_ZFLAGS. Remove it, or set it to none", value)
	case (name == "RELEASE_COOKIE" || name == "RELX_COOKIE") && value != "" && value != expanded(envCookie):
		reject("would be ignored: the nodes have the cookie of cookie.secretKeyRef, or a generated one. Remove it, or set it to %s", expanded(envCookie))
	case name == "ERL_DIST_PORT":
		reject("fights with the ports that the operator gives in ERL_ZFLAGS. Remove it, and set distribution.ports")
	}
}

// expanded is how a later variable of a container refers to an earlier one.
func expanded(variable string) string { return "$(" + variable + ")" }

// holdsFlags tells the variables whose words are flags of erl.
func holdsFlags(variable string) bool {
	return slices.Contains([]string{"ERL_AFLAGS", "ERL_FLAGS", envFlags, "ELIXIR_ERL_OPTIONS"}, variable) ||
		strings.HasPrefix(variable, "ERL_OTP") && strings.HasSuffix(variable, "_FLAGS")
}

// within says that a path is, or lies in, or holds a directory.
func within(path, dir string) bool {
	path = strings.TrimSuffix(path, "/") + "/"
	dir += "/"
	return strings.HasPrefix(path, dir) || strings.HasPrefix(dir, path)
}
