package status

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/erlang-operator/erlang-operator/certs/naming"
	"github.com/erlang-operator/erlang-operator/controllers/internal/state"
)

// maxQuote is how many bytes of a text of others a message quotes.
const maxQuote = 300

// quoted is a text of others as a message may quote it: one line, without control
// characters, without cookies and passwords, and without what differs each time.
func (p pass) quoted(text string) string {
	for _, cookie := range p.cookies() {
		text = strings.ReplaceAll(text, cookie, "[redacted]")
	}
	for _, noise := range noises {
		text = noise.says.ReplaceAllString(text, noise.becomes)
	}
	printable := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
	return strings.TrimRight(state.Shortened(strings.Join(strings.Fields(printable), " "), maxQuote), ". ")
}

// cookies are all that the nodes may have.
func (p pass) cookies() []string {
	var cookies []string
	for _, cookie := range [][]byte{p.Cookie(), p.WrittenCookie(), p.FormerCookie()} {
		if naming.CheckCookie(cookie) == nil {
			cookies = append(cookies, string(cookie))
		}
	}
	return cookies
}

// noises are what is dropped from a quote, or replaced, in this order.
var noises = []struct {
	says    *regexp.Regexp
	becomes string
}{
	{regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`), ""},
	// A volume of ours is named like a secret, which the next would take what follows for.
	{regexp.MustCompile(`(volume "erlang-operator-cookie") :`), "$1,"},
	// What may be a secret.
	{regexp.MustCompile(`(-setcookie\s+)[^-\s]\S*(\s+[^-\s]\S*)?`), "$1[redacted]"},
	{regexp.MustCompile(`(?i)((?:cookie|password|passwd|secret|token)"?\s*(?:=>|[=:])\s*)\S+`), "$1[redacted]"},
	{regexp.MustCompile(`(://[^/\s:@]*:)[^/\s@]+@`), "$1[redacted]@"},
	// What the kubelet and the runtime say around the cause, with an ID that differs each time.
	{regexp.MustCompile(`(rpc error|failed to (create|start) containerd task|failed to exec).*unable to start container process: `), ""},
	// What differs each time: the local end of a connection, times, and IDs of processes.
	{regexp.MustCompile(`(tcp|udp) \S+:\d+->`), "$1 "},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*\s*`), ""},
	{regexp.MustCompile(`<\d+\.\d+\.\d+>`), "<pid>"},
	{regexp.MustCompile(`\b[0-9a-f]{16,}\b`), "…"},
}
