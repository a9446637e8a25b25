package erldist

import (
	"encoding/hex"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func equal(a, b Term) bool {
	return cmp.Equal(a, b, cmp.Comparer(func(a, b *BigInt) bool { return (*big.Int)(a).Cmp((*big.Int)(b)) == 0 }))
}

func bigInt(text string) *BigInt {
	n, ok := new(big.Int).SetString(text, 0)
	if !ok {
		panic(text)
	}
	return (*BigInt)(n)
}

// The encodings are those of erlang:term_to_binary/1 on OTP 27; the ones marked
// as foreign are other allowed encodings, which are only decoded.
var knownEncodings = []struct {
	hex     string
	term    Term
	foreign bool
}{
	{hex: "83770568656c6c6f", term: Atom("hello")},
	{hex: "837700", term: Atom("")},
	{hex: "837702c3a9", term: Atom("é")},
	{hex: "837301e9", term: Atom("é"), foreign: true},
	{hex: "83640001e9", term: Atom("é"), foreign: true},
	{hex: "836100", term: Int(0)},
	{hex: "8361ff", term: Int(255)},
	{hex: "836200000100", term: Int(256)},
	{hex: "8362ffffffff", term: Int(-1)},
	{hex: "83627fffffff", term: Int(math.MaxInt32)},
	{hex: "836e040000000080", term: Int(math.MaxInt32 + 1)},
	{hex: "836e040101000080", term: Int(math.MinInt32 - 1)},
	{hex: "836e0800ffffffffffffff7f", term: Int(math.MaxInt64)},
	{hex: "836e08010000000000000080", term: Int(math.MinInt64)},
	{hex: "836e08000000000000000080", term: bigInt("0x8000000000000000")},
	{hex: "836e0000", term: Int(0), foreign: true},
	{hex: "8346400921fb54442d18", term: Float(math.Pi)},
	{hex: "836800", term: Tuple{}},
	{hex: "83680261017700", term: Tuple{Int(1), Atom("")}},
	{hex: "83690000000161016a"[:16], term: Tuple{Int(1)}, foreign: true},
	{hex: "836a", term: List{}},
	{hex: "836b0000", term: List{}, foreign: true},
	{hex: "836b0003616263", term: String("abc")},
	{hex: "836c0000000177016a6a", term: List{Atom("j")}},
	{hex: "836c000000016200000100" + "6a", term: List{Int(256)}},
	{hex: "836c0000000161016102", term: &ImproperList{Head: []Term{Int(1)}, Tail: Int(2)}},
	{hex: "836d00000002" + "00ff", term: Binary{0, 255}},
	{hex: "834d0000000105a8", term: &BitString{Bytes: []byte{0xa8}, Bits: 5}},
	{hex: "837400000001" + "770161" + "6101", term: Map{{Atom("a"), Int(1)}}},
	{hex: "8358770361406200000057000000000000002a", term: Pid{Node: "a@b", ID: 0x57, Creation: 42}},
	{hex: "8359770361406200000003" + "0000002a", term: Port{Node: "a@b", ID: 3, Creation: 42}},
	{hex: "83787703614062" + "0000000100000003" + "0000002a", term: Port{Node: "a@b", ID: 1<<32 | 3, Creation: 42}},
	{hex: "835a00037703614062" + "0000002a" + "000000010000000200000003", term: Ref{Node: "a@b", Creation: 42, Len: 3, IDs: [5]uint32{1, 2, 3}}},
	{hex: "83717706" + "65726c616e67" + "7705" + "6170706c79" + "6103", term: Export{"erlang", "apply", 3}},
	{hex: "8370000000080a0b0c0d", term: &Fun{Data: []byte{10, 11, 12, 13}}},
}

func TestKnownEncodings(t *testing.T) {
	for _, test := range knownEncodings {
		data, err := hex.DecodeString(test.hex)
		if err != nil {
			t.Fatal(test.hex, err)
		}
		got, err := Unmarshal(data)
		if err != nil || !equal(test.term, got) {
			t.Errorf("%s decodes to %#v, %v, want %#v", test.hex, got, err, test.term)
		}
		if !test.foreign && hex.EncodeToString(Marshal(test.term)) != test.hex {
			t.Errorf("%#v encodes to %x, want %s", test.term, Marshal(test.term), test.hex)
		}
	}
}

var malformedTerms = map[string]string{
	"nothing":                 "",
	"other version":           "\x82j",
	"no tag":                  "\x83",
	"unknown tag":             "\x83\x01",
	"compressed":              "\x83P\x00\x00\x00\x01",
	"something after it":      "\x83jj",
	"atom cut short":          "\x83w\x05hell",
	"atom not UTF-8":          "\x83w\x01\xe9",
	"atom of 256 characters":  "\x83v\x01\x00" + strings.Repeat("x", 256),
	"tuple of 4 G":            "\x83i\xff\xff\xff\xff",
	"list of 4 G":             "\x83l\xff\xff\xff\xff",
	"map of 4 G":              "\x83t\xff\xff\xff\xffaa",
	"binary of 4 G":           "\x83m\xff\xff\xff\xff",
	"big integer of 4 G":      "\x83o\xff\xff\xff\xff\x00",
	"sign 2":                  "\x83n\x01\x02\x01",
	"not a number":            "\x83F\x7f\xf8\x00\x00\x00\x00\x00\x00",
	"infinity":                "\x83F\x7f\xf0\x00\x00\x00\x00\x00\x00",
	"list without a tail":     "\x83l\x00\x00\x00\x01a\x01",
	"tail without a list":     "\x83l\x00\x00\x00\x00a\x01",
	"no bits in last byte":    "\x83M\x00\x00\x00\x01\x00x",
	"9 bits in last byte":     "\x83M\x00\x00\x00\x01\x09x",
	"bits of an empty string": "\x83M\x00\x00\x00\x00\x05",
	"pid without a node":      "\x83Xa\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01",
	"reference of 6 words":    "\x83Z\x00\x06w\x01a" + strings.Repeat("\x00", 28),
	"reference of no words":   "\x83Z\x00\x00w\x01a\x00\x00\x00\x00",
	"fun shorter than itself": "\x83p\x00\x00\x00\x03",
	"export with odd arity":   "\x83qw\x01aw\x01bb\x00\x00\x00\x01",
	"nested too deep":         "\x83" + strings.Repeat("h\x01", MaxDepth+1) + "j",
	"lists nested too deep":   "\x83" + strings.Repeat("l\x00\x00\x00\x01", 1<<16),
}

func TestMalformedTerms(t *testing.T) {
	for name, data := range malformedTerms {
		if got, err := Unmarshal([]byte(data)); err == nil {
			t.Errorf("%s: decodes to %v", name, got)
		}
	}
	if _, err := Unmarshal([]byte("\x83" + strings.Repeat("h\x01", MaxDepth) + "j")); err != nil {
		t.Errorf("nested as deep as allowed: %v", err)
	}
}

// Encoding and decoding a term returns the same term.
func TestDecodeReversesEncode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		term := anyTerm(4).Draw(t, "term")
		got, err := Unmarshal(Marshal(term))
		if err != nil || !equal(term, got) {
			t.Fatalf("%#v came back as %#v, %v", term, got, err)
		}
	})
}

