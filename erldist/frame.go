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
	// maxHandshakeFrame is enough for the longest name.
	maxHandshakeFrame = 4096

	// growth is how much of a frame is allocated in advance.
	growth = 4096
)

// readFrame reads a message preceded by a length of size bytes, 2 or 4. An end of file
// before the first byte is io.EOF. The buffer grows with the received bytes: at most
// growth bytes, and then twice what was received, are allocated.
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

// oversized returns the error for a frame that is too long. Peers that speak another
// protocol end here, because their first bytes are a large number.
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

// appendFrame appends a message preceded by its length.
func appendFrame(b []byte, size int, message []byte) []byte {
	if size == 2 {
		if len(message) > math.MaxUint16 {
			panic("erldist: handshake message too long") // its longest part is a host name of 255 bytes
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(message)))
	} else {
		b = binary.BigEndian.AppendUint32(b, uint32(len(message)))
	}
	return append(b, message...)
}
