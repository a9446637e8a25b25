package harness

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/erlang-operator/erlang-operator/api/v1alpha1"
	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// Eval evaluates an Erlang expression in a member, by a hidden node in its pod with the
// pod's own certificate. The cookie is the one that the pod was started with, unless
// another is given.
func (c Cluster) Eval(ctx context.Context, ordinal int, expression string, cookie ...string) (string, error) {
	flags, err := c.lookupFlags(ctx)
	if err != nil {
		return "", err
	}
	script := fmt.Sprintf(`unset ERL_ZFLAGS; me=shell-$$@${ERLANG_NODE#*@}; exec erl -noinput -hidden -dist_listen false -name $me \
  -proto_dist inet_tls -ssl_dist_optfile /run/erlang-operator/distribution/inet_tls.conf -nocookie -setcookie $me %s \
  %s -eval '{ok, T, _} = erl_scan:string(os:getenv("EXPRESSION") ++ "."), {ok, E} = erl_parse:parse_exprs(T),
    io:format("~0p", [rpc:call(list_to_atom(os:getenv("ERLANG_NODE")), erl_eval, exprs, [E, []])]), halt().'`,
		append(cookie, "$ERLANG_COOKIE")[0], flags)
	out, err := kubectl.Run(ctx, "exec", "-n", c.Namespace, c.Pod(ordinal), "-c", "node", "--", "env", "EXPRESSION="+expression, "sh", "-c", script)
	if err != nil {
		return "", err
	}
	value, found := strings.CutPrefix(out, "{value,")
	if !found {
		return "", fmt.Errorf("%s in %s: %s", expression, c.Pod(ordinal), out)
	}
	return value[:strings.LastIndex(value, ",")], nil
}

// lookupFlags are the flags that a node needs besides, to connect to a member without
// epmd.
func (c Cluster) lookupFlags(ctx context.Context) (string, error) {
	read, err := c.Read(ctx)
	if err != nil || read.Spec.Distribution.Discovery != v1alpha1.DiscoveryFixedPort {
		return "", err
	}
	return fmt.Sprintf("-start_epmd false -erl_epmd_port %d", read.Spec.Distribution.Ports.Min), nil
}

// Peers are the nodes that a member is linked to, sorted.
func (c Cluster) Peers(ctx context.Context, ordinal int) ([]string, error) {
	list, err := c.Eval(ctx, ordinal, "nodes()")
	if list = strings.Trim(list, "[]"); err != nil || list == "" {
		return nil, err
	}
	return slices.Sorted(slices.Values(strings.Split(strings.ReplaceAll(list, "'", ""), ","))), nil
}
