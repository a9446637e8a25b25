package status

import "strings"

// sentence ends a text as a sentence, once.
func sentence(text string) string {
	return strings.TrimRight(text, ". ") + "."
}

const (
	// maxMessage keeps a message readable, and a status within its size. No event takes more.
	maxMessage = 1024
	// maxCommand is enough for a command that names every object of a cluster of 100 nodes.
	maxCommand = 16 << 10
)

// shortened cuts a text that has more than so many bytes, and shows that it did.
func shortened(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len(" …")], "") + " …"
}
