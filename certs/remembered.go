package certs

import (
	"crypto/x509"
	"reflect"
	"slices"
	"time"

	"github.com/erlang-operator/erlang-operator/certs/memo"
)

// To parse a certificate and to verify its signature is most of the work of a decision, and
// the same certificates are looked at again and again. So what was found is remembered. A key
// is the SHA-256 of all that a result depends on but the time, never a name or a version, so
// nothing counts as verified that was not. A result that depends on the time is used only while
// no certificate in question begins or ceases to be valid.

// maxRemembered is how much memory a parsed chain that is remembered takes, so that large ones do
// not fill it: a chain of three has some 10 kB. Text is no measure of it, as each short name in a
// certificate is parsed into much more.
const maxRemembered = 32 << 10

var (
	parsed    memo.Memo[[]*x509.Certificate]
	signed    memo.Memo[bool]
	validated memo.Memo[validation]
)

// isSignedBy reports whether a certificate has a valid signature of a CA. It is no matter of time.
func isSignedBy(certificate, ca *x509.Certificate) bool {
	key := memo.KeyOf(certificate.Raw, ca.Raw)
	is, known := signed.Get(key)
	if !known {
		is = certificate.CheckSignatureFrom(ca) == nil
		signed.Put(key, is)
	}
	return is
}

// A validation is whether one of the chains of a certificate allows it to sign a leaf. They are
// valid between two instants, at neither of which some certificate has begun or ceased to be.
type validation struct {
	mayIssueLeaf  bool
	after, before time.Time
}

func (v validation) holdsAt(now time.Time) bool { return now.After(v.after) && now.Before(v.before) }

// validationAt is one at a time, of chains that are made of these certificates.
func validationAt(now time.Time, chains [][]*x509.Certificate, certificates []*x509.Certificate) validation {
	v := validation{mayIssueLeaf: slices.ContainsFunc(chains, pathLenAllowsLeaf), before: certificates[0].NotAfter}
	for _, certificate := range certificates {
		for _, boundary := range []time.Time{certificate.NotBefore, certificate.NotAfter} {
			if !boundary.After(now) && boundary.After(v.after) {
				v.after = boundary
			}
			if !boundary.Before(now) && boundary.Before(v.before) {
				v.before = boundary
			}
		}
	}
	return v
}

// memoryOf is about how much memory a chain takes.
func memoryOf(chain []*x509.Certificate) (size int) {
	for _, certificate := range chain {
		size += len(certificate.Raw) + memoryBelow(reflect.ValueOf(certificate))
	}
	return size
}

// memoryBelow is how much memory a value refers to. Bytes are part of a certificate's Raw, and what
// an interface holds, such as the key, is in proportion to them.
func memoryBelow(value reflect.Value) (size int) {
	switch value.Kind() {
	case reflect.String:
		return value.Len()
	case reflect.Pointer:
		if value.IsNil() || value.Type() == reflect.TypeFor[*time.Location]() {
			return 0
		}
		return int(value.Type().Elem().Size()) + memoryBelow(value.Elem())
	case reflect.Slice:
		if value.Type().Elem().Kind() == reflect.Uint8 {
			return 0
		}
		size = value.Cap() * int(value.Type().Elem().Size())
		for i := range value.Len() {
			size += memoryBelow(value.Index(i))
		}
	case reflect.Struct:
		for i := range value.NumField() {
			size += memoryBelow(value.Field(i))
		}
	}
	return size
}
