package harness

import (
	"context"
	"fmt"
	"strings"

	"github.com/erlang-operator/erlang-operator/test/e2e/kubectl"
)

// LinkDown is a link to another node that went down, as a member has seen it.
type LinkDown struct{ Pod, Peer, Reason string }

// WatchLinks has a member write down which links of it go down, and why, unless it does so
// already. It writes to a file, because a remote call for it would add an atom.
func (c Cluster) WatchLinks(ctx context.Context, ordinal int) error {
	_, err := c.Eval(ctx, ordinal, `whereis(links) =/= undefined orelse register(links, spawn(fun() ->
		net_kernel:monitor_nodes(true, [nodedown_reason]),
		ok = file:write_file("/tmp/links", ""),
		Loop = fun Loop() ->
			receive
				{nodedown, N, Info} ->
					ok = file:write_file("/tmp/links", io_lib:format("~s ~0p~n", [N, proplists:get_value(nodedown_reason, Info)]), [append]);
				_ -> ok
			end,
			Loop()
		end,
		Loop()
	end))`)
	return err
}

// LinksDown are the links of a member that went down since it was asked last.
func (c Cluster) LinksDown(ctx context.Context, ordinal int) (down []LinkDown, err error) {
	text, err := kubectl.Run(ctx, "exec", "-n", c.Namespace, c.Pod(ordinal), "-c", "node", "--",
		"sh", "-c", "if [ -e /tmp/links ]; then mv /tmp/links /tmp/read && cat /tmp/read; fi")
	for line := range strings.Lines(text) {
		node, reason, _ := strings.Cut(strings.TrimSpace(line), " ")
		_, host, _ := strings.Cut(node, "@")
		peer, _, _ := strings.Cut(host, ".")
		down = append(down, LinkDown{c.Pod(ordinal), peer, reason})
	}
	if err != nil {
		err = fmt.Errorf("links of %s that went down: %w", c.Pod(ordinal), err)
	}
	return down, err
}
