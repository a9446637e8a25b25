package erldist

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// serveEPMD answers any request with the given bytes and returns a Dialer that asks there.
func serveEPMD(t *testing.T, answer []byte, request *[]byte) *Dialer {
	t.Helper()
	address := listen(t, func(conn net.Conn) {
		r := bufio.NewReader(conn)
		got, err := readFrame(r, 2, 1<<16)
		if err != nil {
			return
		}
		if request != nil {
			*request = got
		}
		_, _ = conn.Write(answer)
	})
	_, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	return &Dialer{EPMDPort: uint16(n)}
}

const goodPort2 = "\x77\x00\x84\x49\x4d\x00\x00\x06\x00\x05\x00\x03app\x00\x00"

func TestLookup(t *testing.T) {
	var request []byte
	d := serveEPMD(t, []byte(goodPort2), &request)
	got, err := d.Lookup(testContext(t), "app@127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	want := Registration{Name: "app", Port: 33865, Type: 'M', Highest: 6, Lowest: 5, Extra: []byte{}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if string(request) != "zapp" {
		t.Errorf("asked %q", request)
	}
}

func TestLookupFailures(t *testing.T) {
	for name, test := range map[string]struct {
		answer string
		want   error  // a sentinel, or
		text   string // a part of a *MalformedError
	}{
		"unknown":          {answer: "\x77\x01", want: ErrNotRegistered},
		"other result":     {answer: "\x77\xff", want: ErrNotRegistered},
		"nothing":          {answer: "", text: "ends within the tag"},
		"half":             {answer: goodPort2[:9], text: "ends within the lowest version"},
		"other tag":        {answer: "HTTP/1.1 400 Bad Request", text: "tag 72"},
		"port 0":           {answer: "\x77\x00\x00\x00" + goodPort2[4:], text: "port 0"},
		"endless name":     {answer: goodPort2[:10] + "\xff\xff" + goodPort2[12:], text: "name of 65535 bytes"},
		"name cut short":   {answer: goodPort2[:13], text: "ends within the name"},
		"extra cut short":  {answer: goodPort2[:15] + "\xff\xffabc", text: "ends within the extra"},
		"without extra":    {answer: goodPort2[:15], text: "ends within the extra length"},
		"another node":     {answer: strings.Replace(goodPort2, "app", "apq", 1), want: &NameMismatchError{Want: "app", Got: "apq"}},
		"garbage to come":  {answer: goodPort2 + strings.Repeat("x", 1<<20)},
		"result, then end": {answer: "\x77", text: "ends within the result"},
	} {
		t.Run(name, func(t *testing.T) {
			d := serveEPMD(t, []byte(test.answer), nil)
			_, err := d.Lookup(testContext(t), "app@127.0.0.1")
			if test.want == nil && test.text == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var failed *StageError
			if !errors.As(err, &failed) || failed.Stage != StageLookup {
				t.Fatalf("got %v", err)
			}
			var m *MalformedError
			var mismatch *NameMismatchError
			switch {
			case test.text != "":
				if !errors.As(err, &m) || !strings.Contains(m.Problem, test.text) || len(m.Excerpt) > MaxExcerpt {
					t.Errorf("got %v", err)
				}
			case errors.As(test.want, &mismatch):
				if diff := cmp.Diff(test.want, errors.Unwrap(err)); diff != "" {
					t.Error(diff)
				}
			case !errors.Is(err, test.want):
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for name, test := range map[string]struct {
		answer string
		want   []RegisteredName // nil: malformed
	}{
		"none":         {"\x00\x00\x11\x11", []RegisteredName{}},
		"two":          {"\x00\x00\x11\x11name chat at port 9100\nname a b at port 65535\n", []RegisteredName{{"chat", 9100}, {"a b", 65535}}},
		"no newline":   {"\x00\x00\x11\x11name chat at port 9100", []RegisteredName{{"chat", 9100}}},
		"nothing":      {"", nil},
		"half":         {"\x00\x00\x11", nil},
		"port too big": {"\x00\x00\x11\x11name chat at port 65536\n", nil},
		"port 0":       {"\x00\x00\x11\x11name chat at port 0\n", nil},
		"no name":      {"\x00\x00\x11\x11name  at port 9100\n", nil},
		"HTTP":         {"HTTP/1.1 400 Bad Request\r\n\r\n", nil},
		"endless":      {"\x00\x00\x11\x11" + strings.Repeat("\n", maxNamesAnswer), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := serveEPMD(t, []byte(test.answer), nil).Names(testContext(t), "127.0.0.1")
			if test.want == nil {
				var m *MalformedError
				if !errors.As(err, &m) {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Error(err, diff)
			}
		})
	}
}

func TestCapturedEPMD(t *testing.T) {
	for release, capture := range captures(t, "port2_resp") {
		reg, err := readPort2Resp(bytes.NewReader(capture))
		if err != nil || reg.Name != "chat" || reg.Port != 9100 {
			t.Errorf("%s: %+v, %v", release, reg, err)
		}
	}
	for release, capture := range captures(t, "port2_resp_unknown") {
		if _, err := readPort2Resp(bytes.NewReader(capture)); !errors.Is(err, ErrNotRegistered) {
			t.Errorf("%s: %v", release, err)
		}
	}
	for release, capture := range captures(t, "names_resp") {
		names, err := readNamesResp(bytes.NewReader(capture))
		if diff := cmp.Diff([]RegisteredName{{"chat", 9100}}, names); err != nil || diff != "" {
			t.Errorf("%s: %v %s", release, err, diff)
		}
	}
}

func TestSplitNodeName(t *testing.T) {
	name, host, err := SplitNodeName("chat@chat-0.example.org")
	if name != "chat" || host != "chat-0.example.org" || err != nil {
		t.Errorf("%q %q %v", name, host, err)
	}
	for _, bad := range []string{"", "@", "chat", "chat@", "@host", "a@b@c", strings.Repeat("x", maxNameBytes) + "@host"} {
		if _, _, err := SplitNodeName(bad); err == nil {
			t.Errorf("%q is taken for a node's name", bad)
		}
	}
}
