package certs

import (
	"fmt"
	"time"

	"github.com/erlang-operator/erlang-operator/certs/naming"
)

// Options returns the content of the -ssl_dist_optfile: one Erlang expression, which the
// node evaluates (ssl_dist_sup) before it listens and before any application starts. It
// may leave no variable bound. It allows only TLS 1.3, both sides verify each other, and
// the client checks the server's name as HTTPS does.
//
// It takes ERL_ZFLAGS out of the environment of the node: a BEAM that the node starts
// would otherwise begin with the flags of the node.
//
// A second BEAM with the name of the node fails: OTP reports that the name or the port is
// in use, in many lines. This reports what to do instead. A node that restarts finds its
// own name for an instant where its former process was killed, hence the second look.
//
// A socket of OTP reads at most 1460 bytes at a time, so TLS spends most of its time on tiny
// reads. It reads SocketBuffer at a time unless the node's own kernel parameters say
// otherwise, or the spec does, which sets the variable.
//
// The two processes of a connection collect their garbage when they need memory, not when
// they have nothing to do: each link would keep up to some MiB of what it carried last. So
// they hibernate when nothing has come for a while.
//
// fail_if_no_peer_cert is an option of the server only: as a client option, OTP 26 and
// later refuse to connect, without an error message. There is no keyfile, because
// certfile also contains the key: the node never pairs an old certificate with a new
// key.
func Options() string {
	return fmt.Sprintf(options, naming.TLSDir+"/"+naming.CombinedKey, naming.DistributionDir+"/"+naming.TrustKey, naming.ProgramsDir,
		naming.SocketBufferVariable, SocketBuffer, hibernateAfter.Milliseconds())
}

// SocketBuffer is how many bytes a node reads from a socket of the distribution at a time.
const SocketBuffer = 128 << 10

const hibernateAfter = 5 * time.Second

const options = `begin
    os:unsetenv("ERL_ZFLAGS"),
    lists:foreach(fun(Parameter) ->
        Options = application:get_env(kernel, Parameter, []),
        IsSet = lists:any(fun(Name) -> lists:keymember(Name, 1, Options) end, [buffer, recbuf]),
        case os:getenv(%[4]q) of
            false when IsSet -> ok;
            false -> application:set_env(kernel, Parameter, [{buffer, %[5]d} | Options]);
            Bytes -> application:set_env(kernel, Parameter, [{buffer, list_to_integer(Bytes)} | lists:keydelete(buffer, 1, Options)])
        end
    end, [inet_dist_listen_options, inet_dist_connect_options]),
    (fun() ->
        Node = os:getenv("ERLANG_NODE"),
        IsInUse = fun() ->
            case init:get_argument(erl_epmd_port) of
                {ok, [[Port] | _]} ->
                    case gen_tcp:listen(list_to_integer(Port), [{reuseaddr, true}]) of
                        {ok, Socket} -> gen_tcp:close(Socket), false;
                        {error, Reason} -> Reason =:= eaddrinuse
                    end;
                error ->
                    {ok, Names} = erl_epmd:names({127, 0, 0, 1}),
                    lists:keymember(hd(string:split(Node, "@")), 1, Names)
            end
        end,
        StaysInUse = fun(Pause) -> timer:sleep(Pause), (catch IsInUse()) =:= true end,
        case init:get_argument(name) of
            {ok, [[Node] | _]} ->
                case lists:all(StaysInUse, [0, 1000]) of
                    true ->
                        erlang:display_string(Node ++ " runs already. To start a BEAM beside it, put %[3]s/visitor "
                            "before the command. To open a shell in it, run %[3]s/shell.\n"),
                        erlang:halt(1);
                    false -> ok
                end;
            _ -> ok
        end
    end)(),
    [{server, [{certfile, %[1]q},
               {cacertfile, %[2]q},
               {verify, verify_peer},
               {fail_if_no_peer_cert, true},
               {hibernate_after, %[6]d},
               {versions, ['tlsv1.3']}]},
     {client, [{certfile, %[1]q},
               {cacertfile, %[2]q},
               {verify, verify_peer},
               {hibernate_after, %[6]d},
               {versions, ['tlsv1.3']},
               {customize_hostname_check,
                [{match_fun, public_key:pkix_verify_hostname_match_fun(https)}]}]}]
end.
`