// A truncated encoding is an error, not a panic or a term.
func TestEveryByteCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := Marshal(anyTerm(3).Draw(t, "term"))
		cut := rapid.IntRange(0, len(data)-1).Draw(t, "cut")
		if got, err := Unmarshal(data[:cut]); err == nil {
			t.Fatalf("%d of %d bytes decode to %#v", cut, len(data), got)
		}
	})
}

func anyAtom() *rapid.Generator[Atom] {
	return rapid.Custom(func(t *rapid.T) Atom {
		return Atom(rapid.StringOfN(rapid.Rune().Filter(func(r rune) bool { return r != 0xFFFD }), 0, 255, -1).Draw(t, "atom"))
	})
}

// anyTerm generates terms in the form that decoding returns.
func anyTerm(depth int) *rapid.Generator[Term] {
	leaves := []*rapid.Generator[Term]{
		rapid.Custom(func(t *rapid.T) Term { return anyAtom().Draw(t, "atom") }),
		rapid.Custom(func(t *rapid.T) Term { return Int(rapid.Int64().Draw(t, "int")) }),
		rapid.Custom(func(t *rapid.T) Term {
			n := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 9, 300).Draw(t, "magnitude"))
			if n.IsInt64() {
				n.SetBit(n, 64, 1)
			}
			if rapid.Bool().Draw(t, "negative") {
				n.Neg(n)
			}
			return (*BigInt)(n)
		}),
		rapid.Custom(func(t *rapid.T) Term { return Float(rapid.Float64().Draw(t, "float")) }),
		rapid.Custom(func(t *rapid.T) Term {
			return String(rapid.SliceOfN(rapid.Byte(), 1, 400).Draw(t, "string"))
		}),
		rapid.Custom(func(t *rapid.T) Term { return Binary(rapid.SliceOf(rapid.Byte()).Draw(t, "binary")) }),
		rapid.Custom(func(t *rapid.T) Term {
			return &BitString{Bytes: rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "bits"), Bits: uint8(rapid.IntRange(1, 7).Draw(t, "used"))}
		}),
		rapid.Custom(func(t *rapid.T) Term {
			return Pid{anyAtom().Draw(t, "node"), rapid.Uint32().Draw(t, "id"), rapid.Uint32().Draw(t, "serial"), rapid.Uint32().Draw(t, "creation")}
		}),
		rapid.Custom(func(t *rapid.T) Term {
			return Port{anyAtom().Draw(t, "node"), rapid.Uint64().Draw(t, "id"), rapid.Uint32().Draw(t, "creation")}
		}),
		rapid.Custom(func(t *rapid.T) Term {
			r := Ref{Node: anyAtom().Draw(t, "node"), Creation: rapid.Uint32().Draw(t, "creation"), Len: uint8(rapid.IntRange(1, 5).Draw(t, "words"))}
			for i := range r.Len {
				r.IDs[i] = rapid.Uint32().Draw(t, "word")
			}
			return r
		}),
		rapid.Custom(func(t *rapid.T) Term {
			return Export{anyAtom().Draw(t, "module"), anyAtom().Draw(t, "function"), rapid.Byte().Draw(t, "arity")}
		}),
		rapid.Custom(func(t *rapid.T) Term { return &Fun{rapid.SliceOf(rapid.Byte()).Draw(t, "fun")} }),
		rapid.Just(Term(List{})),
	}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	inner := anyTerm(depth - 1)
	return rapid.OneOf(append(leaves,
		rapid.Custom(func(t *rapid.T) Term { return Tuple(rapid.SliceOfN(inner, 0, 300).Draw(t, "tuple")) }),
		rapid.Custom(func(t *rapid.T) Term { return List(rapid.SliceOfN(inner, 1, 40).Draw(t, "list")) }),
		rapid.Custom(func(t *rapid.T) Term {
			tail := inner.Filter(func(t Term) bool { _, list := t.(List); return !list }).Draw(t, "tail")
			return &ImproperList{rapid.SliceOfN(inner, 1, 10).Draw(t, "head"), tail}
		}),
		rapid.Custom(func(t *rapid.T) Term {
			m := Map{}
			for range rapid.IntRange(0, 20).Draw(t, "size") {
				m = append(m, Pair{inner.Draw(t, "key"), inner.Draw(t, "value")})
			}
			return m
		}),
	)...)
}

