package erldist

import (
	"bytes"
	"math/big"
)

// Term is an Erlang term: one of [Atom], [Int], [*BigInt], [Float], [Tuple], [List],
// [*ImproperList], [String], [Binary], [*BitString], [Map], [Pid], [Port], [Ref], [Export] and
// [*Fun]. The set is closed, so encoding a Term cannot meet a surprise.
type Term interface {
	isTerm()
}

// Atom is an atom, without quotes.
type Atom string

// Int is an integer that fits into 64 bits.
type Int int64

// BigInt is a [big.Int], for integers that do not fit into 64 bits. Decoding never
// gives one that would.
type BigInt big.Int

// Float is a float.
type Float float64

// Tuple is a tuple.
type Tuple []Term

// List is a proper list. The empty list, nil or not, is Erlang's [].
type List []Term

// ImproperList is a list whose last tail is not []. Head is not empty.
type ImproperList struct {
	Head []Term
	Tail Term
}

// String is a non-empty list of integers from 0 to 255, the way the runtime
// system encodes one of up to 65535 elements (STRING_EXT). See Text.
type String string

// Binary is a binary.
type Binary []byte

// BitString is a binary whose last byte counts only in part.
type BitString struct {
	Bytes []byte
	// Bits is the number of used bits in the last byte, from 1 to 7, counted
	// from the most significant one.
	Bits uint8
}

// Map is a map, in the order of its encoding.
type Map []Pair

// Pair is an association of a Map.
type Pair struct {
	Key, Value Term
}

// Pid identifies a process.
type Pid struct {
	Node                 Atom
	ID, Serial, Creation uint32
}

// Port identifies a port.
type Port struct {
	Node     Atom
	ID       uint64
	Creation uint32
}

// Ref is a reference.
type Ref struct {
	Node     Atom
	Creation uint32
	IDs      [5]uint32
	Len      uint8 // how many IDs are used
}

// Export is fun Module:Function/Arity.
type Export struct {
	Module, Function Atom
	Arity            uint8
}

// Fun is a closure, as opaque as it must be outside the node that made it.
type Fun struct {
	// Data is the encoding after the tag and the length.
	Data []byte
}

func (Atom) isTerm()          {}
func (Int) isTerm()           {}
func (*BigInt) isTerm()       {}
func (Float) isTerm()         {}
func (Tuple) isTerm()         {}
func (List) isTerm()          {}
func (*ImproperList) isTerm() {}
func (String) isTerm()        {}
func (Binary) isTerm()        {}
func (*BitString) isTerm()    {}
func (Map) isTerm()           {}
func (Pid) isTerm()           {}
func (Port) isTerm()          {}
func (Ref) isTerm()           {}
func (Export) isTerm()        {}
func (*Fun) isTerm()          {}

// Get returns the value of an atom key.
func (m Map) Get(key Atom) (Term, bool) {
	for _, p := range m {
		if p.Key == Term(key) {
			return p.Value, true
		}
	}
	return nil, false
}

// Text returns what Erlang calls chardata in its simple forms: a String, a Binary,
// an Atom, the empty list or a list of code points.
func Text(t Term) (string, bool) {
	switch t := t.(type) {
	case String: // each byte is a code point
		runes := make([]rune, len(t))
		for i := range len(t) {
			runes[i] = rune(t[i])
		}
		return string(runes), true
	case Binary:
		return string(t), true
	case Atom:
		return string(t), true
	case List:
		var text bytes.Buffer
		for _, e := range t {
			r, ok := e.(Int)
			if !ok || r < 0 || r > 0x10ffff {
				return "", false
			}
			text.WriteRune(rune(r))
		}
		return text.String(), true
	}
	return "", false
}

// Atoms returns the atoms of a list, such as the one that erlang:nodes/0 returns.
func Atoms(t Term) ([]string, bool) {
	list, ok := t.(List)
	if !ok {
		return nil, false
	}
	atoms := make([]string, 0, len(list))
	for _, e := range list {
		a, ok := e.(Atom)
		if !ok {
			return nil, false
		}
		atoms = append(atoms, string(a))
	}
	return atoms, true
}

// AtomList makes a list of atoms.
func AtomList(atoms ...string) List {
	list := make(List, len(atoms))
	for i, a := range atoms {
		list[i] = Atom(a)
	}
	return list
}
