package beam

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// Conflicts finds in a spec what would conflict with what is injected, as far as it can
// be seen: an image may contain more. Each message names the field and the remedy.
func Conflicts(spec v1alpha1.ErlangClusterSpec) []string {
	conflicts := conflictingVolumes(spec.Template.Spec.Volumes)
	container := beamContainer(&spec.Template.Spec, spec.Container)
	if container == nil {
		return append(conflicts, fmt.Sprintf(
			"container: there is no container %q in template.spec.containers. Name the one that runs the BEAM", spec.Container))
	}
	of := func(field, text string) string {
		return fmt.Sprintf("template.spec.containers[%s].%s %s", container.Name, field, text)
	}
	for _, mount := range container.VolumeMounts {
		if overlaps(mount.MountPath, naming.TLSDir) || overlaps(mount.MountPath, naming.DistributionDir) {
			conflicts = append(conflicts, of("volumeMounts", fmt.Sprintf(
				"mounts %q at %s, where the operator mounts the node's identity. Mount it elsewhere", mount.Name, mount.MountPath)))
		}
	}
	for _, variable := range container.Env {
		for _, text := range conflictsOf(variable, container.Env) {
			conflicts = append(conflicts, of("env["+variable.Name+"]", text))
		}
	}
	for _, flag := range ownFlagsOfCommand(container.Command, container.Args) {
		field := "command"
		if strings.Contains(strings.Join(container.Args, " "), flag) {
			field = "args"
		}
		conflicts = append(conflicts, of(field, conflictingFlag(flag)))
	}
	return conflicts
}

func conflictingVolumes(volumes []corev1.Volume) []string {
	var conflicts []string
	for _, volume := range volumes {
		if volume.Name == naming.TLSVolume || volume.Name == distributionVolume {
			conflicts = append(conflicts, fmt.Sprintf("template.spec.volumes has a volume %q, which the operator adds itself. Rename it", volume.Name))
		}
	}
	return conflicts
}

func conflictingFlag(flag string) string {
	if strings.TrimLeft(flag, "-") == "hidden" {
		return fmt.Sprintf("has the flag %s, with which a node is not linked to the others. Remove it", flag)
	}
	return fmt.Sprintf("has the flag %s, which conflicts with the flags that the operator gives in ERL_ZFLAGS. Remove it", flag)
}

// conflictsOf finds what is wrong with a variable of the container, given all of them.
func conflictsOf(variable corev1.EnvVar, all []corev1.EnvVar) []string {
	switch name := variable.Name; {
	case name == envPod || name == envPodUID || name == envNode || name == envCookie:
		return []string{"is set by the operator. Remove it, or choose another name"}
	case name == envFlags && variable.ValueFrom != nil:
		return []string{"must have a plain value: the operator adds its own flags to it. Use ERL_FLAGS instead"}
	}
	var conflicts []string
	if containsFlags(variable.Name) {
		for _, flag := range ownFlagsOfErl(strings.Fields(variable.Value)) {
			conflicts = append(conflicts, conflictingFlag(flag))
		}
	}
	for _, image := range images {
		if image.conflict != nil {
			conflicts = append(conflicts, image.conflict(variable, all))
		}
	}
	return slices.DeleteFunc(conflicts, func(text string) bool { return text == "" })
}

// overlaps reports whether a path is, or lies in, or contains a directory.
func overlaps(path, dir string) bool {
	path = strings.TrimSuffix(path, "/") + "/"
	dir += "/"
	return strings.HasPrefix(path, dir) || strings.HasPrefix(dir, path)
}
