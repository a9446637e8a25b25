package erldist

import (
	"crypto/md5"
	"crypto/subtle"
	"fmt"
	"io"
	"strconv"
)

// Cookie is the secret that both ends of a connection must share (erl_dist_protocol,
// "Distribution Handshake"). Every way to print or encode it gives the same redacted
// text. The zero Cookie is the empty cookie, which no node accepts.
type Cookie struct {
	// A pointer, because fmt ignores the methods of a Cookie in an unexported field of
	// another struct, and would print the string.
	secret *string
}

const redacted = "[cookie redacted]"

// NewCookie returns the Cookie with this text, the atom that erlang:get_cookie/0
// returns on the node. White space is significant: trim what was read from a file.
func NewCookie(text string) Cookie { return Cookie{secret: &text} }

// Reveal returns the cookie's text, for erlang:set_cookie/2.
func (c Cookie) Reveal() string {
	if c.secret == nil {
		return ""
	}
	return *c.secret
}

// IsZero reports whether the cookie is empty.
func (c Cookie) IsZero() bool { return c.Reveal() == "" }

// Equal reports whether two cookies are the same, in constant time.
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
