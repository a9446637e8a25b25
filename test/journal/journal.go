// Package journal has Erlang nodes print which links they have and lose, and which calls are lost, and judges
// what they printed.
package journal

import (
	"cmp"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Expressions have a node print each link that comes and goes, with the reason, while it calls all
// that it is linked to all the time. Others may follow.
const Expressions = `
	Say = fun(Format, Values) -> io:format("journal ~b " ++ Format ++ "~n", [erlang:system_time(millisecond) | Values]) end,
	Say("start", []),
	Watch = fun Watch() ->
		receive
			{nodeup, N, _} -> Say("up ~s", [N]);
			{nodedown, N, Info} -> Say("down ~s ~0p", [N, proplists:get_value(nodedown_reason, Info)])
		end,
		Watch()
	end,
	spawn(fun() -> net_kernel:monitor_nodes(true, [nodedown_reason]), [Say("up ~s", [N]) || N <- nodes()], Watch() end),
	Call = fun Call(Calls) ->
		Peers = nodes(),
		[try N = erpc:call(N, erlang, node, [], 10000) catch _:Reason -> Say("lost ~s ~0p", [N, Reason]) end || N <- Peers],
		Calls rem 50 =:= 0 andalso Say("calls ~b", [Calls]),
		timer:sleep(50),
		Call(Calls + 1)
	end,
	spawn(fun() -> Call(0) end),`

// Event is what a member printed: that it started, that it was linked to a peer (up), or not any
// more (down), or that a call was lost.
type Event struct {
	At     time.Time
	Member int
	What   string
	Peer   int
	Reason string
}

// Parse reads one line of what a member printed. Other lines are no events.
func Parse(ordinal int, line string) (Event, bool) {
	words := strings.SplitN(line, " ", 5)
	if len(words) < 3 || words[0] != "journal" {
		return Event{}, false
	}
	at, err := strconv.ParseInt(words[1], 10, 64)
	event := Event{At: time.UnixMilli(at), Member: ordinal, What: words[2], Peer: -1}
	if len(words) > 3 && event.What != "calls" {
		_, host, _ := strings.Cut(words[3], "@")
		pod, _, _ := strings.Cut(host, ".")
		if event.Peer, err = strconv.Atoi(pod[strings.LastIndex(pod, "-")+1:]); err != nil {
			return Event{}, false
		}
	}
	if len(words) > 4 {
		event.Reason = words[4]
	}
	return event, err == nil
}

// Sort sorts events by time.
func Sort(events []Event) {
	slices.SortStableFunc(events, func(a, b Event) int { return a.At.Compare(b.At) })
}

// Meshed is how many members were linked to each other, each to all of them, from some time on.
type Meshed struct {
	At      time.Time
	Members int
}

// Over follows the links between the first members: a link is there while both ends say
// so.
func Over(events []Event, members int) []Meshed {
	links := make([]uint, members)
	var over []Meshed
	for i, event := range events {
		switch {
		case event.Member >= members || event.Peer >= members: // It is not among them.
		case event.What == "start":
			links[event.Member] = 0
		case event.What == "up":
			links[event.Member] |= 1 << event.Peer
		case event.What == "down":
			links[event.Member] &^= 1 << event.Peer
		}
		if i+1 < len(events) && events[i+1].At.Equal(event.At) {
			continue
		}
		if now := largest(links); len(over) == 0 || over[len(over)-1].Members != now {
			over = append(over, Meshed{event.At, now})
		}
	}
	return over
}

// largest is the size of the largest set of members that are all linked to each other.
func largest(links []uint) (size int) {
	for set := range uint(1) << len(links) {
		whole := true
		for member := range links {
			for peer := range links {
				both := set>>member&1 == 1 && set>>peer&1 == 1
				if both && member != peer && (links[member]>>peer&1 == 0 || links[peer]>>member&1 == 0) {
					whole = false
				}
			}
		}
		if whole {
			size = max(size, bits.OnesCount(set))
		}
	}
	return size
}

// Check requires that from the first time at which all members were linked, so many of
// them were at every instant, and that no call was lost over a link that stayed.
func Check(t testing.TB, events []Event, members, least int) {
	t.Helper()
	over := Over(events, members)
	first := slices.IndexFunc(over, func(m Meshed) bool { return m.Members == members })
	if first < 0 {
		t.Fatalf("the members were never all linked: %v", over)
	}
	lowest := slices.MinFunc(over[first:], func(a, b Meshed) int { return cmp.Compare(a.Members, b.Members) })
	t.Logf("of %d members %d or more were linked to each other at every instant, over %s and %d changes", members, lowest.Members,
		over[len(over)-1].At.Sub(over[first].At).Round(time.Second), len(over)-first)
	if lowest.Members < least {
		t.Errorf("at %s only %d of %d members were linked to each other, want %d", lowest.At.UTC().Format(time.StampMilli), lowest.Members, members, least)
		for _, event := range events {
			if before := lowest.At.Sub(event.At); before.Abs() < 5*time.Second && event.What != "calls" {
				t.Logf("%s: member %d: %s %d %s", event.At.UTC().Format(time.StampMilli), event.Member, event.What, event.Peer, event.Reason)
			}
		}
	}
	for _, lost := range events {
		if lost.What == "lost" && !wentDown(events, lost) {
			t.Errorf("%s: a call of member %d to %d was lost: %s", lost.At.UTC().Format(time.StampMilli), lost.Member, lost.Peer, lost.Reason)
		}
	}
}

// connects is how long OTP may try to connect again for a call after the link went down (net_setuptime), and a second.
// noticed is how much sooner a call may end than the member notices that the link is down.
const (
	connects = 8 * time.Second
	noticed  = 2 * time.Second
)

// wentDown reports whether the link of a lost call went down then.
func wentDown(events []Event, lost Event) bool {
	return slices.ContainsFunc(events, func(e Event) bool {
		late := lost.At.Sub(e.At)
		return e.What == "down" && e.Member == lost.Member && e.Peer == lost.Peer && late > -noticed && late < connects
	})
}

// Reasons are those for which links to a member went down, and how often, as the others saw them.
func Reasons(events []Event, member int) map[string]int {
	reasons := map[string]int{}
	for _, event := range events {
		if event.What == "down" && event.Peer == member {
			reasons[event.Reason]++
		}
	}
	return reasons
}
