package erldist

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
)

const (
	// maxHandshakeFrame leaves room for the longest name.
	maxHandshakeFrame = 4096

	// growth is how much of a frame is allocated before its bytes arrive.
	growth = 4096
)

// readFrame reads a message behind a length of size bytes, 2 or 4. An end of file
// before the first byte is io.EOF. The buffer grows with what arrives: at most
// growth bytes, and then twice what was received, are allocated in advance.
func readFrame(r *bufio.Reader, size, limit int) ([]byte, error) {
	var header [4]byte
	if _, err := io.ReadFull(r, header[4-size:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(header[:])
	if uint64(length) > uint64(limit) {
		return nil, oversized(r, header[4-size:], length, limit)
	}
	n := int(length)
	frame := make([]byte, 0, min(n, growth))
	for len(frame) < n {
		have := len(frame)
		want := min(n, max(2*have, growth))
		frame = slices.Grow(frame, want-have)[:want]
		if _, err := io.ReadFull(r, frame[have:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return frame, nil
}

// oversized describes a frame that is too long. What speaks another protocol is
// caught here, since its first bytes make a large number.
func oversized(r *bufio.Reader, header []byte, length uint32, limit int) error {
	more, _ := r.Peek(min(r.Buffered(), MaxExcerpt))
	start := slices.Concat(header, more)
	if start[0] == tlsAlertRecord && start[1] == tlsMajorVersion {
		return ErrSpeaksTLS
	}
	return malformed("frame", start, "its length of %d bytes is more than %d", length, limit)
}

// The first bytes of a TLS record that carries an alert.
const (
	tlsAlertRecord  = 21
	tlsMajorVersion = 3
)

// appendFrame appends a message with its length in front.
func appendFrame(b []byte, size int, message []byte) []byte {
	if size == 2 {
		if len(message) > math.MaxUint16 {
			panic("erldist: handshake message too long") // they hold a host name at most
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(message)))
	} else {
		b = binary.BigEndian.AppendUint32(b, uint32(len(message)))
	}
	return append(b, message...)
}
