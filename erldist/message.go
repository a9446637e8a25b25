package erldist

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// messageReader reads the fields of a message one after the other. After the first
// error its methods return zero values, so callers read like the message's layout and
// check err once, at the end.
type messageReader struct {
	message  string // its name in the protocol
	r        io.Reader
	received []byte // so far, for the excerpt
	err      error
}

func (m *messageReader) uint8(field string) uint8 {
	if b := m.bytes(field, 1, 1); b != nil {
		return b[0]
	}
	return 0
}

func (m *messageReader) uint16(field string) uint16 {
	if b := m.bytes(field, 2, 2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (m *messageReader) uint32(field string) uint32 {
	if b := m.bytes(field, 4, 4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (m *messageReader) uint64(field string) uint64 {
	if b := m.bytes(field, 8, 8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// bytes reads n bytes, or fails if n is more than limit.
func (m *messageReader) bytes(field string, n, limit int) []byte {
	if m.err != nil {
		return nil
	}
	if n > limit {
		m.fail("%s of %d bytes, more than %d", field, n, limit)
		return nil
	}
	b := make([]byte, n)
	got, err := io.ReadFull(m.r, b)
	m.received = append(m.received, b[:got]...)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		m.fail("ends within the %s", field)
	case err != nil:
		m.err = fmt.Errorf("read the %s of %s: %w", field, m.message, err)
	}
	if m.err != nil {
		return nil
	}
	return b
}

func (m *messageReader) fail(format string, args ...any) {
	m.err = malformed(m.message, m.received, format, args...)
}
