package beam

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// Conflicts finds in a spec what would conflict with what is injected, as far as it can
// be seen: an image may contain more. Each message names the field and the remedy.
func Conflicts(spec v1alpha1.ErlangClusterSpec) []string {
	conflicts := conflictingVolumes(spec)
	container := beamContainer(&spec.Template.Spec, spec.Container)
	if container == nil {
		return append(conflicts, fmt.Sprintf(
			"container: there is no container %q in template.spec.containers. Name the one that runs the BEAM", spec.Container))
	}
	of := func(field, text string) string {
		return fmt.Sprintf("template.spec.containers[%s].%s %s", container.Name, field, text)
	}
	for _, mount := range container.VolumeMounts {
		if text := conflictOfMount(mount, spec.Template.Spec.Volumes); text != "" {
			conflicts = append(conflicts, of("volumeMounts", text))
		}
	}
	for _, variable := range container.Env {
		for _, text := range conflictsOf(variable, spec.Runtime) {
			conflicts = append(conflicts, of("env["+variable.Name+"]", text))
		}
	}
	for _, flag := range withoutName(spec.Runtime, ownFlagsOfCommand(container.Command, container.Args)) {
		field := "command"
		if strings.Contains(strings.Join(container.Args, " "), flag) {
			field = "args"
		}
		conflicts = append(conflicts, of(field, conflictingFlag(flag)))
	}
	return conflicts
}

// conflictingVolumes finds volumes with a name of ours. A claim takes the place of the
// volume of its name.
func conflictingVolumes(spec v1alpha1.ErlangClusterSpec) []string {
	var conflicts []string
	check := func(field, kind, name string) {
		if slices.ContainsFunc(mounts, func(ours corev1.VolumeMount) bool { return ours.Name == name }) {
			conflicts = append(conflicts, fmt.Sprintf("%s has a %s %q, which the operator adds itself. Rename it", field, kind, name))
		}
	}
	for _, volume := range spec.Template.Spec.Volumes {
		check("template.spec.volumes", "volume", volume.Name)
	}
	for _, claim := range spec.VolumeClaimTemplates {
		check("volumeClaimTemplates", "claim for a volume", claim.Name)
	}
	return conflicts
}

// conflictOfMount says why a mount conflicts with ours; empty when it does not. One above
// ours is harmless if our directories can be made in it.
func conflictOfMount(mount corev1.VolumeMount, volumes []corev1.Volume) string {
	for _, ours := range mounts {
		dir := ours.MountPath
		switch at := path.Clean("/" + mount.MountPath); {
		case isBelow(at, dir):
			return fmt.Sprintf("mounts %q at %s, where the operator mounts the node's identity. Mount it elsewhere", mount.Name, mount.MountPath)
		case isBelow(dir, at) && isReadOnly(mount, volumes):
			return fmt.Sprintf("mounts %q read-only at %s, so that the operator cannot mount the node's identity at %s. Mount it elsewhere, or let it be written to", mount.Name, mount.MountPath, dir)
		}
	}
	return ""
}

// isBelow reports whether a path is, or lies below, a directory.
func isBelow(at, dir string) bool { return strings.HasPrefix(at+"/", strings.TrimSuffix(dir, "/")+"/") }

// isReadOnly reports whether nothing can be made in a mounted volume.
func isReadOnly(mount corev1.VolumeMount, volumes []corev1.Volume) bool {
	return mount.ReadOnly || slices.ContainsFunc(volumes, func(volume corev1.Volume) bool {
		return volume.Name == mount.Name &&
			(volume.ConfigMap != nil || volume.Secret != nil || volume.Projected != nil || volume.DownwardAPI != nil || volume.Image != nil)
	})
}

func conflictingFlag(flag string) string {
	if strings.TrimLeft(flag, "-") == "hidden" {
		return fmt.Sprintf("has the flag %s, with which a node is not linked to the others. Remove it", flag)
	}
	return fmt.Sprintf("has the flag %s, which conflicts with the flags that the operator gives in ERL_ZFLAGS. Remove it", flag)
}

// conflictsOf finds what is wrong with a variable of the container.
func conflictsOf(variable corev1.EnvVar, runtime v1alpha1.Runtime) []string {
	switch name := variable.Name; {
	case slices.Contains(ourVariables, name):
		return []string{"is set by the operator. Remove it, or choose another name"}
	case name == envFlags && variable.ValueFrom != nil:
		return []string{"must have a plain value: the operator adds its own flags to it. Use ERL_FLAGS instead"}
	}
	var conflicts []string
	if containsFlags(variable.Name) {
		for _, flag := range withoutName(runtime, ownFlagsOfErl(strings.Fields(variable.Value))) {
			conflicts = append(conflicts, conflictingFlag(flag))
		}
	}
	for _, image := range images {
		if image.conflict != nil {
			conflicts = append(conflicts, image.conflict(variable, runtime))
		}
	}
	return slices.DeleteFunc(conflicts, func(text string) bool { return text == "" })
}

// withoutName drops the flag that the user gives with runtime Custom.
func withoutName(runtime v1alpha1.Runtime, flags []string) []string {
	return slices.DeleteFunc(flags, func(flag string) bool {
		return runtime == v1alpha1.RuntimeCustom && (flag == "-name" || flag == "--name")
	})
}
