package erldist

import (
	"bytes"
	"math/big"
)

// Term is an Erlang term, as in erl_ext_dist: one of [Atom], [Int], [*BigInt],
// [Float], [Tuple], [List], [*ImproperList], [String], [Binary], [*BitString], [Map],
// [Pid], [Port], [Ref], [Export] and [*Fun]. No other package can add types, so encoding never fails.
type Term interface {
	isTerm()
}

// Atom is an atom (ATOM_UTF8_EXT and SMALL_ATOM_UTF8_EXT), without quotes.
type Atom string

// Int is an integer that fits into 64 bits (SMALL_INTEGER_EXT, INTEGER_EXT,
// SMALL_BIG_EXT).
type Int int64

// BigInt is an integer that does not fit into 64 bits (SMALL_BIG_EXT, LARGE_BIG_EXT).
// Decoding returns an Int for one that does.
type BigInt big.Int

// Float is a float (NEW_FLOAT_EXT).
type Float float64

// Tuple is a tuple (SMALL_TUPLE_EXT, LARGE_TUPLE_EXT).
type Tuple []Term

// List is a proper list (LIST_EXT). The empty list, nil or not, is Erlang's []
// (NIL_EXT).
type List []Term

// ImproperList is a list whose last tail is not [] (LIST_EXT). Head is not empty.
type ImproperList struct {
	Head []Term
	Tail Term
}

// String is a non-empty list of integers from 0 to 255, which the runtime system
// encodes as STRING_EXT if it has at most 65535 elements. See Text.
type String string

// Binary is a binary (BINARY_EXT).
type Binary []byte

// BitString is a bit string whose length is not a multiple of 8 (BIT_BINARY_EXT).
type BitString struct {
	Bytes []byte
	// Bits is the number of used bits in the last byte, from 1 to 7, counted
	// from the most significant one.
	Bits uint8
}

// Map is a map (MAP_EXT), in the order of its encoding.
type Map []Pair

// Pair is an association of a Map.
type Pair struct {
	Key, Value Term
}

// Pid identifies a process (NEW_PID_EXT).
type Pid struct {
	Node                 Atom
	ID, Serial, Creation uint32
}

// Port identifies a port (NEW_PORT_EXT, V4_PORT_EXT).
type Port struct {
	Node     Atom
	ID       uint64
	Creation uint32
}

// Ref is a reference (NEWER_REFERENCE_EXT).
type Ref struct {
	Node     Atom
	Creation uint32
	IDs      [5]uint32
	Len      uint8 // how many IDs are used
}

// Export is fun Module:Function/Arity (EXPORT_EXT).
type Export struct {
	Module, Function Atom
	Arity            uint8
}

// Fun is a closure (NEW_FUN_EXT), which only the node that made it can interpret.
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

// Text returns the text of a term, if it is a String, a Binary, an Atom, the empty list
// or a list of code points: the simple forms of unicode:chardata().
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

// Atoms returns the elements of a list of atoms, such as erlang:nodes/0 returns.
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

// AtomList returns a list of atoms.
func AtomList(atoms ...string) List {
	list := make(List, len(atoms))
	for i, a := range atoms {
		list[i] = Atom(a)
	}
	return list
}
