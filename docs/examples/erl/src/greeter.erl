%% Greets every node that comes, and is greeted by each.
-module(greeter).
-behaviour(gen_server).

-export([start_link/0, ready/0, greeted_by/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% Whether this node serves: for probes.
ready() ->
    is_list(greeted_by()).

greeted_by() ->
    gen_server:call(?MODULE, greeted_by).

init([]) ->
    ok = net_kernel:monitor_nodes(true),
    [greet(Node) || Node <- nodes()],
    {ok, []}.

handle_call(greeted_by, _From, By) ->
    {reply, By, By}.

handle_cast({greeting, Node}, By) ->
    logger:notice("~p says hello", [Node]),
    [greet(Node) || not lists:member(Node, By)], % We may have greeted it before its greeter was up.
    {noreply, lists:usort([Node | By])}.

handle_info({nodeup, Node}, By) ->
    greet(Node),
    {noreply, By};
handle_info({nodedown, Node}, By) ->
    {noreply, lists:delete(Node, By)}.

greet(Node) ->
    gen_server:cast({?MODULE, Node}, {greeting, node()}).
