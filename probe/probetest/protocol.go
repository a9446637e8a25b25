package probetest

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"io"
	"net"

	"github.com/erlang-operator/erlang-operator/erldist"
)

// play is a node: the handshake, and then calls.
func (p *Peer) play(conn net.Conn) {
	in := bufio.NewReader(conn)
	const challenge = 0xCAFEBABE
	if read(in) == nil {
		p.refuse()
		return
	}
	write(conn, "snamed:", uint16(len("X@probe")), "X@probe", uint32(1))
	p.mutex.Lock()
	incarnation := p.Incarnation
	p.mutex.Unlock()
	write(conn, "N", uint64(0x4_07DF7FBC), uint32(challenge), incarnation, uint16(len(p.Name)), p.Name)
	reply := read(in)
	if len(reply) != 1+4+md5.Size {
		return
	}
	if wanted := md5.Sum(fmt.Append(nil, Cookie, uint32(challenge))); !bytes.Equal(reply[5:], wanted[:]) {
		p.refuse()
		return
	}
	ours := md5.Sum(fmt.Append(nil, Cookie, binary.BigEndian.Uint32(reply[1:])))
	write(conn, "a", string(ours[:]))
	for {
		frame := read(in)
		if frame == nil {
			return
		}
		if len(frame) > 0 && p.answers() {
			p.answer(conn, frame)
		}
	}
}

func (p *Peer) refuse() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.refused++
}

func (p *Peer) answers() bool {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.Unanswered--
	return p.Unanswered < 0
}

// answer answers a call of the process rex: a frame is 112, the control message, and the
// request.
func (p *Peer) answer(conn net.Conn, frame []byte) {
	var request erldist.Term
	for i := 2; i < len(frame) && request == nil; i++ {
		if _, err := erldist.Unmarshal(frame[1:i]); err == nil {
			request, _ = erldist.Unmarshal(frame[i:])
		}
	}
	call := request.(erldist.Tuple)
	from, rex := call[1].(erldist.Tuple), call[2].(erldist.Tuple)
	result := p.apply(rex[1].(erldist.Atom), rex[2].(erldist.Atom), rex[3])
	write(conn, "\x70",
		string(erldist.Marshal(erldist.Tuple{erldist.Int(2), erldist.Atom(""), from[0]})),
		string(erldist.Marshal(erldist.Tuple{from[1], result})))
}

// applyAll is what lists:zipwith3/4 makes of erlang:apply/3.
func (p *Peer) applyAll(arguments erldist.List) (results erldist.List) {
	modules, functions, lists := arguments[1].(erldist.List), arguments[2].(erldist.List), arguments[3].(erldist.List)
	for i := range modules {
		results = append(results, p.apply(modules[i].(erldist.Atom), functions[i].(erldist.Atom), lists[i]))
	}
	return results
}

// apply knows the functions that a sweep calls.
func (p *Peer) apply(module, function erldist.Atom, arguments erldist.Term) erldist.Term {
	call := string(module + ":" + function)
	p.mutex.Lock()
	p.calls = append(p.calls, call)
	release, connect, reach, setupTime, mute, cookie, hidden := p.Release, p.connect, p.reach, p.SetupTime, p.Mute, p.NewCookie, p.Hidden
	p.mutex.Unlock()
	switch call {
	case "lists:zipwith3":
		return p.applyAll(arguments.(erldist.List))
	case "erlang:nodes":
		return erldist.AtomList(p.linkedTo(p.Name)...)
	case "erlang:get_cookie":
		return erldist.Atom(cmp.Or(cookie, Cookie))
	case "erlang:system_info":
		if arguments.(erldist.List)[0] == erldist.Term(erldist.Atom("otp_release")) {
			return erldist.String(release)
		}
		return erldist.Int(-5_000) // start_time
	case "erlang:monotonic_time":
		return erldist.Int(5_000)
	case "erlang:convert_time_unit":
		return erldist.Int(1_000)
	case "os:getenv": // neither in a pod, nor a release
		return erldist.Atom("false")
	case "file:read_file": // no /proc
		return erldist.Tuple{erldist.Atom("error"), erldist.Atom("enoent")}
	case "init:get_argument":
		if hidden {
			return erldist.Tuple{erldist.Atom("ok"), erldist.List{erldist.List{}}}
		}
		return erldist.Atom("error")
	case "application:get_env":
		if setupTime > 0 {
			return erldist.Tuple{erldist.Atom("ok"), erldist.Int(setupTime)}
		}
		return erldist.Atom("undefined")
	case "gen_tcp:connect":
		reach(p.Name)
		if p.reaches(int(arguments.(erldist.List)[1].(erldist.Int))) {
			return erldist.Tuple{erldist.Atom("ok"), erldist.Atom("socket")}
		}
		return erldist.Tuple{erldist.Atom("error"), erldist.Atom("timeout")}
	case "rpc:multicall":
		if mute {
			return erldist.Tuple{erldist.Atom("badrpc"), erldist.Atom("timeout")}
		}
		asked, _ := erldist.Atoms(arguments.(erldist.List)[0])
		return erldist.Tuple{erldist.List{}, erldist.AtomList(p.unanswering(p.Name, asked)...)}
	case "net_kernel:connect_node":
		if connect(p.Name, string(arguments.(erldist.List)[0].(erldist.Atom))) {
			return erldist.Atom("true")
		}
		return erldist.Atom("false")
	default:
		return erldist.Atom("ok")
	}
}

// read reads a message; nil when none comes.
func read(in io.Reader) []byte {
	var length uint32
	if binary.Read(in, binary.BigEndian, &length) != nil {
		return nil
	}
	message := make([]byte, length)
	if _, err := io.ReadFull(in, message); err != nil {
		return nil
	}
	return message
}

func write(out io.Writer, fields ...any) {
	var message bytes.Buffer
	for _, field := range fields {
		if text, ok := field.(string); ok {
			message.WriteString(text)
		} else {
			_ = binary.Write(&message, binary.BigEndian, field) // A buffer takes it all.
		}
	}
	_, _ = out.Write(append(binary.BigEndian.AppendUint32(nil, uint32(message.Len())), message.Bytes()...))
}
