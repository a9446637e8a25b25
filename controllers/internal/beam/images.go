package beam

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// An image is a kind of container image: its way to start the BEAM.
type image struct {
	// programs take flags of erl among their arguments, which ownFlags finds.
	programs []string
	ownFlags func(arguments []string) []string
	// commands of a release's start script give erl the words that come after them.
	commands []string
	// flagVariables are patterns of names of variables whose words are flags of erl.
	flagVariables []string
	// conflict says why a variable of the container conflicts with what the runtime
	// injects; empty when it does not.
	conflict func(variable corev1.EnvVar, runtime v1alpha1.Runtime) string
}

// images are the kinds of images that are known, and how they can be given flags.
var images = []image{
	{ // erl(1)
		programs:      []string{"erl", "werl"},
		ownFlags:      ownFlagsOfErl,
		flagVariables: []string{"ERL_AFLAGS", "ERL_FLAGS", envFlags, "ERL_OTP*_FLAGS"},
	},
	{ // elixir(1), iex(1)
		programs:      []string{"elixir", "iex"},
		ownFlags:      ownFlagsOfElixir,
		flagVariables: []string{"ELIXIR_ERL_OPTIONS"},
	},
	{ // A release of mix.
		conflict: conflictOfMix,
	},
	{ // A release of relx (rebar3).
		commands: []string{"console", "console_boot", "console_clean", "daemon", "foreground"},
		conflict: conflictOfRelx,
	},
}

func conflictOfMix(variable corev1.EnvVar, runtime v1alpha1.Runtime) string {
	switch name := variable.Name; {
	case name == "RELEASE_COOKIE":
		return ignoredCookie
	case variable.ValueFrom != nil:
		return "" // Its value is not known.
	case name == releaseDistribution:
		return conflictOfReleaseDistribution(variable.Value, runtime)
	case name == releaseNode:
		return conflictOfReleaseNode(variable.Value, runtime)
	}
	return ""
}

func conflictOfReleaseDistribution(value string, runtime v1alpha1.Runtime) string {
	switch {
	case runtime == v1alpha1.RuntimeMix && value != "name":
		return fmt.Sprintf("is %q, and with runtime: Mix it must be name, which the operator sets. Remove it", value)
	case runtime == v1alpha1.RuntimeErl && value != "none":
		return fmt.Sprintf("is %q, so that the start script gives a name of its own, which conflicts with the one that the operator gives in ERL_ZFLAGS. Remove it, and set runtime: Mix for an Elixir release", value)
	case runtime == v1alpha1.RuntimeCustom && value == "sname":
		return `is "sname", and the nodes have long names. Set it to name, and RELEASE_NODE to $(ERLANG_NODE)`
	case runtime == v1alpha1.RuntimeRelx:
		return "is for an Elixir release, and runtime is Relx. Set runtime: Mix, or remove the variable"
	}
	return ""
}

func conflictOfReleaseNode(value string, runtime v1alpha1.Runtime) string {
	if runtime != v1alpha1.RuntimeMix || value == expanded(envNode) {
		return ""
	}
	return fmt.Sprintf("is not the name of the node, %s, which the operator sets. Remove it", expanded(envNode))
}

func conflictOfRelx(variable corev1.EnvVar, runtime v1alpha1.Runtime) string {
	switch name := variable.Name; {
	case name == "RELX_COOKIE":
		return ignoredCookie
	case name == "ERL_DIST_PORT":
		return "conflicts with the ports that the operator gives in ERL_ZFLAGS. Remove it, and set distribution.ports"
	case strings.HasPrefix(name, "RELX_") && runtime == v1alpha1.RuntimeMix:
		return "is for a release of relx, and runtime is Mix. Set runtime: Relx, or remove the variable"
	}
	return ""
}

const ignoredCookie = "would be ignored: the nodes have the cookie of cookie.secretKeyRef, or a generated one. Remove it"

// programs are all that start the BEAM by themselves.
func programs() []string {
	var all []string
	for _, image := range images {
		all = append(all, image.programs...)
	}
	return all
}

// ownFlagsOf are our flags among the arguments of a program or of a start script.
func ownFlagsOf(program string, arguments []string) []string {
	for _, image := range images {
		switch {
		case slices.Contains(image.programs, program):
			return image.ownFlags(arguments)
		case len(arguments) > 0 && slices.Contains(image.commands, arguments[0]):
			return ownFlagsOfErl(arguments[1:])
		}
	}
	return nil
}

// containsFlags reports whether the words of a variable are flags of erl.
func containsFlags(variable string) bool {
	return slices.ContainsFunc(images, func(image image) bool {
		return slices.ContainsFunc(image.flagVariables, func(pattern string) bool {
			matches, err := path.Match(pattern, variable)
			return err == nil && matches
		})
	})
}
