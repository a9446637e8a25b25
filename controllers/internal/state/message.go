package state

import "strings"

// MaxCause is how many bytes of what others say of a failure are quoted, so that there is room for what
// to do about it: no event takes more than 1024.
const MaxCause = 500

// quoted makes a message a part of a sentence.
func quoted(message string) string {
	return strings.TrimRight(Shortened(message, MaxCause), ". ")
}

// Shortened cuts a text that has more than so many bytes, and shows that it did.
func Shortened(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len(" …")], "") + " …"
}
