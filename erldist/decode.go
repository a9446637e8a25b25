package erldist

import (
	"math"
	"math/big"
	"slices"
	"unicode/utf8"
)

// MaxDepth is the maximum nesting of decoded terms.
const MaxDepth = 256

// Unmarshal decodes a term in the external term format (erl_ext_dist), with its version
// byte and nothing after it.
func Unmarshal(data []byte) (Term, error) {
	t, rest, err := decodeVersioned(data)
	if err == nil && len(rest) != 0 {
		err = malformed("term", nil, "%d bytes follow it", len(rest))
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// decodeVersioned decodes the first of several versioned terms.
func decodeVersioned(data []byte) (t Term, rest []byte, err error) {
	d := decoder{data: data, room: uint64(len(data))}
	if v := d.uint8(); d.err == nil && v != tagVersion {
		d.fail("version %d instead of %d", v, tagVersion)
	}
	t = d.term(0)
	if d.err != nil {
		return nil, nil, d.err
	}
	return t, d.data, nil
}

// emptyList is shared: each [] takes one byte of data, and would take more memory.
var emptyList Term = List{}

func (d *decoder) term(depth int) Term {
	if depth > MaxDepth {
		d.fail("nested more than %d deep", MaxDepth)
	}
	tag := d.uint8()
	if d.err != nil {
		return nil
	}
	switch tag {
	case tagSmallAtomUTF8, tagAtomUTF8, tagSmallAtom, tagAtom:
		return d.atomOf(tag)
	case tagSmallInteger:
		return Int(d.uint8())
	case tagInteger:
		return Int(int32(d.uint32()))
	case tagSmallBig:
		return d.bigInt(uint64(d.uint8()))
	case tagLargeBig:
		return d.bigInt(uint64(d.uint32()))
	case tagNewFloat:
		return d.float()
	case tagSmallTuple:
		return Tuple(d.terms(uint32(d.uint8()), depth))
	case tagLargeTuple:
		return Tuple(d.terms(d.uint32(), depth))
	case tagNil:
		return emptyList
	case tagList:
		return d.list(depth)
	case tagString:
		return d.string()
	case tagBinary:
		return Binary(slices.Clone(d.bytes(uint64(d.uint32()))))
	case tagBitBinary:
		return d.bitString()
	case tagMap:
		return d.mapOf(d.uint32(), depth)
	case tagNewPid:
		return Pid{Node: d.atom(), ID: d.uint32(), Serial: d.uint32(), Creation: d.uint32()}
	case tagNewPort:
		return Port{Node: d.atom(), ID: uint64(d.uint32()), Creation: d.uint32()}
	case tagV4Port:
		return Port{Node: d.atom(), ID: d.uint64(), Creation: d.uint32()}
	case tagNewerRef:
		return d.ref()
	case tagExport:
		return d.export()
	case tagNewFun:
		return d.fun()
	}
	d.fail("unexpected tag %d", tag)
	return nil
}

// terms decodes n terms of the next deeper level.
func (d *decoder) terms(n uint32, depth int) []Term {
	if !d.take(uint64(n)) {
		return nil
	}
	terms := make([]Term, 0, n)
	for range n {
		t := d.term(depth + 1)
		if d.err != nil {
			return nil
		}
		terms = append(terms, t)
	}
	return terms
}

// atom decodes an atom where no other term is allowed.
func (d *decoder) atom() Atom {
	tag := d.uint8()
	if d.err != nil {
		return ""
	}
	return d.atomOf(tag)
}

func (d *decoder) atomOf(tag uint8) Atom {
	var text []byte
	latin1 := false
	switch tag {
	case tagSmallAtomUTF8:
		text = d.bytes(uint64(d.uint8()))
	case tagAtomUTF8:
		text = d.bytes(uint64(d.uint16()))
	case tagSmallAtom:
		text, latin1 = d.bytes(uint64(d.uint8())), true
	case tagAtom:
		text, latin1 = d.bytes(uint64(d.uint16())), true
	default:
		d.fail("tag %d instead of an atom", tag)
	}
	if latin1 {
		runes := make([]rune, len(text))
		for i, c := range text {
			runes[i] = rune(c)
		}
		text = []byte(string(runes))
	}
	if !utf8.Valid(text) || utf8.RuneCount(text) > 255 {
		d.fail("an atom that is not UTF-8 of at most 255 characters")
	}
	return Atom(text)
}

func (d *decoder) bigInt(size uint64) Term {
	sign := d.uint8()
	magnitude := slices.Clone(d.bytes(size))
	slices.Reverse(magnitude)
	n := new(big.Int).SetBytes(magnitude)
	if sign > 1 {
		d.fail("the sign of an integer is %d", sign)
	}
	if sign == 1 {
		n.Neg(n)
	}
	if n.IsInt64() {
		return Int(n.Int64())
	}
	return (*BigInt)(n)
}

func (d *decoder) float() Term {
	f := math.Float64frombits(d.uint64())
	if math.IsNaN(f) || math.IsInf(f, 0) {
		d.fail("a float that is not finite")
	}
	return Float(f)
}

func (d *decoder) list(depth int) Term {
	n := d.uint32()
	head := d.terms(n, depth)
	tail := d.term(depth + 1)
	if d.err != nil {
		return nil
	}
	if rest, ok := tail.(List); ok && len(rest) == 0 {
		return List(head)
	}
	if len(head) == 0 {
		d.fail("a list without elements has a tail")
	}
	return &ImproperList{Head: head, Tail: tail}
}

func (d *decoder) string() Term {
	s := String(d.bytes(uint64(d.uint16())))
	if s == "" {
		return emptyList
	}
	return s
}

func (d *decoder) bitString() Term {
	n, bits := d.uint32(), d.uint8()
	b := slices.Clone(d.bytes(uint64(n)))
	if bits < 1 || bits > 8 || len(b) == 0 {
		d.fail("a bit string of %d bytes with %d bits in the last", n, bits)
		return nil
	}
	if bits == 8 {
		return Binary(b)
	}
	return &BitString{Bytes: b, Bits: bits}
}

func (d *decoder) mapOf(n uint32, depth int) Term {
	if !d.take(2 * uint64(n)) {
		return nil
	}
	m := make(Map, 0, n)
	for range n {
		p := Pair{Key: d.term(depth + 1), Value: d.term(depth + 1)}
		if d.err != nil {
			return nil
		}
		m = append(m, p)
	}
	return m
}

func (d *decoder) ref() Term {
	n := d.uint16()
	r := Ref{Node: d.atom(), Creation: d.uint32()}
	if n < 1 || int(n) > len(r.IDs) {
		d.fail("a reference of %d words", n)
		return nil
	}
	r.Len = uint8(n)
	for i := range n {
		r.IDs[i] = d.uint32()
	}
	return r
}

func (d *decoder) export() Term {
	e := Export{Module: d.atom(), Function: d.atom()}
	if tag := d.uint8(); d.err == nil && tag != tagSmallInteger {
		d.fail("tag %d instead of a small integer", tag)
	}
	e.Arity = d.uint8()
	return e
}

// fun reads a closure by its length, which includes the length field.
func (d *decoder) fun() Term {
	size := d.uint32()
	if size < 4 {
		d.fail("a fun of %d bytes", size)
		return nil
	}
	return &Fun{Data: slices.Clone(d.bytes(uint64(size) - 4))}
}
