//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/await"
	"github.com/erlang-operator/erlang-operator/test/e2e/harness"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// The images of docs/examples.
const (
	elixirImage = "registry.example.com/chat:1.0.0"
	relxImage   = "registry.example.com/stock:1.0.0"
	erlImage    = "erlang:27"
)

// An image under the wrong runtime, or one that gives its node a name of its own, is reported
// with what to change. A release works as a node under another runtime, with a warning.
func TestMisfits(t *testing.T) {
	t.Parallel()
	for name, misfit := range map[string]struct {
		image, runtime, command string
		condition, reason       string
		says                    []string
	}{
		"elixir-under-erl": {elixirImage, "Erl", "", v1alpha1.ConditionRuntimeMismatch, v1alpha1.ReasonRuntimeMismatch,
			[]string{"is an Elixir release, and spec.runtime is Erl", "set spec.runtime to Mix"}},
		"relx-under-erl": {relxImage, "Erl", "", v1alpha1.ConditionRuntimeMismatch, v1alpha1.ReasonRuntimeMismatch,
			[]string{"is a release of relx, and spec.runtime is Erl", "set spec.runtime to Relx"}},
		"relx-under-mix": {relxImage, "Mix", "", v1alpha1.ConditionRuntimeMismatch, v1alpha1.ReasonRuntimeMismatch,
			[]string{"is a release of relx, and spec.runtime is Mix", "set spec.runtime to Relx"}},
		"elixir-under-relx": {elixirImage, "Relx", "", v1alpha1.ConditionMeshConnected, v1alpha1.ReasonNodeNameMismatch,
			[]string{`"chat@chat-0" answered`, "If the image is no release of relx, set spec.runtime"}},
		"erl-under-mix": {erlImage, "Mix", "[erl, -noinput]", v1alpha1.ConditionMeshConnected, v1alpha1.ReasonConnectionRefused,
			[]string{"With spec.runtime Mix only an Elixir release gets its name", "set spec.runtime to Erl"}},
		"erl-under-relx": {erlImage, "Relx", "[erl, -noinput]", v1alpha1.ConditionMeshConnected, v1alpha1.ReasonConnectionRefused,
			[]string{"With spec.runtime Relx vm.args.src must have -name ${ERLANG_NODE}", "set spec.runtime to Erl"}},
		// What is exported here overrides the pod's environment as rel/env.sh.eex does.
		"release-node-by-address": {elixirImage, "Mix", `[sh, -c, "export RELEASE_DISTRIBUTION=name RELEASE_NODE=app@$(hostname -i | cut -d' ' -f1); exec bin/chat start"]`,
			v1alpha1.ConditionMeshConnected, v1alpha1.ReasonNodeNotRegistered, []string{`does not know "chat", only "app@`, "remove RELEASE_NODE", "rel/env.sh.eex"}},
		"sname-in-vm-args": {elixirImage, "Mix", `[sh, -c, "echo -sname chat >/tmp/vm.args; RELEASE_VM_ARGS=/tmp/vm.args exec bin/chat start"]`,
			v1alpha1.ConditionMeshConnected, v1alpha1.ReasonNodeNameMismatch, []string{`"chat@chat-0" answered`, "-sname from rel/vm.args.eex"}},
		// The two-argument form of the operator wins.
		"setcookie-in-vm-args": {elixirImage, "Mix", `[sh, -c, "echo -setcookie oops >/tmp/vm.args; RELEASE_VM_ARGS=/tmp/vm.args exec bin/chat start"]`,
			v1alpha1.ConditionReady, v1alpha1.ReasonMeshVerified, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if misfit.image != erlImage {
				harness.OneMachine(t)
			}
			c := harness.Cluster{Namespace: harness.Namespace(t), Name: "chat"}
			command := "command: " + misfit.command
			if misfit.command == "" {
				command = ""
			}
			kubectl.MustApply(t, strings.NewReplacer(erlImage, misfit.image, "command: [erl, -noinput]", command).
				Replace(harness.Manifest(c.Namespace, c.Name, 1, "27", "runtime: "+misfit.runtime)))
			awaitMisfit(t, c, misfit.condition, misfit.reason, misfit.says)
			if misfit.condition != v1alpha1.ConditionMeshConnected {
				c.AwaitReady(t, 1)
			}
		})
	}
}

// awaitMisfit waits until a condition has a reason, and a message that contains some texts:
// while a node starts, there is less to be found out.
func awaitMisfit(t *testing.T, c harness.Cluster, name, reason string, contains []string) {
	t.Helper()
	await.Until(t, 4*time.Minute, name+" is about "+reason, func(ctx context.Context) error {
		read, err := c.Read(ctx)
		if err != nil {
			return err
		}
		condition := meta.FindStatusCondition(read.Status.Conditions, name)
		if condition == nil || condition.Reason != reason {
			return fmt.Errorf("it is %+v", condition)
		}
		for _, text := range contains {
			if !strings.Contains(condition.Message, text) {
				return fmt.Errorf("its message does not contain %q: %s", text, condition.Message)
			}
		}
		t.Logf("%s: %s", name, condition.Message)
		return nil
	})
}
