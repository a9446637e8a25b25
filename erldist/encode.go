package erldist

import (
	"encoding/binary"
	"math"
	"math/big"
)

// Tags of the external term format (erl_ext_dist).
const (
	tagVersion       = 131
	tagNewFloat      = 70
	tagBitBinary     = 77
	tagNewPid        = 88
	tagNewPort       = 89
	tagNewerRef      = 90
	tagSmallInteger  = 97
	tagInteger       = 98
	tagAtom          = 100 // Latin-1
	tagSmallTuple    = 104
	tagLargeTuple    = 105
	tagNil           = 106
	tagString        = 107
	tagList          = 108
	tagBinary        = 109
	tagSmallBig      = 110
	tagLargeBig      = 111
	tagNewFun        = 112
	tagExport        = 113
	tagSmallAtom     = 115 // Latin-1
	tagMap           = 116
	tagAtomUTF8      = 118
	tagSmallAtomUTF8 = 119
	tagV4Port        = 120
)

// Marshal encodes a term in the external term format (erl_ext_dist), with its version
// byte.
func Marshal(t Term) []byte { return appendTerm([]byte{tagVersion}, t) }

// appendTerm appends the encoding that erlang:term_to_binary/1 of OTP 26 and later
// returns. A nil Term is encoded as the empty list.
func appendTerm(b []byte, t Term) []byte {
	switch t := t.(type) {
	case nil:
		return append(b, tagNil)
	case Atom:
		return appendAtom(b, t)
	case Int:
		return appendInt(b, int64(t))
	case *BigInt:
		return appendBig(b, (*big.Int)(t))
	case Float:
		return binary.BigEndian.AppendUint64(append(b, tagNewFloat), math.Float64bits(float64(t)))
	case Tuple:
		if len(t) <= math.MaxUint8 {
			b = append(b, tagSmallTuple, byte(len(t)))
		} else {
			b = binary.BigEndian.AppendUint32(append(b, tagLargeTuple), uint32(len(t)))
		}
		return appendTerms(b, t)
	case List:
		return appendList(b, t, nil)
	case *ImproperList:
		return appendList(b, t.Head, t.Tail)
	case String:
		return appendString(b, t)
	case Binary:
		b = binary.BigEndian.AppendUint32(append(b, tagBinary), uint32(len(t)))
		return append(b, t...)
	case *BitString:
		b = binary.BigEndian.AppendUint32(append(b, tagBitBinary), uint32(len(t.Bytes)))
		return append(append(b, t.Bits), t.Bytes...)
	case Map:
		b = binary.BigEndian.AppendUint32(append(b, tagMap), uint32(len(t)))
		for _, p := range t {
			b = appendTerm(appendTerm(b, p.Key), p.Value)
		}
		return b
	case Pid:
		b = appendAtom(append(b, tagNewPid), t.Node)
		b = binary.BigEndian.AppendUint32(b, t.ID)
		b = binary.BigEndian.AppendUint32(b, t.Serial)
		return binary.BigEndian.AppendUint32(b, t.Creation)
	case Port:
		return appendPort(b, t)
	case Ref:
		b = binary.BigEndian.AppendUint16(append(b, tagNewerRef), uint16(t.Len))
		b = binary.BigEndian.AppendUint32(appendAtom(b, t.Node), t.Creation)
		for _, id := range t.IDs[:t.Len] {
			b = binary.BigEndian.AppendUint32(b, id)
		}
		return b
	case Export:
		b = appendAtom(append(b, tagExport), t.Module)
		return append(appendAtom(b, t.Function), tagSmallInteger, t.Arity)
	case *Fun:
		b = binary.BigEndian.AppendUint32(append(b, tagNewFun), uint32(len(t.Data)+4))
		return append(b, t.Data...)
	}
	panic("erldist: a Term of an unknown type") // the interface is closed
}

func appendTerms(b []byte, terms []Term) []byte {
	for _, t := range terms {
		b = appendTerm(b, t)
	}
	return b
}

func appendAtom(b []byte, a Atom) []byte {
	if len(a) <= math.MaxUint8 {
		b = append(b, tagSmallAtomUTF8, byte(len(a)))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, tagAtomUTF8), uint16(len(a)))
	}
	return append(b, a...)
}

func appendInt(b []byte, n int64) []byte {
	switch {
	case 0 <= n && n <= math.MaxUint8:
		return append(b, tagSmallInteger, byte(n))
	case math.MinInt32 <= n && n <= math.MaxInt32:
		return binary.BigEndian.AppendUint32(append(b, tagInteger), uint32(n))
	}
	return appendBig(b, big.NewInt(n))
}

// appendBig appends a sign and the magnitude, least significant byte first.
func appendBig(b []byte, n *big.Int) []byte {
	magnitude := n.Bytes()
	if len(magnitude) <= math.MaxUint8 {
		b = append(b, tagSmallBig, byte(len(magnitude)))
	} else {
		b = binary.BigEndian.AppendUint32(append(b, tagLargeBig), uint32(len(magnitude)))
	}
	sign := byte(0)
	if n.Sign() < 0 {
		sign = 1
	}
	b = append(b, sign)
	for i := len(magnitude) - 1; i >= 0; i-- {
		b = append(b, magnitude[i])
	}
	return b
}

func appendList(b []byte, head []Term, tail Term) []byte {
	if len(head) == 0 && tail == nil {
		return append(b, tagNil)
	}
	b = binary.BigEndian.AppendUint32(append(b, tagList), uint32(len(head)))
	return appendTerm(appendTerms(b, head), tail)
}

// appendString uses STRING_EXT if its length field is large enough.
func appendString(b []byte, s String) []byte {
	switch {
	case s == "":
		return append(b, tagNil)
	case len(s) <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, tagString), uint16(len(s)))
		return append(b, s...)
	}
	b = binary.BigEndian.AppendUint32(append(b, tagList), uint32(len(s)))
	for i := range len(s) {
		b = append(b, tagSmallInteger, s[i])
	}
	return append(b, tagNil)
}

func appendPort(b []byte, p Port) []byte {
	if p.ID <= math.MaxUint32 {
		b = appendAtom(append(b, tagNewPort), p.Node)
		b = binary.BigEndian.AppendUint32(b, uint32(p.ID))
	} else {
		b = appendAtom(append(b, tagV4Port), p.Node)
		b = binary.BigEndian.AppendUint64(b, p.ID)
	}
	return binary.BigEndian.AppendUint32(b, p.Creation)
}
