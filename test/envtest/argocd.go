package envtest

import (
	"errors"
	"fmt"
	"os"
	"regexp"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
)

// checkArgoCD runs the health check of docs/install.md on an ErlangCluster, in Argo CD's
// interpreter, and returns an error unless it agrees with kstatus.
func checkArgoCD(cluster *unstructured.Unstructured, want kstatus.Status) error {
	guide, err := os.ReadFile("../../docs/install.md")
	if err != nil {
		return err
	}
	block := regexp.MustCompile("(?s)erlang-operator.dev_ErlangCluster: \\|\n(.*?)\n```").FindSubmatch(guide)
	if block == nil {
		return errors.New("docs/install.md has no health check for Argo CD")
	}
	interpreter := lua.NewState()
	defer interpreter.Close()
	interpreter.SetGlobal("obj", luaValue(interpreter, cluster.Object))
	if err := interpreter.DoString(string(block[1])); err != nil {
		return err
	}
	health := lua.LVAsString(interpreter.GetField(interpreter.Get(-1), "status"))
	agrees := map[kstatus.Status]string{
		kstatus.CurrentStatus: "Healthy", kstatus.InProgressStatus: "Progressing", kstatus.FailedStatus: "Degraded",
		kstatus.TerminatingStatus: "Progressing",
	}
	if isSuspended(cluster) {
		agrees[want] = "Suspended"
	}
	if health != agrees[want] {
		return fmt.Errorf("health is %s in Argo CD, and kstatus %s: %v", health, want, cluster.Object["status"])
	}
	return nil
}

// isSuspended reports whether the status is of the latest spec, and says that nothing is
// changed. kstatus does not know of it.
func isSuspended(cluster *unstructured.Unstructured) bool {
	decoded, err := v1alpha1.Decode(cluster)
	return err == nil && decoded.DeletionTimestamp.IsZero() && decoded.Status.ObservedGeneration == decoded.Generation &&
		meta.IsStatusConditionTrue(decoded.Status.Conditions, v1alpha1.ConditionSuspended)
}

// luaValue is a value of JSON in Lua.
func luaValue(interpreter *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case map[string]any:
		table := interpreter.NewTable()
		for key, field := range value {
			table.RawSetString(key, luaValue(interpreter, field))
		}
		return table
	case []any:
		table := interpreter.NewTable()
		for _, element := range value {
			table.Append(luaValue(interpreter, element))
		}
		return table
	case string:
		return lua.LString(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case bool:
		return lua.LBool(value)
	}
	return lua.LNil
}
