package erldist

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
)

// The handshake of version 6, section "Distribution Handshake" of
// erl_dist_protocol and dist_util.erl. We are A, the peer is B:
//
//	1  A→B  'N' Flags:64 Creation:32 NameLen:16 Name    with NAME_ME: creation 0, only a host
//	2  B→A  's' Status                                  "named:" NameLen:16 Name Creation:32
//	3  B→A  'N' Flags:64 Challenge:32 Creation:32 NameLen:16 Name
//	4  A→B  'r' Challenge:32 Digest:16
//	5  B→A  'a' Digest:16
const (
	tagName           = 'N'
	tagStatus         = 's'
	tagChallengeReply = 'r'
	tagChallengeAck   = 'a'
)

// maxStatus is the maximum length of an unknown status in a StatusError.
const maxStatus = 32

// handshake proves the cookie in both directions. Our proof is sent only to a peer that
// reports the expected name.
func (c *Conn) handshake(trace *Trace) error {
	if err := c.send(nameMessage(c.dialer.localHost())); err != nil {
		return fmt.Errorf("send our name: %w", c.refusalOr(err))
	}
	if err := c.receiveStatus(trace); err != nil {
		return err
	}
	challenge, err := c.receiveChallenge(trace)
	if err != nil {
		return err
	}
	ours, err := newChallenge()
	if err != nil {
		return err
	}
	if err := c.send(challengeReply(c.dialer.Cookie, challenge, ours)); err != nil {
		return fmt.Errorf("send our proof of the cookie: %w", err)
	}
	return c.receiveAck(ours)
}

// refusalOr returns the alert with which the peer refused our certificate, if there is
// one to read after a failed write, else err.
func (c *Conn) refusalOr(err error) error {
	if isTimeout(err) {
		return err
	}
	if _, refusal := c.receive(); refusal != nil {
		if _, ok := alertNumber(refusal); ok {
			return refusal
		}
	}
	return err
}

func (c *Conn) receiveStatus(trace *Trace) error {
	message, err := c.receive()
	if err != nil {
		return fmt.Errorf("wait for the status: %w", err)
	}
	status, local, err := parseStatus(message)
	if err != nil {
		return err
	}
	if trace.Status != nil {
		trace.Status(status)
	}
	if status != "named" {
		return &StatusError{Status: status}
	}
	c.local = local
	return nil
}

func (c *Conn) receiveChallenge(trace *Trace) (uint32, error) {
	message, err := c.receive()
	if err != nil {
		return 0, fmt.Errorf("wait for the challenge: %w", err)
	}
	peer, challenge, err := parseChallenge(message)
	if err != nil {
		return 0, err
	}
	c.peer = peer
	if trace.Named != nil {
		trace.Named(peer)
	}
	if peer.Name != c.node {
		return 0, &NameMismatchError{Want: c.node, Got: peer.Name}
	}
	if missing := peer.Flags.missing(); missing != 0 {
		return 0, &FlagsError{Missing: missing}
	}
	return challenge, nil
}

func (c *Conn) receiveAck(challenge uint32) error {
	message, err := c.receive()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return ErrCookieRejected
	}
	var oversized *MalformedError
	if errors.As(err, &oversized) {
		return &MalformedError{Message: "challenge_ack", Problem: oversized.Problem}
	}
	if err != nil {
		return fmt.Errorf("wait for the peer's proof of the cookie: %w", err)
	}
	digest, err := parseAck(message)
	if err != nil {
		return err
	}
	want := c.dialer.Cookie.digest(challenge)
	if subtle.ConstantTimeCompare(digest[:], want[:]) != 1 {
		return ErrPeerCookie
	}
	return nil
}

func (c *Conn) send(message []byte) error {
	_, err := c.stream.Write(appendFrame(nil, c.handshakeHeader, message))
	return err
}

func (c *Conn) receive() ([]byte, error) {
	return readFrame(c.in, c.handshakeHeader, maxHandshakeFrame)
}

// nameMessage requests a dynamic name with this host part.
func nameMessage(host string) []byte {
	host = host[:min(len(host), 255)]
	b := binary.BigEndian.AppendUint64([]byte{tagName}, uint64(offeredFlags))
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(host)))
	return append(b, host...)
}

func parseStatus(message []byte) (status string, local Local, err error) {
	m := messageReader{message: "status", r: bytes.NewReader(message)}
	if tag := m.uint8("tag"); m.err == nil && tag != tagStatus {
		return "", local, malformed("status", message, "tag %d instead of %d", tag, tagStatus)
	}
	if m.err != nil {
		return "", local, m.err
	}
	name, ok := bytes.CutPrefix(message[1:], []byte("named:"))
	if !ok {
		return printable(message[1:min(len(message), 1+maxStatus)]), local, nil
	}
	m.r = bytes.NewReader(name)
	local.Name = string(m.bytes("name", int(m.uint16("name length")), maxNameBytes))
	local.Creation = m.uint32("creation")
	if m.err != nil {
		return "", Local{}, m.err
	}
	return "named", local, nil
}

// printable replaces characters that could corrupt the text of an error.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, string(b))
}

func parseChallenge(message []byte) (peer Peer, challenge uint32, err error) {
	m := messageReader{message: "challenge", r: bytes.NewReader(message)}
	if tag := m.uint8("tag"); m.err == nil && tag != tagName {
		return Peer{}, 0, malformed("challenge", message[:1], "tag %d instead of %d", tag, tagName)
	}
	peer.Flags = Flags(m.uint64("flags"))
	challenge = m.uint32("challenge")
	peer.Creation = m.uint32("creation")
	peer.Name = string(m.bytes("name", int(m.uint16("name length")), maxNameBytes))
	if m.err != nil {
		return Peer{}, 0, m.err
	}
	return peer, challenge, nil
}

// newChallenge is random, because a peer could answer a predictable one by replaying a
// recorded answer.
func newChallenge() (uint32, error) {
	var b [4]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b[:]), nil
}

func challengeReply(cookie Cookie, theirs, ours uint32) []byte {
	digest := cookie.digest(theirs)
	b := binary.BigEndian.AppendUint32([]byte{tagChallengeReply}, ours)
	return append(b, digest[:]...)
}

// parseAck omits the message from errors, because a hostile peer could send our own
// proof back.
func parseAck(message []byte) (digest [md5.Size]byte, err error) {
	if len(message) != 1+len(digest) || message[0] != tagChallengeAck {
		return digest, malformed("challenge_ack", nil, "%d bytes that are not a proof of the cookie", len(message))
	}
	return [md5.Size]byte(message[1:]), nil
}