// Decoding hostile data takes memory in proportion to it.
func TestDecodingIsBounded(t *testing.T) {
	const size = 1 << 20
	for name, data := range map[string]string{
		"empty lists":      "\x83l\x00\x0f\xff\x00" + strings.Repeat("j", size),
		"empty tuples":     "\x83l\x00\x07\xff\x00" + strings.Repeat("h\x00", size/2) + "j",
		"tuples of one":    "\x83l\x00\x05\x55\x00" + strings.Repeat("h\x01j", size/3) + "j",
		"empty maps":       "\x83l\x00\x03\x33\x00" + strings.Repeat("t\x00\x00\x00\x00", size/5) + "j",
		"empty binaries":   "\x83l\x00\x03\x33\x00" + strings.Repeat("m\x00\x00\x00\x00", size/5) + "j",
		"empty atoms":      "\x83l\x00\x07\xff\x00" + strings.Repeat("w\x00", size/2) + "j",
		"lists of one":     "\x83l\x00\x02\x49\x00" + strings.Repeat("l\x00\x00\x00\x01jj", size/7) + "j",
		"tuples of many":   "\x83" + strings.Repeat("i\x00\x0f\x00\x00", MaxDepth) + strings.Repeat("j", size),
		"maps of many":     "\x83" + strings.Repeat("t\x00\x07\x00\x00", MaxDepth) + strings.Repeat("j", size),
		"17 of empty ones": "\x83l\x00\x00\xa0\x00" + strings.Repeat("h\x11"+strings.Repeat("j", 17), size/19) + "j",
	} {
		before := allocated()
		_, _ = Unmarshal([]byte(data))
		if times := float64(allocated()-before) / float64(len(data)); times > 32 {
			t.Errorf("%s: decoding %d bytes allocated %.0f times as much", name, len(data), times)
		}
	}
}

func TestText(t *testing.T) {
	for _, test := range []struct {
		term Term
		want string
		ok   bool
	}{
		{String("abc\xe9"), "abcé", true},
		{Binary("é"), "é", true},
		{Atom("a"), "a", true},
		{List{}, "", true},
		{List{Int('a'), Int(0x20ac)}, "a€", true},
		{List{Int(-1)}, "", false},
		{List{Atom("a")}, "", false},
		{Int(1), "", false},
	} {
		if got, ok := Text(test.term); got != test.want || ok != test.ok {
			t.Errorf("%#v gives %q, %v", test.term, got, ok)
		}
	}
}

func TestAtoms(t *testing.T) {
	if got, ok := Atoms(AtomList("a@b", "c@d")); !ok || !cmp.Equal(got, []string{"a@b", "c@d"}) {
		t.Errorf("got %v, %v", got, ok)
	}
	for _, bad := range []Term{Atom("a"), List{Int(1)}, String("a")} {
		if _, ok := Atoms(bad); ok {
			t.Errorf("%#v is taken for a list of atoms", bad)
		}
	}
}
