%% What one node measures of its connection to another.
-module(bench).
-export([throughput/4, round_trip/3, sink/1, echo/0]).

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
    Times = [timed(Pause, fun() -> Echo ! {self(), ping}, receive pong -> ok end end) || _ <- lists:seq(1, Count)],
    Echo ! done,
    lists:nth(Count div 2, lists:sort(Times)).

echo() ->
    receive
        {From, ping} -> From ! pong, echo();
        done -> ok
    end.

timed(Pause, F) ->
    [timer:sleep(Pause) || Pause > 0],
    Start = erlang:monotonic_time(nanosecond),
    F(),
    erlang:monotonic_time(nanosecond) - Start.

now_us() -> erlang:monotonic_time(microsecond).
