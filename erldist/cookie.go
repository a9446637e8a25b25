package erldist

import (
	"crypto/md5"
	"crypto/subtle"
	"fmt"
	"io"
	"strconv"
)

// Cookie is the secret that both ends of a connection must share. It keeps its
// content from logs and encoders: every way of printing it gives the same
// redaction. The zero Cookie is the empty cookie, which no node accepts.
type Cookie struct {
	// Behind a pointer, since fmt prints the unexported fields of a struct that
	// holds a Cookie in an unexported field without asking for its methods.
	secret *string
}

const redacted = "[cookie redacted]"

// NewCookie makes a Cookie of its text, the atom that erlang:get_cookie/0 gives
// on the node. White space counts: trim what was read from a file.
func NewCookie(text string) Cookie { return Cookie{secret: &text} }

// Reveal returns the cookie's text, for the one call that needs it:
// erlang:set_cookie/2.
func (c Cookie) Reveal() string {
	if c.secret == nil {
		return ""
	}
	return *c.secret
}

// IsZero tells whether the cookie is empty.
func (c Cookie) IsZero() bool { return c.Reveal() == "" }

// Equal compares two cookies in constant time.
func (c Cookie) Equal(other Cookie) bool {
	return subtle.ConstantTimeCompare([]byte(c.Reveal()), []byte(other.Reveal())) == 1
}

// String returns a redaction.
func (Cookie) String() string { return redacted }

// GoString returns a redaction.
func (Cookie) GoString() string { return redacted }

// Format writes a redaction whatever the verb.
func (Cookie) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns a redaction, so that JSON and YAML encoders do too.
func (Cookie) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// digest answers a challenge as dist_util:gen_digest/2 does: the MD5 sum of the
// cookie followed by the challenge in decimal.
func (c Cookie) digest(challenge uint32) [md5.Size]byte {
	return md5.Sum(strconv.AppendUint([]byte(c.Reveal()), uint64(challenge), 10))
}
