package beam

import (
	"fmt"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
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
	// defaults are variables that are set unless the user sets them.
	defaults []corev1.EnvVar
	// conflict says why a variable of the container conflicts with what is injected,
	// given all of them; empty when it does not.
	conflict func(variable corev1.EnvVar, all []corev1.EnvVar) string
}

// images are the kinds of images that are known. All of them take name, cookie, and
// distribution from ERL_ZFLAGS; what is particular to one is said here and nowhere else.
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
	{ // A release of mix. By default its start script gives -sname, which beats -name.
		defaults: []corev1.EnvVar{{Name: releaseDistribution, Value: "none"}},
		conflict: conflictOfMix,
	},
	{ // A release of relx (rebar3).
		commands: []string{"console", "console_boot", "console_clean", "daemon", "foreground"},
		conflict: conflictOfRelx,
	},
}

const releaseDistribution = "RELEASE_DISTRIBUTION"

func conflictOfMix(variable corev1.EnvVar, all []corev1.EnvVar) string {
	sameName := corev1.EnvVar{Name: "RELEASE_NODE", Value: expanded(envNode)}
	switch name, value := variable.Name, variable.Value; {
	case name == releaseDistribution && (value == "sname" || value == "name" && !slices.Contains(all, sameName)):
		return fmt.Sprintf("is %q, so that the start script gives a name of its own, which conflicts with the one that the operator gives in ERL_ZFLAGS. Remove it, or set it to none", value)
	case name == "RELEASE_COOKIE":
		return otherCookie(value)
	}
	return ""
}

func conflictOfRelx(variable corev1.EnvVar, _ []corev1.EnvVar) string {
	switch variable.Name {
	case "RELX_COOKIE":
		return otherCookie(variable.Value)
	case "ERL_DIST_PORT":
		return "conflicts with the ports that the operator gives in ERL_ZFLAGS. Remove it, and set distribution.ports"
	}
	return ""
}

// otherCookie says why a release must not be given that cookie.
func otherCookie(value string) string {
	if value == "" || value == expanded(envCookie) {
		return ""
	}
	return fmt.Sprintf("would be ignored: the nodes have the cookie of cookie.secretKeyRef, or a generated one. Remove it, or set it to %s", expanded(envCookie))
}

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

func defaults() []corev1.EnvVar {
	var all []corev1.EnvVar
	for _, image := range images {
		all = append(all, image.defaults...)
	}
	return all
}
