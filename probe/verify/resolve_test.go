package verify

import (
	"context"
	"encoding/binary"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// Types of DNS records.
const (
	typeA    = 1
	typeAAAA = 28
)

// nameserver answers the queries of a resolver by UDP. The number of queries of that type
// comes in, and the response code and the address go out; -1 is no answer.
func nameserver(t *testing.T, answer func(kind uint16, query int) (code int, address []byte)) (_ *net.Resolver, queries func() []uint16) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var asked []uint16
	var mutex sync.Mutex
	ended := make(chan struct{})
	t.Cleanup(func() { _ = conn.Close(); <-ended })
	go func() {
		defer close(ended)
		counts, packet := map[uint16]int{}, make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			end := 12
			for packet[end] != 0 {
				end += int(packet[end]) + 1
			}
			kind := binary.BigEndian.Uint16(packet[end+1:])
			mutex.Lock()
			asked = append(asked, kind)
			mutex.Unlock()
			counts[kind]++
			code, address := answer(kind, counts[kind])
			if code < 0 || n < end {
				continue
			}
			response := slices.Concat(packet[:2], []byte{0x84, byte(code), 0, 1, 0, 0, 0, 0, 0, 0}, packet[12:end+5])
			if address != nil {
				response[7] = 1
				response = append(response, 0xc0, 12)
				response = binary.BigEndian.AppendUint16(response, kind)
				response = append(response, 0, 1, 0, 0, 0, 60, 0, byte(len(address)))
				response = append(response, address...)
			}
			_, _ = conn.WriteTo(response, from)
		}
	}()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp4", conn.LocalAddr().String())
	}}
	return resolver, func() []uint16 {
		mutex.Lock()
		defer mutex.Unlock()
		return slices.Clone(asked)
	}
}

// TestResolve: a lost packet changes nothing, only the family that is needed is asked for,
// and not found is only what a server said.
func TestResolve(t *testing.T) {
	const noError, serverFailure, nameError, lost = 0, 2, 3, -1
	address := []byte{10, 0, 0, 7}
	for name, tc := range map[string]struct {
		network  string
		answer   func(kind uint16, query int) (int, []byte)
		want     []string
		notFound bool
		queries  int // at least
	}{
		"an answer": {
			network: "tcp4", answer: func(uint16, int) (int, []byte) { return noError, address }, want: []string{"10.0.0.7"}, queries: 1,
		},
		"the first packet is lost": {
			network: "tcp4", queries: 2, want: []string{"10.0.0.7"},
			answer: func(_ uint16, query int) (int, []byte) {
				if query == 1 {
					return lost, nil
				}
				return noError, address
			},
		},
		"the server restarts": {
			network: "tcp4", queries: 2, want: []string{"10.0.0.7"},
			answer: func(_ uint16, query int) (int, []byte) {
				if query <= 4 { // The resolver repeats by itself what a server cannot answer.
					return serverFailure, nil
				}
				return noError, address
			},
		},
		"no such name": {
			network: "tcp4", answer: func(uint16, int) (int, []byte) { return nameError, nil }, notFound: true, queries: 1,
		},
		"no record of that type": {
			network: "tcp4", answer: func(uint16, int) (int, []byte) { return noError, nil }, notFound: true, queries: 1,
		},
		"no answer at all": {
			network: "tcp4", answer: func(uint16, int) (int, []byte) { return lost, nil }, queries: 2,
		},
		"any family, of which one is lost": {
			answer: func(kind uint16, _ int) (int, []byte) {
				if kind == typeA {
					return lost, nil
				}
				return noError, nil
			},
			queries: 3,
		},
		"any family, of which one is found": {
			answer: func(kind uint16, _ int) (int, []byte) {
				if kind == typeA {
					return noError, address
				}
				return nameError, nil
			},
			want: []string{"10.0.0.7"}, queries: 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const limit = 4 * time.Second // An attempt takes half of it, or a quarter.
			resolver, queries := nameserver(t, tc.answer)
			begun := time.Now()
			got, err := lookUp(t.Context(), resolver, families[tc.network], "chat-0.example.", limit)
			if took := time.Since(begun); took > limit+2*time.Second {
				t.Errorf("it took %s", took)
			}
			if !slices.Equal(got, tc.want) || (err == nil) != (tc.want != nil) || isNotFound(err) != tc.notFound {
				t.Errorf("addresses %v, %v; want %v, not found: %t", got, err, tc.want, tc.notFound)
			}
			if len(queries()) < tc.queries || tc.network == "tcp4" && slices.Contains(queries(), typeAAAA) {
				t.Errorf("queries %v, want %d at least", queries(), tc.queries)
			}
		})
	}
}
