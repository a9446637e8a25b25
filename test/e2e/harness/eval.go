package harness

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// Eval evaluates an Erlang expression in a member, by a visitor in its pod. The cookie is
// the one in the pod's file, unless another is given.
func (c Cluster) Eval(ctx context.Context, ordinal int, expression string, cookie ...string) (string, error) {
	const script = `{ok, T, _} = erl_scan:string(os:getenv("EXPRESSION") ++ "."), {ok, E} = erl_parse:parse_exprs(T),
		Node = list_to_atom(os:getenv("ERLANG_NODE")),
		[erlang:set_cookie(Node, list_to_atom(C)) || C <- string:lexemes(os:getenv("COOKIE"), " ")],
		lists:any(fun(_) -> net_adm:ping(Node) =:= pong end, lists:seq(1, 3)), % On a busy machine the first may take too long.
		io:format("~0p", [rpc:call(Node, erl_eval, exprs, [E, []])]), halt().`
	out, err := kubectl.Run(ctx, "exec", "-n", c.Namespace, c.Pod(ordinal), "-c", "node", "--",
		"env", "EXPRESSION="+expression, "COOKIE="+strings.Join(cookie, " "),
		"/run/erlang-operator/bin/visitor", "erl", "-noinput", "-eval", script)
	if err != nil {
		return "", err
	}
	value, found := strings.CutPrefix(out, "{value,")
	if !found {
		return "", fmt.Errorf("%s in %s: %s", expression, c.Pod(ordinal), out)
	}
	return value[:strings.LastIndex(value, ",")], nil
}

// Peers are the nodes that a member is linked to, sorted.
func (c Cluster) Peers(ctx context.Context, ordinal int) ([]string, error) {
	list, err := c.Eval(ctx, ordinal, "nodes()")
	if list = strings.Trim(list, "[]"); err != nil || list == "" {
		return nil, err
	}
	return slices.Sorted(slices.Values(strings.Split(strings.ReplaceAll(list, "'", ""), ","))), nil
}
