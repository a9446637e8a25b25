%% What one node measures of its connection to another.
-module(bench).
-export([throughput/4, round_trip/3, hand_overs/2, memory/0, exchange/3, link/1, relink/1, sink/1, echo/0, traced/1]).

%% Bytes per second from some processes of this node to as many of another, in messages of
%% Size bytes, sent for some milliseconds.
throughput(Node, Senders, Size, Milliseconds) ->
    Payload = binary:copy(<<0>>, Size),
    Start = now_us(),
    Until = Start + Milliseconds * 1000,
    Sinks = [spawn_link(Node, ?MODULE, sink, [self()]) || _ <- lists:seq(1, Senders)],
    [spawn_link(fun() -> send(Sink, Payload, Until) end) || Sink <- Sinks],
    Messages = lists:sum([receive {Sink, Received} -> Received end || Sink <- Sinks]),
    Messages * Size * 1000000 div (now_us() - Start).

%% A message is queued in the node before it is sent, so a few go between two looks at the clock.
send(Sink, Payload, Until) ->
    case now_us() < Until of
        true ->
            [Sink ! Payload || _ <- lists:seq(1, 10)],
            send(Sink, Payload, Until);
        false ->
            Sink ! done
    end.

sink(Parent) -> sink(Parent, 0).

sink(Parent, Received) ->
    receive
        done -> Parent ! {self(), Received};
        _ -> sink(Parent, Received + 1)
    end.

%% Nanoseconds from a small message to its answer, the median of Count, with pauses of some
%% milliseconds between them. Without, the schedulers of the nodes stay awake.
round_trip(Node, Count, Pause) ->
    Echo = spawn_link(Node, ?MODULE, echo, []),
    Times = [timed(Pause, fun() -> ask(Echo) end) || _ <- lists:seq(1, Count)],
    Echo ! done,
    lists:nth(Count div 2, lists:sort(Times)).

ask(Echo) ->
    Echo ! {self(), ping},
    receive ping -> ok end.

echo() ->
    receive
        {From, Message} -> From ! Message, echo();
        done -> ok
    end.

timed(Pause, F) ->
    [timer:sleep(Pause) || Pause > 0],
    Start = erlang:monotonic_time(nanosecond),
    F(),
    erlang:monotonic_time(nanosecond) - Start.

%% Which processes of both nodes run for a round trip, how often, and for how many nanoseconds
%% each time, the median: [{on this node, process, runs for each round trip, nanoseconds}].
%% Round trips follow on one another.
hand_overs(Node, Count) ->
    Echo = spawn_link(Node, ?MODULE, echo, []),
    [ask(Echo) || _ <- lists:seq(1, 100)],
    There = spawn_link(Node, ?MODULE, traced, [self()]),
    Here = spawn_link(?MODULE, traced, [self()]),
    [receive {Tracer, ready} -> ok end || Tracer <- [There, Here]],
    [ask(Echo) || _ <- lists:seq(1, Count)],
    [Tracer ! {stop, Count} || Tracer <- [There, Here]],
    Runs = [receive {Tracer, Result} -> [{Where, Process, Times, Time} || {Process, Times, Time} <- Result] end
            || {Where, Tracer} <- [{here, Here}, {there, There}]],
    Echo ! done,
    lists:append(Runs).

traced(Parent) ->
    erlang:trace(existing, true, [running, monotonic_timestamp]),
    Parent ! {self(), ready},
    receive {stop, Count} -> ok end,
    erlang:trace(all, false, [running]),
    Reference = erlang:trace_delivered(all),
    receive {trace_delivered, all, Reference} -> ok end,
    Parent ! {self(), runs(traces(), Count)}.

traces() ->
    receive
        {trace_ts, Process, InOrOut, _, Time} -> [{Process, InOrOut, Time} | traces()]
    after 0 -> []
    end.

%% Processes that ran for at least a quarter of the round trips.
runs(Traces, Count) ->
    Times = lists:foldl(fun({Process, InOrOut, Time}, All) ->
        maps:update_with(Process, fun(Known) -> [{InOrOut, Time} | Known] end, [{InOrOut, Time}], All)
    end, #{}, Traces),
    [{name(Process), length(Runs) * 100 div Count, lists:nth(length(Runs) div 2 + 1, lists:sort(Runs))}
     || {Process, Events} <- maps:to_list(Times), Runs <- [durations(lists:reverse(Events))], length(Runs) * 4 > Count].

durations([{in, Start}, {out, End} | Rest]) -> [erlang:convert_time_unit(End - Start, native, nanosecond) | durations(Rest)];
durations([_ | Rest]) -> durations(Rest);
durations([]) -> [].

%% Those that ask and answer have no name.
name(Process) ->
    case proc_lib:translate_initial_call(Process) of
        {proc_lib, _, _} -> application;
        {Module, _, _} -> Module
    end.

%% Bytes that this node has allocated.
memory() -> erlang:memory(total).

%% Sends messages of Size bytes to a node, which returns them.
exchange(Node, Size, Count) ->
    Payload = binary:copy(<<0>>, Size),
    Echo = spawn_link(Node, ?MODULE, echo, []),
    [Echo ! {self(), Payload} || _ <- lists:seq(1, Count)],
    [receive Payload -> ok end || _ <- lists:seq(1, Count)],
    Echo ! done,
    ok.

link(Node) -> true = net_kernel:connect_node(Node).

%% A new connection to a node.
relink(Node) ->
    erlang:monitor_node(Node, true),
    erlang:disconnect_node(Node),
    receive {nodedown, Node} -> ok end,
    connect(Node, 10).

%% The other node may not yet know that the connection was closed.
connect(Node, Times) ->
    case net_kernel:connect_node(Node) of
        true -> true;
        false when Times > 0 -> timer:sleep(100), connect(Node, Times - 1)
    end.

now_us() -> erlang:monotonic_time(microsecond).
