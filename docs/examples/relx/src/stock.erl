%% Every node counts by itself; add/2 reaches all nodes of the cluster.
-module(stock).
-behaviour(gen_server).

-export([start_link/0, add/2, count/1]).
-export([init/1, handle_call/3, handle_cast/2]).

start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% Returns the nodes that have counted.
add(Thing, Number) ->
    {Replies, []} = gen_server:multi_call([node() | nodes()], ?MODULE, {add, Thing, Number}, 5000),
    [Node || {Node, ok} <- Replies].

count(Thing) ->
    gen_server:call(?MODULE, {count, Thing}).

init([]) ->
    {ok, #{}}.

handle_call({add, Thing, Number}, _From, Counts) ->
    {reply, ok, maps:update_with(Thing, fun(Count) -> Count + Number end, Number, Counts)};
handle_call({count, Thing}, _From, Counts) ->
    {reply, maps:get(Thing, Counts, 0), Counts}.

handle_cast(_Message, Counts) ->
    {noreply, Counts}.
