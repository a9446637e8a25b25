package naming

import (
	"fmt"
	"strings"
)

// CookieAlphabet is the set of characters in generated cookies: none of them has a
// special meaning in a shell, on a command line or in an Erlang atom.
const CookieAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// GeneratedCookieLength is the length of a generated cookie: 40 of 62 characters are
// 238 bits.
const GeneratedCookieLength = 40

// Bounds of an imported cookie. An atom has at most 255 characters (erl(1)).
const (
	minCookieLength = 8
	MaxCookieLength = 255
)

// CheckCookie returns an error if the cookie cannot be used. The error does not contain
// any part of the cookie.
func CheckCookie(cookie []byte) error {
	switch text := string(cookie); {
	case text == "":
		return fmt.Errorf("it is empty")
	case strings.TrimRight(text, "\r\n") != text:
		return fmt.Errorf("it ends in a newline: write it with `printf %%s` or `echo -n`")
	case len(text) < minCookieLength || len(text) > MaxCookieLength:
		return fmt.Errorf("it has %d characters, and must have %d to %d", len(text), minCookieLength, MaxCookieLength)
	case text[0] == '-' || text[0] == '+':
		return fmt.Errorf("it begins with %q, which erl interprets as a flag", text[0])
	default:
		for at, character := range cookie {
			if !strings.ContainsRune(CookieAlphabet+"_.=+/-", rune(character)) {
				return fmt.Errorf("character %d is not one of [A-Za-z0-9_.=+/-]", at+1)
			}
		}
		return nil
	}
}
