package journal

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestOver(t *testing.T) {
	var events []Event
	for _, line := range []struct {
		member int
		text   string
	}{
		{0, "journal 1000 start"}, {1, "journal 1000 start"}, {2, "journal 1000 start"},
		{0, "journal 2000 up chat@chat-1.chat-nodes.a.svc.cluster.local"},
		{1, "journal 2001 up chat@chat-0.chat-nodes.a.svc.cluster.local"},
		{2, "journal 2500 up chat@chat-0.chat-nodes.a.svc.cluster.local"},
		{2, "journal 2500 up chat@chat-1.chat-nodes.a.svc.cluster.local"},
		{1, "journal 2500 up chat@chat-2.chat-nodes.a.svc.cluster.local"},
		{0, "journal 2500 up chat@chat-2.chat-nodes.a.svc.cluster.local"},
		{0, "journal 2600 calls 50"}, {0, "=INFO REPORT==== of another kind"},
		{0, "journal 3000 down chat@chat-1.chat-nodes.a.svc.cluster.local connection_closed"},
		{1, "journal 4000 start"},
		{2, "journal 3500 down chat@chat-1.chat-nodes.a.svc.cluster.local {shutdown, x}"},
	} {
		if event, ok := Parse(line.member, line.text); ok {
			events = append(events, event)
		}
	}
	Sort(events)
	at := func(ms int64, members int) Meshed { return Meshed{time.UnixMilli(ms), members} }
	if diff := cmp.Diff([]Meshed{at(1000, 1), at(2001, 2), at(2500, 3), at(3000, 2)}, Over(events, 3)); diff != "" {
		t.Errorf("members linked to each other (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"connection_closed": 1, "{shutdown, x}": 1}, Reasons(events, 1)); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	lost := Event{At: time.UnixMilli(2990), Member: 2, What: "lost", Peer: 1}
	if !wentDown(events, lost) {
		t.Error("the link of the lost call went down")
	}
	lost.Peer = 0
	if wentDown(events, lost) {
		t.Error("the link of the lost call stayed")
	}
}

func TestLargest(t *testing.T) {
	for name, test := range map[string]struct {
		links []uint
		want  int
	}{
		"nobody":           {nil, 0},
		"alone":            {[]uint{0, 0, 0}, 1},
		"without member 0": {[]uint{0, 0b11100, 0b11010, 0b10110, 0b01110}, 4},
		"two pairs":        {[]uint{0b0010, 0b0001, 0b1000, 0b0100}, 2},
		"one way":          {[]uint{0b0110, 0b0001, 0}, 2},
	} {
		if got := largest(test.links); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
}
