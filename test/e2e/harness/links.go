package harness

import (
	"context"
	"fmt"
	"strings"

	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// LinkDown is a link to another node that went down, as a member has seen it.
type LinkDown struct{ At, Pod, Peer, Reason string }

// watchLinks has a node write down from its start which links of it go down, when, and why.
const watchLinks = `spawn(fun() ->
	net_kernel:monitor_nodes(true, [nodedown_reason]),
	Loop = fun Loop() ->
		receive
			{nodedown, N, Info} ->
				Line = [calendar:system_time_to_rfc3339(erlang:system_time(millisecond), [{unit, millisecond}]), N, proplists:get_value(nodedown_reason, Info)],
				ok = file:write_file("/tmp/links", io_lib:format("~s ~s ~0p~n", Line), [append]);
			_ -> ok
		end,
		Loop()
	end,
	Loop()
end).`

// watchingLinks is a manifest of bare nodes that write down which links go down.
func watchingLinks(manifest string) string {
	return strings.Replace(manifest, "[erl, -noinput]", fmt.Sprintf("[erl, -noinput, -eval, %q]", strings.Join(strings.Fields(watchLinks), " ")), 1)
}

// LinksDown are the links of a member that have gone down since it started. Only members
// of StartWatched write them down.
func (c Cluster) LinksDown(ctx context.Context, ordinal int) (down []LinkDown, err error) {
	text, err := kubectl.Run(ctx, "exec", "-n", c.Namespace, c.Pod(ordinal), "-c", "node", "--",
		"sh", "-c", "if [ -e /tmp/links ]; then cat /tmp/links; fi")
	if err != nil {
		return nil, fmt.Errorf("links of %s that went down: %w", c.Pod(ordinal), err)
	}
	for line := range strings.Lines(text) {
		words := append(strings.SplitN(strings.TrimSpace(line), " ", 3), "", "")
		_, host, _ := strings.Cut(words[1], "@")
		peer, _, _ := strings.Cut(host, ".")
		down = append(down, LinkDown{words[0], c.Pod(ordinal), peer, words[2]})
	}
	return down, nil
}
