package erldist

import "encoding/binary"

// decoder decodes terms from data. After the first error it gives zeros; err is
// looked at where it ends a loop and at the end.
//
// Length fields are not to be trusted: bytes are taken only as far as data
// reaches, and since an element takes at least a byte of data, all sequences
// together cannot have more elements than there were bytes at first, however
// they are nested.
type decoder struct {
	data []byte
	room uint64 // how many elements there may still be
	err  error
}

// take reserves room for elements.
func (d *decoder) take(elements uint64) bool {
	if d.err == nil && (elements > d.room || elements > uint64(len(d.data))) {
		d.fail("%d elements are announced, %d bytes are there", elements, len(d.data))
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
		d.fail("%d bytes are announced, %d are there", n, len(d.data))
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
