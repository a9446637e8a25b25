package erldist

import "encoding/binary"

// decoder decodes terms from data. After the first error its methods return zero
// values; err is checked in loops and at the end.
//
// Length fields are not trusted: bytes are taken only as far as data reaches. An element
// takes at least one byte, so all sequences together, however they are nested, have at
// most as many elements as data had bytes.
type decoder struct {
	data []byte
	room uint64 // how many more elements are allowed
	err  error
}

// take reserves room for elements.
func (d *decoder) take(elements uint64) bool {
	if d.err == nil && (elements > d.room || elements > uint64(len(d.data))) {
		d.fail("%d elements announced, %d bytes left", elements, len(d.data))
	}
	if d.err != nil {
		return false
	}
	d.room -= elements
	return true
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = malformed("term", nil, format, args...)
	}
}

func (d *decoder) bytes(n uint64) []byte {
	if d.err != nil {
		return nil
	}
	if n > uint64(len(d.data)) {
		d.fail("%d bytes announced, %d left", n, len(d.data))
		return nil
	}
	b := d.data[:n]
	d.data = d.data[n:]
	return b
}

func (d *decoder) uint8() uint8 {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint16() uint16 {
	if b := d.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}
