package beam

import (
	_ "embed" // the programs
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// Names of the programs in ProgramsDir.
const (
	nodeProgram    = "node"
	visitorProgram = "visitor"
	shellProgram   = "shell"
)

// A change of a program reaches running pods, whose environment stays as it was.
var (
	//go:embed programs/node
	nodeSource string
	//go:embed programs/visitor
	visitorSource string
	//go:embed programs/shell
	shellSource string
)

// Programs are the contents of the programs that start a BEAM in a pod, by their names.
func Programs() map[string]string {
	return map[string]string{nodeProgram: nodeSource, visitorProgram: visitorSource, shellProgram: shellSource}
}

// RemoteArgs are the flags for a BEAM that a command of an Elixir release starts beside
// the node, whose port it must not listen on.
const RemoteArgs = "-dist_listen false\n"

// RelxArgs tell the commands of a release of relx the name of the node, which the start
// script expands. With the vm.args.src of the image each command would write vm.args again,
// while another one, or the node, reads it.
const RelxArgs = "-name ${ERLANG_NODE}\n"

// through puts a program before a command, unless the user has put one of ours there.
func through(program string, command []string) []string {
	if len(command) == 0 || strings.HasPrefix(path.Clean(command[0]), naming.ProgramsDir+"/") {
		return command
	}
	return append([]string{naming.ProgramsDir + "/" + program}, command...)
}

// throughVisitor runs the exec probes and lifecycle hooks of a container as visitors. They
// may start a BEAM, which must not take itself for the node.
func throughVisitor(container *corev1.Container) {
	for _, probe := range []*corev1.Probe{container.LivenessProbe, container.ReadinessProbe, container.StartupProbe} {
		if probe != nil && probe.Exec != nil {
			probe.Exec.Command = through(visitorProgram, probe.Exec.Command)
		}
	}
	if container.Lifecycle == nil {
		return
	}
	for _, hook := range []*corev1.LifecycleHandler{container.Lifecycle.PostStart, container.Lifecycle.PreStop} {
		if hook != nil && hook.Exec != nil {
			hook.Exec.Command = through(visitorProgram, hook.Exec.Command)
		}
	}
}
