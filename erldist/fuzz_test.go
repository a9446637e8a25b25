package erldist

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"testing"
)

// For any input, the parsers neither panic nor accept what does not survive a round
// trip.

func FuzzUnmarshal(f *testing.F) {
	for _, capture := range captures(f, "session") {
		_, frames := session(f, capture)
		for _, frame := range frames {
			if len(frame) == 0 {
				continue // a tick
			}
			_, rest, err := decodeVersioned(frame[1:])
			if err != nil {
				f.Fatal(err)
			}
			f.Add(frame[1 : len(frame)-len(rest)])
			if len(rest) > 0 {
				f.Add(rest)
			}
		}
	}
	for _, encoding := range encodings(f) {
		f.Add(encoding)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		term, err := Unmarshal(data)
		if err != nil {
			return
		}
		again, err := Unmarshal(Marshal(term))
		if err != nil || !equal(term, again) {
			t.Errorf("%#v came back as %#v, %v", term, again, err)
		}
		Text(term)
		Atoms(term)
		_, _ = erpcResult("m", "f", term)
		_ = (&CallError{Reason: term}).Error()
	})
}

// encodings returns a term of every kind, and every kind of malformed one.
func encodings(f *testing.F) [][]byte {
	var all [][]byte
	for _, known := range knownEncodings {
		encoding, err := hex.DecodeString(known.hex)
		if err != nil {
			f.Fatal(known.hex, err)
		}
		all = append(all, encoding)
	}
	for _, malformed := range malformedTerms {
		all = append(all, []byte(malformed))
	}
	return all
}

func FuzzReply(f *testing.F) {
	for _, capture := range captures(f, "session") {
		_, frames := session(f, capture)
		for _, frame := range frames {
			f.Add(frame)
		}
	}
	for _, encoding := range encodings(f) {
		f.Add(append([]byte{passThrough}, encoding...))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		ref, reply, err := parseReply(frame)
		if err != nil && reply != nil {
			t.Errorf("both %v and %v for %v", reply, err, ref)
		}
	})
}

func FuzzStatus(f *testing.F) {
	addHandshake(f, 0)
	f.Add([]byte("snok"))
	f.Add([]byte("snot_allowed"))
	f.Add([]byte("salive"))
	f.Add([]byte("s\x00é"))
	f.Add([]byte("snamed:\x00\x05a@b"))
	f.Fuzz(func(t *testing.T, message []byte) {
		status, local, err := parseStatus(message)
		if err != nil {
			return
		}
		if len(status) > maxStatus || printable([]byte(status)) != status {
			t.Errorf("status %q", status)
		}
		if status == "named" && local != (Local{}) && !bytes.HasPrefix(message, namedStatus(local.Name, local.Creation)) {
			t.Errorf("%+v of %q", local, message)
		}
	})
}

func FuzzChallenge(f *testing.F) {
	addHandshake(f, 1)
	f.Fuzz(func(t *testing.T, message []byte) {
		peer, _, err := parseChallenge(message)
		if err == nil && len(peer.Name) > maxNameBytes {
			t.Errorf("%+v", peer)
		}
		_ = peer.Flags.String()
	})
}

func FuzzAck(f *testing.F) {
	addHandshake(f, 2)
	f.Fuzz(func(t *testing.T, message []byte) {
		digest, err := parseAck(message)
		if err == nil && !bytes.Equal(message[1:], digest[:]) {
			t.Errorf("%x of %x", digest, message)
		}
	})
}

func addHandshake(f *testing.F, number int) {
	for _, capture := range captures(f, "session") {
		handshake, _ := session(f, capture)
		f.Add(handshake[number])
	}
}

func FuzzFrame(f *testing.F) {
	for _, capture := range captures(f, "session") {
		f.Add(capture, true)
		f.Add(capture, false)
	}
	f.Add([]byte("\x15\x03\x03\x00\x02\x02\x0a"), true)
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), true)
	f.Add([]byte("\xff\xff\xff\xff"), false)
	f.Fuzz(func(t *testing.T, stream []byte, short bool) {
		size, limit := frameHeader, 1<<20
		if short {
			size, limit = 2, maxHandshakeFrame
		}
		in := bufio.NewReader(bytes.NewReader(stream))
		rest := stream
		for range 100 { // more of them would only take time
			frame, err := readFrame(in, size, limit)
			if err != nil {
				return
			}
			written := appendFrame(nil, size, frame)
			if !bytes.HasPrefix(rest, written) {
				t.Fatalf("read %x from %x", frame, rest)
			}
			rest = rest[len(written):]
		}
	})
}

func FuzzPort2Resp(f *testing.F) {
	for _, name := range []string{"port2_resp", "port2_resp_unknown"} {
		for _, capture := range captures(f, name) {
			f.Add(capture)
			f.Add(capture[:len(capture)-1])
		}
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		reg, err := readPort2Resp(bytes.NewReader(answer))
		if err == nil && (reg.Port == 0 || len(reg.Name) > maxNameBytes) {
			t.Errorf("%+v", reg)
		}
	})
}

func FuzzNamesResp(f *testing.F) {
	for _, capture := range captures(f, "names_resp") {
		f.Add(capture)
	}
	f.Add([]byte("\x00\x00\x11\x11name chat at port 0\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		names, err := readNamesResp(bytes.NewReader(answer))
		if err != nil {
			return
		}
		for _, n := range names {
			if n.Name == "" || n.Port == 0 {
				t.Errorf("%+v", n)
			}
		}
	})
}

func FuzzSplitNodeName(f *testing.F) {
	f.Add("chat@chat-0.example.org")
	f.Add("@")
	f.Fuzz(func(t *testing.T, node string) {
		name, host, err := SplitNodeName(node)
		if err == nil && (name == "" || host == "" || name+"@"+host != node) {
			t.Errorf("%q is split into %q and %q", node, name, host)
		}
	})
}
