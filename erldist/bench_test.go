package erldist

import (
	"bytes"
	"net"
	"testing"
)

// BenchmarkHandshake measures both ends of the handshake and a ping, without TLS.
func BenchmarkHandshake(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		client, server := net.Pipe()
		n := newNode()
		go func() {
			defer close(n.finished)
			defer closing(server)
			n.play(server)
		}()
		conn, err := (&Dialer{Cookie: NewCookie(testCookie), Host: "probe"}).NewConn(b.Context(), testNode, client)
		if err != nil {
			b.Fatal(err)
		}
		if err := conn.Ping(b.Context()); err != nil {
			b.Fatal(err)
		}
		_ = conn.Close()
		<-n.finished
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	_, frames := session(b, captures(b, "session")["otp27"])
	largest := frames[0]
	for _, frame := range frames {
		if len(frame) > len(largest) {
			largest = frame
		}
	}
	b.SetBytes(int64(len(largest)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := parseReply(largest); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMarshal(b *testing.B) {
	_, frames := session(b, captures(b, "session")["otp27"])
	_, reply, err := parseReply(frames[4])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if bytes.Equal(Marshal(reply), nil) {
			b.Fatal("an encoding is never empty")
		}
	}
}
